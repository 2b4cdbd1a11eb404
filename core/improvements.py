"""The four improvements of a run, as its options ask for them, where the pipeline calls them.

Each is a class of its own that knows nothing of the others; here they get their settings and what they work on. One
that is off returns its input as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.records import IMAGE_SIZE, TrackedFrame, TrackedSequence, TrackedSource
from core.errors import UserError
from core.options import IMPROVEMENTS, Options
from core.runtime.buffers import Pictures

if TYPE_CHECKING:
    import torch

    from core.libs.expression_optimizer import ExpressionOptimizer
    from core.libs.flame_model import OpenHead
    from core.libs.retargeting.live_gaze import LiveGaze
    from core.libs.retargeting.stage import Retargeting, Strategy
    from core.libs.temporal_smoother import TemporalSmoother

_SMOOTHED_UPSTREAM = ("transform_matrix", "eyecode")  # what is smoothed in a `smoothed.pkl` already


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
        self._pictures = Pictures()
        # Imports here, because they take seconds that a refused run need not wait.
        if self._has("detail_enhance"):
            from core.models.modules.detail_enhancer import DetailEnhancer

            self._enhancer = DetailEnhancer()
        if self._has("gaze_correct"):
            from core.libs.gaze_corrector import GazeCorrector

            self._corrector = GazeCorrector(options.gaze_strength, not options.no_eye_enhance)

    def only(self, names: Collection[str]) -> Improvements:
        """These of its improvements, with the same tools: nothing is loaded or compiled again. UserError for others."""
        unknown = [name for name in names if name not in self.wanted]
        if unknown:
            raise UserError(f"improvements {', '.join(unknown)}: give some of {', '.join(self.wanted)}")
        some = copy.copy(self)
        some._pictures = Pictures()
        some.wanted = tuple(name for name in self.wanted if name in names)
        return some

    def another(self) -> Improvements:
        """The same for another thread that works on pictures at the same time: tools that keep buffers are its own."""
        twin = copy.copy(self)
        twin._pictures = Pictures()
        if self._has("detail_enhance"):
            twin._enhancer = self._enhancer.another()
        return twin

    def smoother(self, fps: float) -> TemporalSmoother:
        """What smooths a driver of so many frames a second, as the options have it."""
        from core.libs.temporal_smoother import TemporalSmoother

        options = self._options
        return TemporalSmoother(
            alpha=options.smooth_alpha,
            window_size=options.smooth_window,
            use_kalman=options.smooth_filter == "kalman",
            strength=options.smooth_strength,
            fps=fps,
        )

    def live_optimizer(self, head: OpenHead) -> ExpressionOptimizer:
        """The optimizer of a live driver's expression."""
        from core.libs.expression_optimizer import ExpressionOptimizer

        return ExpressionOptimizer(gain=self._options.expression_gain, head=head)

    def live_gaze(self, source: TrackedFrame, head: OpenHead) -> LiveGaze:
        """What sets a live driver's eyes."""
        from core.libs.retargeting.live_gaze import LiveGaze

        return LiveGaze(source, head, self._corrector, self._options.gaze_target)

    def smooth(self, track: TrackedSequence) -> TrackedSequence:
        """The driver with repeated frames bridged and smoothed by `TemporalSmoother`, each shot on its own.

        Parameters that were smoothed upstream are not smoothed again.
        """
        if not self._has("temporal_smooth") or len(track) < 2:
            return track
        from core.libs.filters.repeats import bridge_repeats

        smoother = self.smoother(float(track.fps))
        given = track.parameters
        if track.smoothed:
            given = {name: value for name, value in given.items() if name not in _SMOOTHED_UPSTREAM}
        shots, repeated = track.shot_frames, track.repeated

        def smoothed_shot(values: dict[str, np.ndarray], frames: np.ndarray) -> dict[str, Any]:
            if repeated is not None and self._options.smooth_strength > 0:
                values = bridge_repeats(values, repeated[frames], float(track.fps))
            return smoother.smooth_sequence(values)

        if len(shots) == 1:
            return track.with_parameters(smoothed_shot(given, shots[0]))
        given = {name: np.broadcast_to(value, (len(track), *value.shape[1:])).copy() for name, value in given.items()}
        for frames in shots:
            if len(frames) > 1:  # a still is no series
                smoothed = smoothed_shot({name: value[frames] for name, value in given.items()}, frames)
                for name, value in smoothed.items():
                    given[name][frames] = value
        return track.with_parameters(given)

    def steady(
        self, track: TrackedSequence, source: TrackedSource, pose_seen_small: Callable[..., np.ndarray | None] | None
    ) -> tuple[TrackedSequence, TrackedSequence]:
        """The driver as it is to be retargeted; and the same before frames that look alike were drawn together.

        It is smoothed (`smooth`); with --motion absolute the constant offset is taken out that a small driver is
        tracked with; and a small driver's expression and eyes are as frames that look alike have them.

        `pose_seen_small`: of `Components`, which measures that offset on the photo.
        """
        from core.libs.retargeting.pose import without_offset
        from core.libs.tracker.seen_small import crop_side

        alike = self._alike(track)
        tracks = [self.smooth(track)] if alike is track else [self.smooth(alike), self.smooth(track)]
        side = crop_side(track)
        counts = self._has("temporal_smooth") and self._options.motion == "absolute" and len(track) > 1
        if counts and side is not None and pose_seen_small is not None and self._options.smooth_strength > 0:
            seen = pose_seen_small(source, side)
            if seen is not None:
                tracks = [without_offset(one, source.frame.transform_matrix, seen) for one in tracks]
        return tracks[0], tracks[-1]

    def _alike(self, track: TrackedSequence) -> TrackedSequence:
        """A small driver's expression and jaw, and its eyes, as frames that look alike have them."""
        from core.libs.retargeting.likeness import steadied_by_likeness

        names = ["expcode", "posecode"] if self._has("expression_opt") else []
        if self._has("gaze_correct") and self._options.gaze_strength > 0:
            names.append("eyecode")
        return steadied_by_likeness(track, names)

    def retargeting(self, head: Any, track: TrackedSequence, source: TrackedSource | None = None) -> Retargeting:
        """The stage that transfers the driver's motion to the photo's person, with the strategies of the options.

        Args:
            head: the head model of both. track: the driver; where it has no eye codes, gaze is corrected only towards
                the camera. source: the photo, whose head moves less where it shows little around it.
        """
        from core.libs.retargeting.pose import PoseSettings
        from core.libs.retargeting.stage import Retargeting

        options = self._options
        expression = gaze = None
        # With --motion absolute the driver's codes are rendered as they are: it is mostly the same person.
        if self._has("expression_opt") and options.motion != "absolute":
            from core.libs.expression_optimizer import ExpressionOptimizer
            from core.libs.retargeting.expression import transfer_expression

            expression = partial(transfer_expression, ExpressionOptimizer(gain=options.expression_gain, head=head))
        if self._has("gaze_correct") and (options.gaze_target == "camera" or "eyecode" not in track.absent):
            gaze = self._gaze(head)
        return Retargeting(
            options.motion,
            PoseSettings() if source is None else PoseSettings().within(source),
            expression=expression,
            gaze=gaze,
            take=options.take,
            orbit_degrees=options.orbit,
        )

    def _gaze(self, head: Any) -> Strategy:
        """The strategy that sets the eye codes."""
        from core.libs.retargeting.gaze import steady_gaze, transfer_gaze

        corrector, target = self._corrector, self._options.gaze_target
        if self._options.motion == "absolute" and target == "driver":
            # The driver's codes are rendered: the eyes look where they should, and only their noise is filtered out.
            gain = head.iris_gain.same_face
            return lambda source, _, motion, head: steady_gaze(source, motion, head, corrector, iris_gain=gain)
        return partial(transfer_gaze, corrector=corrector, target=target, iris_gain=head.iris_gain.reading)

    def set_source(self, source: TrackedSource, head: Any) -> None:
        """Give the photo to the eye enhancer, which matches its contrast and edges; without it, contrast only rises."""
        if self._has("gaze_correct"):
            import torch

            image = torch.from_numpy(source.shown()[0].astype(np.float32) / 255).permute(2, 0, 1)
            points = _pixels(head, head.evaluate(source.frame), source.frame.transform_matrix, source.size)
            self._corrector.enhancer.set_source(image, points)

    def source_detail(self, source_transform: np.ndarray, transform: np.ndarray) -> float:
        """How much of the photo's own detail the avatar is to show, 0 to 1.

        `source_transform` (3, 4) is the photo's, `transform` (3, 4) that of the frame.
        """
        if not self._has("detail_enhance") or self._options.no_source_detail:
            return 0.0
        from core.models.modules.detail_enhancer import source_detail_fade

        strength = min(self._options.detail_strength, 1.0)
        return strength * source_detail_fade(source_transform, transform)

    def points(
        self, vertices: np.ndarray, transform: np.ndarray, head: Any, size: int = IMAGE_SIZE
    ) -> np.ndarray | None:
        """(478, 2) the tracker's points in a picture `size` pixels wide of `vertices` (V, 3) under a transform (3, 4).

        For `sharpen` and `clear_eyes`; NaN where a point is unknown, None where neither is on.
        """
        return _pixels(head, vertices, transform, size) if self.change_pictures else None

    @property
    def change_pictures(self) -> bool:
        """Whether `sharpen` or `clear_eyes` may do anything."""
        return self._has("detail_enhance") or self._has("gaze_correct")

    def sharpen(self, picture: torch.Tensor, points: np.ndarray | None) -> torch.Tensor:
        """The picture (3, H, W) in 0..1 with its detail raised, on its device; on the CPU in place."""
        if points is None or not self._has("detail_enhance") or self._options.detail_strength == 0:
            return picture
        from core.libs.flame_model.topology import INNER_LIPS, LEFT_EYE, RIGHT_EYE
        from core.models.modules.detail_enhancer import as_matte, face_mask
        from core.runtime.device import upload

        known = np.isfinite(points).all(1)
        # The inside of the mouth is painted, not photographed: it has no detail to raise. Eyes are `clear_eyes`'.
        rings = [list(ring) for ring in (INNER_LIPS, RIGHT_EYE, LEFT_EYE)]
        holes = [points[ring] for ring in rings if known[ring].all()]
        mask = face_mask(points[known], (picture.shape[-2], picture.shape[-1]), holes=holes)
        strength = self._options.detail_strength
        if _on_host(picture):
            self._enhancer.enhance_face(picture.permute(1, 2, 0).numpy(), mask, strength)
            return picture
        enhancer = self._enhancer.to(picture.device)  # its filters too, once: a copy in each frame would be waited for
        return enhancer(picture[None], strength, upload(as_matte(mask), picture.device))[0]

    def clear_eyes(self, picture: torch.Tensor, points: np.ndarray | None) -> torch.Tensor:
        """The picture with its eyes clearer; one that is not in the host's memory is copied there and back."""
        if points is None or not self._has("gaze_correct") or not self._corrector.enhance_eyes:
            return picture
        if _on_host(picture):
            self._corrector.enhancer.enhance(picture.permute(1, 2, 0).numpy(), points.astype(np.float64))
            return picture
        return self._corrector.enhance_eye_region(picture[None], points[None])[0]

    def over(self, person: torch.Tensor, backdrop: np.ndarray, points: np.ndarray | None) -> torch.Tensor:
        """The picture (3, H, W) of a person, straight RGB and matte (4, H, W), over a backdrop (H, W, 3).

        `sharpen` and `clear_eyes` change the person only: where the matte is 0, the picture is the backdrop.
        """
        import torch

        from core.libs.compositing import improve_person, over

        pixels = np.ascontiguousarray(person.permute(1, 2, 0).numpy(), np.float32)
        out = self._pictures.get(backdrop.shape)
        over(pixels, backdrop, out)
        picture = torch.from_numpy(out).permute(2, 0, 1)
        if points is None:
            return picture
        picture = self.clear_eyes(self.sharpen(picture, points), points)
        out = np.ascontiguousarray(picture.permute(1, 2, 0).numpy(), np.float32)
        improve_person(pixels, backdrop, out)
        return torch.from_numpy(out).permute(2, 0, 1)

    def cut_out(self, person: torch.Tensor, points: np.ndarray | None) -> torch.Tensor:
        """A person, straight RGB and matte (4, H, W), after `sharpen` and `clear_eyes`; these see it on black.

        Where the matte is 0, colours go on as they are beside it: video is scaled, and stored with coarser colours.
        """
        import torch

        from core.libs.compositing import spread_colors

        pixels = np.ascontiguousarray(person.permute(1, 2, 0).numpy(), np.float32)
        if points is not None:
            black = np.zeros((*pixels.shape[:2], 3), np.float32)
            change = self.over(person, black, points).permute(1, 2, 0).numpy() - pixels[..., :3] * pixels[..., 3:]
            pixels[..., :3] = np.clip(pixels[..., :3] + change, 0, 1)
        return torch.from_numpy(spread_colors(pixels)).permute(2, 0, 1)

    def finish(self, picture: torch.Tensor, vertices: np.ndarray, transform: np.ndarray, head: Any) -> torch.Tensor:
        """The picture (3, H, W) of `vertices` (V, 3) under `transform` (3, 4) after `sharpen` and `clear_eyes`."""
        points = self.points(vertices, transform, head)
        return self.clear_eyes(self.sharpen(picture, points), points)

    def warm_up(self) -> None:
        """Compile the kernels that work on pictures, or load them from the cache on disk."""
        from core.libs.compositing import warm_up

        warm_up()
        if self._has("detail_enhance"):
            self._enhancer.warm_up()
        if self._has("gaze_correct"):
            self._corrector.enhancer.warm_up()

    def _has(self, name: str) -> bool:
        return name in self.wanted


def _on_host(picture: torch.Tensor) -> bool:
    """Whether a picture is float32 in the host's memory, where numpy can change it in place."""
    import torch

    return picture.device.type == "cpu" and picture.dtype == torch.float32


def _pixels(head: Any, vertices: np.ndarray, transform: np.ndarray, size: int) -> np.ndarray:
    """(478, 2) the tracker's points in a picture, NaN where the head does not know them."""
    from core.libs.geometry import to_camera, to_pixels

    return to_pixels(to_camera(head.landmarks(vertices), transform), size)
