"""The four improvements of a run, as its options ask for them, at the places where the pipeline calls them.

Each is a class of its own that knows nothing of the others; here they get their settings and what they work on. One
that is off leaves what it is given exactly as it is.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.records import IMAGE_SIZE, TrackedFrame, TrackedSequence, TrackedSource
from core.options import IMPROVEMENTS, Options

if TYPE_CHECKING:
    import torch

    from core.libs.retargeting.stage import Retargeting, Strategy

_SMOOTHED_UPSTREAM = ("transform_matrix", "eyecode")  # what a `smoothed.pkl` has been through


class Improvements:
    """What is on in a run.

    Args:
        options: of the run.

    Attributes:
        wanted: names of those that are on, in the order of the flow.
    """

    def __init__(self, options: Options) -> None:
        self.wanted = tuple(name for name in IMPROVEMENTS if options.wants(name))
        self._options = options
        self._source: TrackedFrame | None = None
        # Imports here, because they take seconds that a refused run need not wait.
        if self._has("detail_enhance"):
            from core.models.modules.detail_enhancer import DetailEnhancer

            self._enhancer = DetailEnhancer()
        if self._has("gaze_correct"):
            from core.libs.gaze_corrector import GazeCorrector

            self._corrector = GazeCorrector(options.gaze_strength, not options.no_eye_enhance)

    def smooth(self, track: TrackedSequence) -> TrackedSequence:
        """The driver's parameters without the tracker's jitter, each piece between two cuts on its own."""
        if not self._has("temporal_smooth") or len(track) < 2:
            return track
        from core.libs.temporal_smoother import TemporalSmoother

        options = self._options
        smoother = TemporalSmoother(
            alpha=options.smooth_alpha,
            window_size=options.smooth_window,
            use_kalman=options.smooth_filter == "kalman",
            strength=options.smooth_strength,
            fps=float(track.fps),
        )
        given = track.parameters
        if track.smoothed:
            given = {name: value for name, value in given.items() if name not in _SMOOTHED_UPSTREAM}
        pieces = track.shot_frames
        if len(pieces) == 1:
            return track.with_parameters(smoother.smooth_sequence(given))
        given = {name: np.broadcast_to(value, (len(track), *value.shape[1:])).copy() for name, value in given.items()}
        for frames in pieces:
            if len(frames) > 1:  # a still has nothing to be smoothed with
                found = smoother.smooth_sequence({name: value[frames] for name, value in given.items()})
                for name, value in found.items():
                    given[name][frames] = value
        return track.with_parameters(given)

    def retargeting(self, head: Any, track: TrackedSequence) -> Retargeting:
        """The stage that carries the driver's motion over to this photo's person, as the options have it.

        Args:
            head: the head model of both. track: the driver; one that says nothing of its eyes is not looked at for
                where they look.
        """
        from core.libs.retargeting.stage import Retargeting

        options = self._options
        expression = gaze = None
        # Asked for as they are, the driver's expressions are another matter: the same person's, mostly.
        if self._has("expression_opt") and options.motion != "absolute":
            from core.libs.expression_optimizer import ExpressionOptimizer
            from core.libs.retargeting.expression import transfer_expression

            expression = partial(transfer_expression, ExpressionOptimizer(gain=options.expression_gain, head=head))
        # Where a driver says nothing of its eyes, there is nowhere that they look.
        if self._has("gaze_correct") and (options.gaze_target == "camera" or "eyecode" not in track.absent):
            gaze = self._gaze(head)
        return Retargeting(
            options.motion, expression=expression, gaze=gaze, take=options.take, orbit_degrees=options.orbit
        )

    def _gaze(self, head: Any) -> Strategy:
        """What sets the eyes."""
        from core.libs.retargeting.gaze import steady_gaze, transfer_gaze

        corrector, target = self._corrector, self._options.gaze_target
        if self._options.motion == "absolute" and target == "driver":
            # The driver's own codes are rendered: the eyes look where they should, and only their noise goes.
            gain = head.iris_gain.same_face
            return lambda source, _, motion, head: steady_gaze(source, motion, head, corrector, iris_gain=gain)
        return partial(transfer_gaze, corrector=corrector, target=target, iris_gain=head.iris_gain.reading)

    def show(self, source: TrackedSource, head: Any) -> None:
        """Let the image tools see the photo; to be called once, before the first picture."""
        self._source = source.frame
        if self._has("gaze_correct"):
            import torch

            image = torch.from_numpy(source.shown()[0].astype(np.float32) / 255).permute(2, 0, 1)
            points = _pixels(head, head.evaluate(source.frame), source.frame.transform_matrix)
            self._corrector.enhancer.set_source(image, points)

    def detail(self, transform: np.ndarray) -> float:
        """How much of the photo's own detail the avatar is to show under a transform (3, 4), 0 to 1."""
        if not self._has("detail_enhance") or self._options.no_source_detail or self._source is None:
            return 0.0
        from core.models.modules.detail_enhancer import source_detail_fade

        strength = min(self._options.detail_strength, 1.0)
        return strength * source_detail_fade(self._source.transform_matrix, transform)

    def points(self, vertices: np.ndarray, transform: np.ndarray, head: Any) -> np.ndarray | None:
        """(478, 2) the tracker's points in a picture of `vertices` (V, 3) under a transform (3, 4); NaN where unknown.

        What `sharpen` and `clear_eyes` go by; None where neither is on.
        """
        if not (self._has("detail_enhance") or self._has("gaze_correct")):
            return None
        return _pixels(head, vertices, transform)

    def sharpen(self, picture: torch.Tensor, points: np.ndarray | None) -> torch.Tensor:
        """The picture (3, 512, 512) with its detail, on its own device; on the CPU it is written to."""
        if not self._has("detail_enhance") or self._options.detail_strength == 0:
            return picture
        from core.libs.flame_model.topology import INNER_LIPS
        from core.models.modules.detail_enhancer import as_matte, face_mask
        from core.runtime.device import upload

        known = np.isfinite(points).all(1)
        lips = points[inner := list(INNER_LIPS)]
        # The inside of a mouth is painted, not seen: there is nothing in it to bring out.
        holes = [lips] if known[inner].all() else []
        mask = face_mask(points[known], (IMAGE_SIZE, IMAGE_SIZE), holes=holes)
        strength = self._options.detail_strength
        if _on_host(picture):
            self._enhancer.enhance_face(picture.permute(1, 2, 0).numpy(), mask, strength)
            return picture
        enhancer = self._enhancer.to(picture.device)  # its filters too, once: a copy in each frame would be waited for
        return enhancer(picture[None], strength, upload(as_matte(mask), picture.device))[0]

    def clear_eyes(self, picture: torch.Tensor, points: np.ndarray | None) -> torch.Tensor:
        """The same with its eyes clearer; best of a picture on the host, or it has to be waited for."""
        if not self._has("gaze_correct") or not self._corrector.enhance_eyes:
            return picture
        if _on_host(picture):
            self._corrector.enhancer.enhance(picture.permute(1, 2, 0).numpy(), points.astype(np.float64))
            return picture
        return self._corrector.enhance_eye_region(picture[None], points[None])[0]

    def finish(self, picture: torch.Tensor, vertices: np.ndarray, transform: np.ndarray, head: Any) -> torch.Tensor:
        """The picture (3, 512, 512) with its detail, then with its eyes, clearer.

        `vertices` (V, 3) and `transform` (3, 4) say what it shows.
        """
        points = self.points(vertices, transform, head)
        return self.clear_eyes(self.sharpen(picture, points), points)

    def warm_up(self) -> None:
        """Compile what works on pictures, or load it from the cache on disk."""
        if self._has("detail_enhance"):
            self._enhancer.warm_up()
        if self._has("gaze_correct"):
            self._corrector.enhancer.warm_up()

    def _has(self, name: str) -> bool:
        return name in self.wanted


def _on_host(picture: torch.Tensor) -> bool:
    """Whether a picture can be worked on where it is, in numpy."""
    import torch

    return picture.device.type == "cpu" and picture.dtype == torch.float32


def _pixels(head: Any, vertices: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """(478, 2) the tracker's points in a picture, NaN where the head does not know them."""
    from core.libs.geometry import to_camera, to_pixels

    return to_pixels(to_camera(head.landmarks(vertices), transform))
