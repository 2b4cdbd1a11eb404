"""Settings of the tracker: one frozen dataclass for each station, each value with its unit and where it comes from.

"By eye": set where it looked right, then left alone. "Development clips": read off the clips of ../shared/data/drivers
that the benchmarks report on, so that a figure on those clips is not one on unseen clips. Whatever changes here changes
what comes out: raise `core.libs.tracker.track.VERSION` (or `FLAME_VERSION`) with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np


@dataclass(frozen=True)
class FitSettings:
    """Of `HeadFitter` and of what both fitters do with eyes.

    Attributes:
        eye_limit: radians that an eye code may have, each axis; anatomy: eyes turn by about 45 degrees.
        shut, open: lid opening, as part of a clip's open eyes, up to which an iris is not believed and from which on it
            is. Development clips.
        open_percentile: of a clip's lid openings, which stands for its open eyes. By eye.
        person_frames: frames at most from which the shape is taken; bounds memory. By eye.
        person_rounds: of pose and rest shape in turn; nothing changes any more after them (tests/test_fit.py).
        jaw_rounds: fixed-point steps that invert the skinning of the jaw; they converge by its weights, below 1.
        turn_rounds: Newton steps onto an iris.
    """

    eye_limit: float = float(np.radians(45))
    shut: float = 0.35
    open: float = 0.6
    person_frames: int = 300
    person_rounds: int = 5
    jaw_rounds: int = 4
    turn_rounds: int = 6


@dataclass(frozen=True)
class FlameFitSettings:
    """Of `FlameFitter`.

    Attributes:
        person_frames: frames that say what a person looks like, evenly spread; bounds time. By eye.
        chunk: frames solved together: their Jacobians are what takes memory.
        person_rounds, frame_rounds, last_rounds: steps at most of the damped Gauss-Newton descents. By eye.
        eye_rounds: a turned eye may move its own iris otherwise than by turning, by the pose correctives.
        settled: part of the cost by which a round must at least lower it.
        damping, damping_least, damping_stuck: of Levenberg and Marquardt: at the start, at the least, and where a frame
            is left as it is. `damping_up`, `damping_down`: factors after a failed and a good step. Usual values.
        jaw_open, jaw_other: radians, standard deviations of an opening jaw, and of turns that jaws hardly make. By eye.
        nearest: head units from the camera that a head may come.
        shift_noise: head units across the line of sight, of one frame's pose. By eye.
        similarity_deviation: of how one head's poses differ from another's, head units and a ratio. By eye.
    """

    person_frames: int = 32
    chunk: int = 64
    person_rounds: int = 20
    frame_rounds: int = 12
    last_rounds: int = 4
    eye_rounds: int = 4
    settled: float = 1e-4
    damping: float = 1e-3
    damping_least: float = 1e-9
    damping_stuck: float = 1e6
    damping_up: float = 10
    damping_down: float = 5
    jaw_open: float = 0.15
    jaw_other: float = 0.03
    nearest: float = 2.0
    shift_noise: float = 0.01
    similarity_deviation: float = 0.2


@dataclass(frozen=True)
class RefineSettings:
    """Of `PictureRefiner`. Its pictures are `size` pixels wide; other lengths are in pixels of the 512-pixel crop.

    Attributes:
        size: pixels of a side of the pictures compared. By eye: half the crop's, for speed.
        texture: smaller eigenvalue of the structure tensor, grey levels squared, at which a point counts half. By eye.
        rigid: head units that expressions may move a point before it counts half for the pose. By eye.
        enough: total weight of trusted points below which two pictures have too little in common. By eye.
        reliable: the same, as part of the weight that could be trusted. Development clips: a grey picture is trusted
            to 0.2, frames of real clips to 0.24 and more.
        neighbourhood: pixels over which lids and lips share the skin's correction. By eye.
        blur: pixels of the small picture over which agreement is judged. By eye.
        border: pixels of the small picture at its edge where nothing is compared.
        pose_points: points at most that the pose is fitted to; bounds time.
        thin: factor for the weight of the surroundings, which are sampled more thinly than the face.
        depth_weight, rounds: of `refine_pose`.
    """

    size: int = 256
    texture: float = 4.0
    rigid: float = 0.01
    enough: float = 2.0
    reliable: float = 0.22
    neighbourhood: float = 25.0
    blur: int = 9
    border: int = 4
    pose_points: int = 400
    thin: float = 3
    depth_weight: float = 0.02
    rounds: int = 5


@dataclass(frozen=True)
class TorsoSettings:
    """Of `TorsoTracker`. Lengths in pixels are those of the small picture.

    Attributes:
        size: pixels of a side of the pictures compared. By eye.
        blur: pixels, how far an alignment may be off and still be pulled in. By eye.
        rounds, settled: steps at most, and the largest step (head units, radians) at which they end.
        fewest: pixels of edges without which there is nothing to follow. By eye.
        steep: grey levels a pixel, where an edge is worth comparing. By eye.
        outlier: grey levels at which a pixel counts half (Cauchy). By eye.
        reliable: mean robust weight that has to remain. Development clips.
        deviation: standard deviations of what shoulders do: head units to the left and up, radians of roll, logarithm
            of the growth. By eye. `largest`: how many of them a motion may have.
        noise: standard deviation of a pixel's grey level, large because neighbours err together. By eye.
        surely: share of the shoulders from which on a pixel surely belongs to them. By eye.
    """

    size: int = 256
    blur: float = 1.5
    rounds: int = 12
    settled: float = 2e-4
    fewest: int = 400
    steep: float = 4.0
    outlier: float = 12.0
    reliable: float = 0.35
    deviation: np.ndarray = field(default_factory=lambda: np.array([0.15, 0.15, 0.1, 0.02]))
    largest: float = 4
    noise: float = 200.0
    surely: float = 0.97


@dataclass(frozen=True)
class TrackSettings:
    """Of `track_source`, `track_driver` and what they share.

    Attributes:
        margin: pixels that are lifted beyond each side of the shown crop. By eye.
        image_fps: frames a second of a picture's single frame; nothing depends on it.
        seam: pixels over which the matte of the shown part runs into that of the wide crop. By eye.
        looked_at: shots of a clip, the longest ones, whose pictures correct their points: each takes memory.
        settle: frames after which the points of a still picture stand still; read off MediaPipe's tracker.
        bridged: seconds; gaps up to this long are interpolated, longer ones held. By eye.
    """

    margin: int = 96
    image_fps: Fraction = Fraction(25)
    seam: int = 16
    looked_at: int = 8
    settle: int = 5
    bridged: Fraction = Fraction(1, 2)
