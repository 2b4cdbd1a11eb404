"""From the tracker's points to FLAME's codes, through FLAME's 68 landmarks and two irises.

FLAME has no point for most of the tracker's 478; what the two have in common are the points of the iBUG annotation
(`topology.LANDMARKS_68`). So few of them do not give the pose apart from the face. Pose, jaw, expression and, over a
clip, one shape are found together: the maximum a posteriori of codes with unit variance by damped Gauss-Newton
(Levenberg 1944, Marquardt 1963) on where the landmarks are seen, the clip's frames eliminated by their Schur complement
while the shape is sought. The eyes follow from the irises in closed form.

The jaw line is FLAME's static one. FLAME's dynamic one slides along the silhouette as a detector of 2D outlines does;
the tracker's points stay where they are on the skin. They lie beside the annotation's along the line, though, so that
they count for a sixteenth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.errors import UserError
from core.libs.face_measures import lid_ratio
from core.libs.flame_model import FlameHead
from core.libs.flame_model.moving_landmarks import MovingLandmarks, turn_matrices
from core.libs.flame_model.topology import LEFT_IRIS, PARTS_68, RIGHT_IRIS
from core.libs.geometry import FLIP, Camera, fit_similarity, to_camera
from core.libs.numeric import blocks
from core.libs.tracker.fit import Fit, hold_behind_lids, limited_eyes, on_sphere, turn_onto
from core.libs.tracker.point_buffer import PointBuffer
from core.libs.tracker.pose import carry_poses, follow_poses
from core.libs.tracker.settings import FitSettings, FlameFitSettings

_SETTINGS, _CAMERA = FlameFitSettings(), Camera()


@dataclass(frozen=True)
class _State:
    """Parameters of T frames of one person."""

    rotation: np.ndarray  # (T, 3, 3)
    shift: np.ndarray  # (T, 3)
    jaw: np.ndarray  # (T, 3)
    eyes: np.ndarray  # (T, 6)
    expression: np.ndarray  # (T, E)
    shape: np.ndarray  # (S,)

    @property
    def codes(self) -> np.ndarray:  # (T, S + E)
        shape = np.broadcast_to(self.shape, (len(self.jaw), len(self.shape)))
        return np.concatenate([shape, self.expression], 1)

    @property
    def transform(self) -> np.ndarray:  # (T, 3, 4)
        return np.concatenate([self.rotation, self.shift[..., None]], -1)


class FlameFitter:
    """Fits FLAME to the tracker's points.

    Args:
        head: FLAME.
        camera: of the crop in whose pixels the points are.
        settings: of FLAME's fit, among them the noise that landmarks are taken to have. eyes: of both fitters' eyes.

    Attributes:
        kind: whose codes come out, `flame`.
    """

    kind = FlameHead.kind

    def __init__(
        self,
        head: FlameHead,
        camera: Camera = _CAMERA,
        settings: FlameFitSettings = _SETTINGS,
        eyes: FitSettings | None = None,
    ) -> None:
        self.camera, self._settings, self._eye_settings = camera, settings, eyes or FitSettings()
        noise = tuple(value * camera.scale for value in settings.noise)
        self._landmarks = MovingLandmarks(head)
        self._index = self._landmarks.tracker_points
        self._irises = [int(np.flatnonzero(self._index == iris)[0]) for iris in (LEFT_IRIS[0], RIGHT_IRIS[0])]
        self._n_shape, self._n_expression = head.n_shape, head.n_exp
        sigma = np.full((70, 3), [noise[0], noise[0], noise[2]])
        jaw = slice(*PARTS_68["jaw"])
        sigma[jaw, :2] = noise[1]
        sigma[jaw, 2] *= noise[1] / noise[0]
        self._inverse_sigma = 1 / sigma
        self._inverse_sigma[68:] = 0  # the irises move with the eyes alone
        depth = self._inverse_sigma[:, 2] ** 2
        self._depth_share = depth / depth.sum()

    def fit(
        self,
        points: np.ndarray | PointBuffer,  # (T, 478, 3)
        transform: np.ndarray | None = None,  # (T, 3, 4)
        visible: np.ndarray | None = None,  # (T,) bool
    ) -> Fit:
        """Codes for points in pixels of the camera's crop (x right, y down, z away, centres at integers).

        With `transform` (of FLAME's own space) the poses are known and only the codes are fitted. The person is taken
        from frames whose face is `visible`, evenly spread. No static offset: it would be a mesh from a few points.
        """
        sample = self._sampled(np.arange(len(points)) if visible is None else np.flatnonzero(visible))
        person = self._person(points[sample], None if transform is None else transform[sample])
        parts = []
        for part in blocks(len(points), self._settings.chunk):
            pose = None if transform is None else transform[part]
            parts.append(self._frames(points[part].astype(np.float64), pose, person))
        jaw, eyes, expression, pose, opening = (np.concatenate(column) for column in zip(*parts, strict=True))
        posecode = np.concatenate([np.zeros_like(jaw), jaw], 1)
        eyes = hold_behind_lids(eyes, opening, self._eye_settings)
        codes = (_padded(person.shape, 300), _padded(expression, 100), posecode, eyes)
        arrays = (*codes, pose if transform is None else transform)
        shapecode, expcode, posecode, eyecode, pose = (np.ascontiguousarray(a, np.float32) for a in arrays)
        return Fit(shapecode, expcode, posecode, eyecode, pose, None)

    def poses_from(
        self,
        points: np.ndarray | PointBuffer,  # (T, 478, 3)
        steady: np.ndarray,  # (T, 3, 4) of another head on the same points
        visible: np.ndarray,  # (T,) bool
    ) -> np.ndarray:  # (T, 3, 4)
        """Poses of FLAME that move exactly as those of another head, which were found from more than a few points."""
        sample = self._sampled(np.flatnonzero(visible))
        fitted = self.fit(points[sample]).transform
        return carry_poses(steady, *follow_poses(fitted, steady[sample], self._settings))

    def _person(self, points: np.ndarray, transform: np.ndarray | None) -> _State:
        """The frames that say what a person looks like, and their shape."""
        observed = self._observed(points)
        state = self._start(observed, transform, None)
        pose_known = transform is not None
        state = self._with_eyes(self._descend_together(state, observed, pose_known), observed)
        return self._descend_together(state, observed, pose_known)

    def _frames(self, points: np.ndarray, transform: np.ndarray | None, person: _State) -> tuple[np.ndarray, ...]:
        """Jaw (T, 3), eyes (T, 6), expression (T, E), pose (T, 3, 4) and opening of the lids (T, 2) of frames."""
        observed = self._observed(points)
        state = self._start(observed, transform, person)
        pose_known = transform is not None
        state = self._with_eyes(self._descend(state, observed, pose_known, self._settings.frame_rounds), observed)
        # Turned eyes pull at the lids, where the head has it so.
        state = self._with_eyes(self._descend(state, observed, pose_known, self._settings.last_rounds), observed)
        return state.jaw, state.eyes, state.expression, state.transform, lid_ratio(points)

    def _observed(self, points: np.ndarray) -> np.ndarray:
        """The landmarks (T, 70, 3) among points (T, 478, 3)."""
        return points[:, self._index].astype(np.float64)

    def _start(self, observed: np.ndarray, transform: np.ndarray | None, person: _State | None) -> _State:
        """Mean expression, and poses by a similarity between the face and the points with their depths."""
        n = len(observed)
        shape = np.zeros(self._n_shape) if person is None else person.shape
        expression = np.zeros(self._n_expression) if person is None else person.expression.mean(0)
        jaw = np.zeros(3) if person is None else person.jaw.mean(0)
        state = _State(
            rotation=np.broadcast_to(np.eye(3), (n, 3, 3)),
            shift=np.zeros((n, 3)),
            jaw=np.tile(jaw, (n, 1)),
            eyes=np.zeros((n, 6)),
            expression=np.tile(expression, (n, 1)),
            shape=shape,
        )
        if transform is not None:
            pose = transform.astype(np.float64)
            return replace(state, rotation=pose[..., :3], shift=pose[..., 3])
        upright = observed * [1, -1, -1] - [(self.camera.size - 1) / 2, -(self.camera.size - 1) / 2, 0]
        scale, rotation, shift = fit_similarity(self._place(state), upright, self._inverse_sigma[:, 0] ** 2)
        shift = (
            np.concatenate([shift[:, :2] * FLIP[:2], np.full((n, 1), self.camera.pixels_per_unit)], 1) / scale[:, None]
        )
        return replace(state, rotation=rotation * FLIP, shift=shift)

    def _place(self, state: _State) -> np.ndarray:
        """The landmarks (T, 70, 3) in head space."""
        return self._landmarks.turned(self._landmarks.unturned(state.codes), turn_matrices(state.jaw, state.eyes))

    def _error(self, state: _State, observed: np.ndarray) -> np.ndarray:
        """By how many standard deviations landmarks lie off, (T, 70, 3): right, down, away."""
        camera = to_camera(self._place(state), state.transform)
        depth = self.camera.pixels_per_unit / state.shift[:, 2:] * camera[..., 2] - observed[..., 2]
        depth = depth - (depth @ self._depth_share)[:, None]
        return (
            np.concatenate([self.camera.to_pixels(camera) - observed[..., :2], depth[..., None]], -1)
            * self._inverse_sigma
        )

    def _cost(self, state: _State, observed: np.ndarray) -> np.ndarray:
        """Of each frame, (T,); infinite where the head comes too near to the camera."""
        error = (self._error(state, observed) ** 2).sum((1, 2))
        error += (state.expression**2).sum(1) + (_jaw_precision(state.jaw, self._settings) * state.jaw**2).sum(1)
        return np.where(np.isfinite(error) & (state.shift[:, 2] > self._settings.nearest), error, np.inf)

    def _jacobian(self, state: _State, first: int) -> np.ndarray:
        """How errors change with turn (3), shift (3), jaw (3) and the codes from `first` on: (T, 210, 9 + K)."""
        n = len(state.jaw)
        turns = turn_matrices(state.jaw, state.eyes)
        parts = self._landmarks.unturned(state.codes)
        points = self._landmarks.turned(parts, turns)
        spun = points @ state.rotation
        camera = spun + state.shift[:, None]
        into_camera = np.swapaxes(state.rotation, 1, 2)
        moved = np.empty((n, 70, 3, 9 + self._landmarks.directions.shape[-1] - first))  # of points in the camera frame
        x, y, z = spun[..., 0], spun[..., 1], spun[..., 2]
        zero = np.zeros_like(x)
        # A turn w about the camera's axes moves q by w x q.
        moved[..., :3] = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1).reshape(n, 70, 3, 3)
        moved[..., 3:6] = np.eye(3)
        step = 1e-5
        for axis in range(3):
            beside = state.jaw + step * np.eye(3)[axis]
            rate = (self._landmarks.turned(parts, turn_matrices(beside, state.eyes)) - points) / step
            moved[..., 6 + axis] = rate @ state.rotation
        joints = np.concatenate([into_camera[:, None], into_camera[:, None] @ turns], 1)  # (T, 4, 3, 3)
        joints = joints.transpose(0, 2, 1, 3).reshape(3 * n, 12)
        directions = self._landmarks.directions[..., first:].transpose(0, 2, 1, 3).reshape(12, -1)
        moved[..., 9:] = (joints @ directions).reshape(n, 3, 70, -1).transpose(0, 2, 1, 3)
        out = np.empty_like(moved)
        slope = camera[..., :2] / camera[..., 2:]
        out[..., :2, :] = (
            -self.camera.pixels_per_unit
            * (moved[..., :2, :] - slope[..., None] * moved[..., 2:, :])
            / camera[..., 2:, None]
        )
        away = moved[..., 2, :] * (self.camera.pixels_per_unit / state.shift[:, 2])[:, None, None]
        out[..., 2, :] = away - np.einsum("l,tlk->tk", self._depth_share, away)[:, None]
        out *= self._inverse_sigma[..., None]
        return out.reshape(n, 210, -1)

    def _equations(
        self, state: _State, observed: np.ndarray, pose_known: bool, first: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of each frame: its Jacobian (T, 210, F) and that of the shape (T, 210, S), normal matrix (T, F, F) and right
        side (T, F) of its parameters: pose unless it is known, jaw, expression.
        """
        jacobian = self._jacobian(state, first)
        n_shape = self._n_shape - first
        shared = jacobian[..., 9 : 9 + n_shape]
        free = np.concatenate([jacobian[..., 6 if pose_known else 0 : 9], jacobian[..., 9 + n_shape :]], -1)
        error = self._error(state, observed).reshape(len(free), 210)
        pose_zeros = np.zeros((len(free), 0 if pose_known else 6))
        at = np.concatenate([pose_zeros, state.jaw, state.expression], 1)
        precision = np.concatenate(
            [pose_zeros, _jaw_precision(state.jaw, self._settings), np.ones_like(state.expression)], 1
        )
        normal = np.swapaxes(free, 1, 2) @ free
        diagonal = np.arange(normal.shape[1])
        normal[:, diagonal, diagonal] += precision
        right = -np.einsum("tmf,tm->tf", free, error) - precision * at
        return free, shared, normal, right

    def _descend(self, state: _State, observed: np.ndarray, pose_known: bool, rounds: int) -> _State:
        """Poses, jaws and expressions of frames whose person's shape is known, frame by frame."""
        cost = self._cost(state, observed)
        damping = np.full(len(observed), self._settings.damping)
        for _ in range(rounds):
            _, _, normal, right = self._equations(state, observed, pose_known, self._n_shape)
            step = np.linalg.solve(_damped(normal, damping), right[..., None])[..., 0]
            moved = _moved(state, step, pose_known)
            after = self._cost(moved, observed)
            better = after < cost
            state = _choose(better, moved, state)
            damping = np.where(
                better,
                np.maximum(damping / self._settings.damping_down, self._settings.damping_least),
                damping * self._settings.damping_up,
            )
            settled = np.where(
                better, cost - after <= self._settings.settled * cost, damping > self._settings.damping_stuck
            )
            cost = np.where(better, after, cost)
            if settled.all():
                break
        return state

    def _descend_together(self, state: _State, observed: np.ndarray, pose_known: bool) -> _State:
        """Poses, jaws, expressions of frames and the one shape that they share."""
        damping = self._settings.damping
        cost = self._cost(state, observed).sum() + state.shape @ state.shape
        for _ in range(self._settings.person_rounds):
            free, shared, normal, right = self._equations(state, observed, pose_known, 0)
            error = self._error(state, observed).reshape(-1)
            flat = shared.reshape(-1, shared.shape[-1])
            cross = np.swapaxes(free, 1, 2) @ shared  # (T, F, S)
            solved = np.linalg.solve(_damped(normal, damping), np.concatenate([cross, right[..., None]], -1))
            matrix = _damped(flat.T @ flat + np.eye(flat.shape[1]), damping)
            matrix = matrix - np.tensordot(cross, solved[..., :-1], ([0, 1], [0, 1]))
            goal = -flat.T @ error - state.shape - np.tensordot(cross, solved[..., -1], ([0, 1], [0, 1]))
            shape_step = np.linalg.solve(matrix, goal)
            moved = _moved(state, solved[..., -1] - solved[..., :-1] @ shape_step, pose_known)
            moved = replace(moved, shape=state.shape + shape_step)
            after = self._cost(moved, observed).sum() + moved.shape @ moved.shape
            if not after < cost:
                damping *= self._settings.damping_up
                if damping > self._settings.damping_stuck:
                    break
                continue
            settled = cost - after <= self._settings.settled * cost
            state, cost = moved, after
            damping = max(damping / self._settings.damping_down, self._settings.damping_least)
            if settled:
                break
        return state

    def _with_eyes(self, state: _State, observed: np.ndarray) -> _State:
        """The eyes turned so that the irises stand between the eye's corners where they are seen to.

        Where the codes put the corners beside where they are seen, the iris goes along: a gaze is read off the place
        of the iris in its eye.
        """
        drawn = self.camera.to_pixels(to_camera(self._place(state), state.transform))
        centres = self._landmarks.eye_joints(state.codes)
        viewer = -np.einsum("tl,tkl->tk", state.shift, state.rotation)
        goals = []
        for side, part in enumerate(("left eye", "right eye")):
            first, _ = PARTS_68[part]
            corners = [first, first + 3]
            beside = (drawn[:, corners] - observed[:, corners, :2]).mean(1)
            rays = self.camera.unproject(observed[:, self._irises[side], :2] + beside)
            rays = np.concatenate([rays, np.ones((len(rays), 1))], 1)
            goals.append(viewer + np.einsum("tl,tkl->tk", rays, state.rotation))
        for _ in range(self._settings.eye_rounds):
            looks = self._place(state)[:, self._irises] - centres  # (T, 2, 3)
            back = turn_matrices(state.jaw, state.eyes)[:, 1:]
            at_rest = np.einsum("tsba,tsb->tsa", back, looks)
            eyes = np.zeros_like(state.eyes)
            for side, goal in enumerate(goals):
                radius = np.linalg.norm(at_rest[:, side], axis=1)
                goal = on_sphere(viewer, goal, centres[:, side], radius) - centres[:, side]
                turn = turn_onto(at_rest[:, side], goal, self._eye_settings.turn_rounds)
                turn = limited_eyes(turn, self._eye_settings.eye_limit)
                eyes[:, 3 * side : 3 * side + 2] = turn
            state = replace(state, eyes=eyes)
        return state

    def _sampled(self, frames: np.ndarray) -> np.ndarray:
        """At most `person_frames` of some frames (N,), evenly spread."""
        return frames[
            np.linspace(0, len(frames) - 1, min(len(frames), self._settings.person_frames)).round().astype(int)
        ]


def _jaw_precision(jaw: np.ndarray, settings: FlameFitSettings = _SETTINGS) -> np.ndarray:
    """Of the prior of jaws (T, 3): they open, but from closed they hardly close further."""
    deviation = np.full_like(jaw, settings.jaw_other)
    deviation[:, 0] = np.where(jaw[:, 0] > 0, settings.jaw_open, settings.jaw_other)
    return deviation**-2


def _damped(normal: np.ndarray, damping: np.ndarray | float) -> np.ndarray:
    """Matrices (..., N, N) with their diagonals raised by a part of (...,)."""
    out = normal.copy()
    diagonal = np.arange(normal.shape[-1])
    out[..., diagonal, diagonal] *= 1 + np.asarray(damping)[..., None]
    return out


def _moved(state: _State, step: np.ndarray, pose_known: bool) -> _State:
    """A state after steps (T, F) of its frames."""
    if not pose_known:
        from scipy.spatial.transform import (
            Rotation,  # a run that finds photo and driver in the cache does without it
        )

        turn = Rotation.from_rotvec(step[:, :3]).as_matrix()
        rotation = state.rotation @ np.swapaxes(turn, 1, 2)
        state = replace(state, rotation=rotation, shift=state.shift + step[:, 3:6])
        step = step[:, 6:]
    return replace(state, jaw=state.jaw + step[:, :3], expression=state.expression + step[:, 3:])


def _choose(which: np.ndarray, a: _State, b: _State) -> _State:
    """Frames of `a` where `which` (T,), of `b` elsewhere."""
    names = ("rotation", "shift", "jaw", "eyes", "expression")
    chosen = {
        n: np.where(which.reshape(-1, *[1] * (getattr(a, n).ndim - 1)), getattr(a, n), getattr(b, n)) for n in names
    }
    return replace(b, **chosen)


def _padded(codes: np.ndarray, length: int) -> np.ndarray:
    """Codes (..., K) with zeros for the directions that the head was cut to do without."""
    return np.concatenate([codes, np.zeros((*codes.shape[:-1], length - codes.shape[-1]))], -1)


def flame_fitter(
    head: Path,
    camera: Camera = _CAMERA,
    settings: FlameFitSettings = _SETTINGS,
    eyes: FitSettings | None = None,
) -> FlameFitter:
    """What fits FLAME, from its file; UserError where it is another one. The others as of `FlameFitter`."""
    model = FlameHead(path=head)
    if model.embedding is None:
        raise UserError(f"{head}: not FLAME with its landmarks; give FLAME_with_eye.pt as upstream publishes it")
    return FlameFitter(model, camera, settings, eyes)
