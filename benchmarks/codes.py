"""What it costs to go through the head's codes instead of the tracker's own points: `python -m benchmarks.codes`.

Self-reenactment as in `benchmarks.self_reenactment`, once with the vertices that the codes give and once with what the
codes leave of every frame's points added back. The issue allows 0.1 dB and 0.2 px.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks._inputs import add_inputs, find_clips
from benchmarks._truth import on_black
from core.data.video import VideoReader
from core.errors import command
from core.evaluation.metrics import akd, psnr
from core.libs.flame_model import OpenHead
from core.libs.retargeting.neutral import resting_transform
from core.libs.retargeting.stage import Retargeting
from core.libs.tracker.crop import crop_image
from core.libs.tracker.driver import track_points
from core.libs.tracker.fit import HeadFitter
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.libs.tracker.source import track_source_image
from core.models.LiftedAvatar.models import LiftedAvatar
from core.models.request import DrawRequest

CLIPS = ("obama", "d10")


def main() -> None:
    """Measure and print a row a clip."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_inputs(parser, CLIPS)
    parser.add_argument("--stride", type=int, default=3)
    arguments = parser.parse_args()
    for clip in find_clips(arguments.clips, arguments.data, CLIPS):
        codes, points = measure(clip, arguments.stride)
        print(
            f"{clip.stem}: codes {codes[0]:.2f} dB {codes[1]:.2f} px, points {points[0]:.2f} dB {points[1]:.2f} px; "
            f"the codes cost {points[0] - codes[0]:+.3f} dB and {codes[1] - points[1]:+.3f} px",
            flush=True,
        )


def measure(path: Path, stride: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Mean PSNR in dB and AKD in px, through the codes and through the points."""
    tracker, head = MediaPipeTracker(), OpenHead()
    model = LiftedAvatar(head=head)
    track, points = track_points(path, tracker)
    fitter = HeadFitter(head)
    with VideoReader(path) as reader:
        source = track_source_image(next(iter(reader)).image, tracker, crop=track.crops[0])
        motion = Retargeting("absolute").run(source.frame, track, head)
        avatar = model.encode(source, resting_transform(source.frame, motion))
        eyes = slice(468, 478)

        def left(t: int) -> np.ndarray:
            """What the codes leave of a frame's points, in head space."""
            rest = fitter.lifted(points[t], track.transform_matrix[t]) - head.evaluate(track[t])[:478]
            rest[eyes] = 0
            return rest

        usual = np.mean([left(t) for t in range(0, len(track), stride)], 0)
        frames = {f.index: crop_image(f.image, track.crops[f.index]) for f in reader if f.index % stride == 0}
    followers = [MediaPipeTracker() for _ in range(3)]
    scores: list[list[tuple[float, float]]] = [[], []]
    for t, picture in frames.items():
        truth = on_black(picture, tracker.matte(picture))
        seen = followers[0].follow(truth)
        vertices = head.evaluate(replace(motion[t], static_offset=source.frame.static_offset))
        for way, shown in enumerate((vertices, vertices + np.pad(left(t) - usual, ((0, len(vertices) - 478), (0, 0))))):
            image = model.render(avatar, DrawRequest(shown.astype(np.float32), motion.transform_matrix[t]))
            image = np.ascontiguousarray((image.permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8))
            found = followers[1 + way].follow(image)
            if t and seen is not None and found is not None:
                scores[way].append((psnr(image, truth), akd(found.points, seen.points)))
    codes, raw = (tuple(np.mean(s, 0)) for s in scores)
    return codes, raw


if __name__ == "__main__":
    sys.exit(command(main))
