"""Renders what `benchmarks.looks` asks for, in a process of its own, with the code of any commit.

    PYTHONPATH=CHECKOUT python -P benchmarks/_looks_render.py < jobs

A job is a line of JSON. Each is answered on the standard output by a line of JSON and the arrays that it names, one
after the other as plain bytes. So that old and new code answer alike, nothing of the project is used here but the
options, the pipeline and the head's `evaluate`; nothing is measured here.

* `{"kind": "driver", "photo", "driver", "options"}`: points (T, 478, 3) of the driver's track, crops (T, 3).
* `{"kind": "frames", ..., "frames": [...]}`: of these frames of the result: points (N, 478, 3), then N pictures.
* `{"kind": "turns", "photo", "options", "degrees": [...]}`: the photo's own face, its head turned about the vertical
  through its neck: points (N, 478, 3), then N pictures.

Points are in pixels of the picture, z away from the camera at the scale of x.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

SIZE, FOCAL, N_POINTS = 512, 12.0, 478
NECK = np.array([0.0, -0.55, -0.25])  # where a head turns on the shoulders, head units


def main() -> None:
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not get between the answers
    pipelines = _Pipelines()
    for line in sys.stdin:
        job = json.loads(line)
        try:
            answer = _answer(job, pipelines)
            first = next(answer)
        except Exception as error:  # told to the process that asked, which knows whether to go on
            if type(error).__name__ != "UserError":
                raise
            _send(out, {"error": str(error)}, ())
            continue
        pictures = 0 if job["kind"] == "driver" else len(first[0])
        _send(out, {"error": None, "shapes": [list(a.shape) for a in first], "pictures": pictures}, first)
        for picture in answer:
            out.write(picture.tobytes())
        out.flush()


class _Pipelines:
    """Pipelines that share their components, which take seconds to load, where the options allow it."""

    def __init__(self) -> None:
        self._components: dict[tuple[str, ...], Any] = {}

    def make(self, photo: str, driver: str, given: list[str]) -> Any:
        from core.components import default_components
        from core.pipeline import Pipeline

        try:
            from core.command_line import load_options
        except ImportError:  # an older commit has it among the options
            from core.options import load_options  # type: ignore[attr-defined,no-redef]

        options = load_options(
            ["-i", photo, "-d", driver, "--model", "lifted", "--quiet", "--background", "black", *given]
        )
        key = tuple(given)
        if key not in self._components:
            self._components[key] = default_components(options)
        return Pipeline(options, self._components[key])


def _answer(job: dict[str, Any], pipelines: _Pipelines) -> Iterable[Any]:
    """The arrays float32 of the answer, then its pictures one by one."""
    run = pipelines.make(job["photo"], job.get("driver", job["photo"]), job["options"])
    if job["kind"] == "driver":
        track = run.driver.track
        points = np.stack([_points(run, frame) for frame in track])
        yield points, track.crops.astype(np.float32)
        return
    if job["kind"] == "turns":
        frames = [_turned(run.source.frame, np.radians(angle)) for angle in job["degrees"]]
    else:
        frames = [run.motion[index] for index in job["frames"]]
    yield (np.stack([_points(run, frame) for frame in frames]),)
    for frame in frames:
        picture = run.draw(frame).clamp(0, 1).mul(255).round().byte()
        yield np.ascontiguousarray(picture.permute(1, 2, 0).numpy())


def _points(run: Any, frame: Any) -> np.ndarray:
    """(478, 3) float32: the head's points as the camera sees them."""
    face = np.asarray(run.components.head.evaluate(frame))[:N_POINTS].astype(np.float64)
    seen = face @ frame.transform_matrix[:, :3] + frame.transform_matrix[:, 3]
    flat = ((1 - FOCAL * seen[:, :2] / seen[:, 2:]) * SIZE - 1) / 2
    depth = (seen[:, 2] - seen[:, 2].mean()) * FOCAL * SIZE / 2 / seen[:, 2].mean()
    return np.c_[flat, depth].astype(np.float32)


def _turned(frame: Any, angle: float) -> Any:
    """The frame with its head turned to its own left."""
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]])
    pose = frame.transform_matrix.astype(np.float64)
    shift = (NECK - NECK @ turn) @ pose[:, :3] + pose[:, 3]
    return replace(frame, transform_matrix=np.c_[turn @ pose[:, :3], shift].astype(np.float32))


def _send(out: BinaryIO, header: dict[str, Any], arrays: Iterable[np.ndarray]) -> None:
    out.write(json.dumps(header).encode() + b"\n")
    for array in arrays:
        out.write(array.tobytes())
    out.flush()


if __name__ == "__main__":
    main()
