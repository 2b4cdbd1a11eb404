"""A page about a batch: one HTML file that needs no other."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from core.batch.estimate import told_seconds
from core.batch.job import JobResult
from core.batch.settings import BatchSettings
from core.data.image import kind_of, read_image
from core.data.part_file import PartFile
from core.data.video import VideoReader
from core.errors import UserError
from core.output.watermark import PROGRAM

_SETTINGS = BatchSettings()
_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .4rem .8rem; border-bottom: 1px solid #ddd; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.failed td { background: #fff0ee; } img { display: block; max-height: 6rem; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818; } th, td { border-color: #444; }
  tr.failed td { background: #412; } }
"""


def write_report(path: Path, results: Sequence[JobResult], seconds: float) -> None:
    """Write the page. UserError where the disk does not take it.

    Args:
        path: of the HTML file, which is replaced. results: of all jobs. seconds: that the batch took.
    """
    try:
        with PartFile(path) as part:
            part.path.write_text(report_page(results, seconds), encoding="utf-8", errors="backslashreplace")
            part.finish()
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): check the disk") from error


def report_page(results: Sequence[JobResult], seconds: float) -> str:
    """The page: failures first, then what was made, with a picture of each."""
    done = [result for result in results if result.state == "done"]
    counts = {state: sum(result.state == state for result in results) for state in ("done", "kept", "failed")}
    frames = sum(result.frames for result in done)
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    speed = f", {frames} frames, {60 * len(done) / max(seconds, 1e-9):.1f} jobs a minute" if done else ""
    ordered = sorted(results, key=lambda result: (result.state != "failed", result.job.shown))
    rows = "\n".join(map(_row, ordered))
    heads = "".join(f"<th{' class=number' * (i > 3)}>{name}</th>" for i, name in enumerate(_HEADS))
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Batch</title><style>{_STYLE}</style>\n'
        f"<h1>{len(results)} jobs: {summary}</h1>\n<p>{told_seconds(seconds)}{speed}. {html.escape(PROGRAM)}; "
        f"pictures are AI-generated.</p>\n<table><tr>{heads}</tr>\n{rows}\n</table></html>\n"
    )


_HEADS = ("", "result", "photo, driver", "state", "frames", "seconds", "frames/s", "MiB", "begun")


def _row(result: JobResult) -> str:
    options = result.job.options
    speed = f"{result.frames / result.seconds:.1f}" if result.seconds and result.frames > 1 else ""
    numbers = (result.frames or "", f"{result.seconds:.1f}", speed, result.peak_mib or "", result.attempts or "")
    cells = [
        f"<td>{_picture(result.output)}</td>",
        f"<td>{html.escape(result.job.shown)}</td>",
        f"<td>{html.escape(str(options.image_path))}<br>{html.escape(str(options.driver_path))}</td>",
        f"<td>{result.state}{f'<br>{html.escape(result.error)}' if result.error else ''}</td>",
        *(f"<td class=number>{number}</td>" for number in numbers),
    ]
    return f"<tr class={result.state}>{''.join(cells)}</tr>"


def _picture(output: Path | None, settings: BatchSettings = _SETTINGS) -> str:
    """A small picture of a result, its middle frame; nothing where it cannot be read."""
    if output is None:
        return ""
    try:
        image = read_image(output) if kind_of(output) == "image" else _middle(output)
    except UserError:
        return ""
    scale = min(1.0, settings.thumbnail / max(image.shape[:2]))
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    written, data = cv2.imencode(".jpg", small[..., ::-1])
    assert written
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}">'


def _middle(path: Path) -> np.ndarray:
    with VideoReader(path) as reader:
        middle = (reader.frame_estimate or 1) // 2
        image = None
        for frame in reader:
            image = frame.image
            if frame.index >= middle:
                break
    if image is None:
        raise UserError(f"{path} holds no frame")
    return image
