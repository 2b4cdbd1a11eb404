"""An examined run as one HTML file: it needs no other file, asks for none and runs no script."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from core.data.part_file import PartFile
from core.errors import UserError
from core.quality.change import Change
from core.quality.photo import PhotoQuality
from core.quality.plots import plot_series
from core.quality.series import Series

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8882; --warn: #b45309; }
@media (prefers-color-scheme: dark) { :root { --warn: #fbbf24; } svg { filter: invert(.88) hue-rotate(180deg); } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; } td, th { padding: .25rem .9rem .25rem 0; text-align: right; }
td:first-child, th:first-child { text-align: left; } tr + tr td { border-top: 1px solid var(--soft); }
.advice li { color: var(--warn); } .scroll { overflow-x: auto; } svg { max-width: 100%; height: auto; }
figure { display: inline-block; margin: 0 .6rem .8rem 0; } figcaption { font-size: .85rem; opacity: .8; }
img { display: block; max-width: 100%; border-radius: 4px; } .row { display: flex; flex-wrap: wrap; align-items: end; }
"""


@dataclass(frozen=True)
class Moment:
    """A frame that is shown: what it shows, its time in seconds, and pictures (H, W, 3 or 4) uint8 of the driver,
    without improvements (None where none is on) and of the result."""

    what: str
    seconds: float
    driver: np.ndarray
    plain: np.ndarray | None
    result: np.ndarray


@dataclass(frozen=True)
class Examination:
    """What is known of a run.

    Attributes:
        photo_file, driver_file, output: names. avatar: the avatar's. photo_picture: (H, W, 3) uint8.
        photo: measured. driver, result: motions, measured. bridged, held: frames without a face, by what stands in.
        repeated: frames that show the picture before again.
        unseen: (T,) bool, which they are. shots: between cuts. stills: frames are single pictures. fps: of the driver.
        seconds: by stage. changes: of each improvement that is on. moments: frames that are shown.
        advice: what to know, worst first.
    """

    photo_file: str
    driver_file: str
    output: str
    avatar: str
    photo_picture: np.ndarray
    photo: PhotoQuality
    driver: Series
    result: Series
    bridged: int
    repeated: int
    held: int
    unseen: np.ndarray
    shots: int
    stills: bool
    fps: float
    seconds: dict[str, float]
    changes: list[Change]
    moments: list[Moment]
    advice: tuple[str, ...]

    def html(self) -> str:
        """The page."""
        title = escape(f"{self.photo_file} moved by {self.driver_file}")
        parts = [
            f"<h1>{title}</h1><p>{escape(self.output)}, avatar: {escape(self.avatar)}. AI-generated.</p>",
            _section("Worth knowing", self._advice()),
            _section("Photo", f'<div class="row">{_figure(self.photo_picture, "the photo")}{self._photo()}</div>'),
            _section("Driver and result", self._motion()),
            _section("What each improvement changed", self._changes()) if self.changes else "",
            _section("Frames", "".join(map(_moment, self.moments))),
            _section("Seconds", _table(("stage", "seconds"), [(k, f"{v:.1f}") for k, v in self.seconds.items()])),
        ]
        policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n<body>'
            + "\n".join(filter(None, parts))
            + "</body></html>\n"
        )

    def write(self, path: Path) -> Path:
        """Write the page, whole or not at all; returns the file. UserError where that fails."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with PartFile(path) as part:
                part.path.write_text(self.html(), encoding="utf-8")
                part.finish()
        except OSError as error:
            raise UserError(f"{path} cannot be written ({error.strerror}): name another file with --report") from error
        return path

    def _advice(self) -> str:
        if not self.advice:
            return "<p>Nothing stands out.</p>"
        return '<ul class="advice">' + "".join(f"<li>{escape(line)}</li>" for line in self.advice) + "</ul>"

    def _photo(self) -> str:
        p = self.photo
        side = "right" if p.yaw > 0 else "left"
        rows = [
            ("turned", f"{abs(p.yaw):.0f}° to the {side}, {abs(p.roll):.0f}° tilted"),
            ("the head in the photo", "not known" if np.isnan(p.pixels) else f"{p.pixels:.0f} pixels"),
            ("blur, 0 to 1", f"{p.blur:.2f}"),
            ("noise, grey levels", f"{p.noise:.1f}"),
            ("brightness, 0 to 1", f"{p.brightness:.2f}"),
            ("eyes open, 1 as usual", _known(p.lids)),
            ("mouth open, of the eyes' distance", _known(p.lips)),
            ("head cut by the photo's border, of the crop", f"{p.cut:.2f}"),
        ]
        return _table(("", ""), rows)

    def _motion(self) -> str:
        turns = [np.abs(s.angles - s.angles[0]).max(0) for s in (self.driver, self.result)]
        rows = [
            ("frames", str(len(self.unseen)), ""),
            ("frames a second", f"{self.fps:.4g}", ""),
            ("shots between cuts", str(self.shots), ""),
            ("frames without a face: bridged, held", f"{self.bridged}, {self.held}", ""),
            ("frames that show the one before again", str(self.repeated), ""),
            ("jitter, pixels", _known(self.driver.jitter), _known(self.result.jitter)),
            *(
                (f"farthest {name} from the first frame", *(f"{turn[axis]:.0f}°" for turn in turns))
                for axis, name in enumerate(("yaw", "pitch", "roll"))
            ),
            *(
                (what, *(f"{getattr(s, name).std():.3f}" for s in (self.driver, self.result)))
                for what, name in (("lids, standard deviation", "lids"), ("lips, standard deviation", "lips"))
            ),
        ]
        table = _table(("", "driver", "result"), rows)
        if self.stills:
            return table
        return f'{table}<div class="scroll">{plot_series(self.driver, self.result, self.unseen)}</div>'

    def _changes(self) -> str:
        header = ("", "face moved, px", "jitter, px", "gaze, °", "lids", "lips", "detail", "picture, grey levels")
        rows = [
            (
                f"--{c.name.replace('_', '-')}",
                f"{c.shift:.2f}",
                _pair(c.jitter, 2),
                f"{c.gaze:.2f}",
                _pair(c.lids, 3),
                _pair(c.lips, 3),
                _pair(c.detail, 1),
                f"{c.pixels:.2f}",
            )
            for c in self.changes
        ]
        note = "Without → with each, the others being on. Detail: mean squared gradient of the frames below."
        return f'<div class="scroll">{_table(header, rows)}</div><p>{note}</p>'


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{content}"


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header) if any(header) else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _moment(moment: Moment) -> str:
    shown = [("driver", moment.driver), ("without improvements", moment.plain), ("result", moment.result)]
    figures = "".join(_figure(picture, name) for name, picture in shown if picture is not None)
    return f'<p>{escape(moment.what)}, {moment.seconds:.2f} s</p><div class="row">{figures}</div>'


def _figure(picture: np.ndarray, caption: str, longest: int = 320) -> str:
    """A picture with a caption, no longer than so many pixels."""
    image = Image.fromarray(picture)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode()
    name = escape(caption)
    return f'<figure><img alt="{name}" src="data:image/webp;base64,{data}"><figcaption>{name}</figcaption></figure>'


def _pair(values: tuple[float, float], digits: int) -> str:
    return " → ".join(_known(value, digits) for value in values)


def _known(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "-"
