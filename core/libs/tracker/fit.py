"""From the tracker's points to the head model's codes: pose first, then jaw and eyes, then shape and expression.

Nothing here is iterative in the codes: given the pose, shape and expression are a linear Gaussian problem whose
solution is one matrix (the maximum a posteriori of codes with unit variance, which is damped least squares). A clip
has one shape; what single pictures and clips say of the same frame agrees because both use the same prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.libs.face_measures import lid_ratio, open_lid_ratio
from core.libs.flame_model import OpenHead
from core.libs.flame_model import topology as topo
from core.libs.flame_model.jaw import jaw_angle
from core.libs.geometry import FLIP, Camera, fit_similarity
from core.libs.numeric import blocks, ramp
from core.libs.tracker.fit_kernels import close_jaws, lift_points, turns_onto
from core.libs.tracker.point_buffer import PointBuffer
from core.libs.tracker.pose import refine_pose
from core.libs.tracker.settings import FitSettings, PoseFitSettings

_SETTINGS, _CAMERA = FitSettings(), Camera()


@dataclass(frozen=True)
class Fit:
    """Codes of T frames; see `core.data.records` for names and units."""

    shapecode: np.ndarray  # (300,)
    expcode: np.ndarray  # (T, 100)
    posecode: np.ndarray  # (T, 6)
    eyecode: np.ndarray  # (T, 6)
    transform: np.ndarray  # (T, 3, 4)
    static_offset: np.ndarray | None  # (V, 3), what the codes leave of the mean face, at rest, in head units


@dataclass(frozen=True)
class Person:
    """What the frames of a clip share, for `HeadFitter.codes`.

    Codes, and the face at rest (478, 3) as they have it and as it was seen, the former laid onto the template;
    the joints (5, 3).
    """

    shapecode: np.ndarray  # (300,)
    expcode: np.ndarray  # (100,) of the mean face
    rest: np.ndarray
    mean: np.ndarray
    laid: np.ndarray
    joints: np.ndarray


@dataclass(frozen=True)
class FitMaps:
    """The matrices of a `HeadFitter`, for another program that fits.

    Attributes:
        expression: (100, 3 * 478) from how a face differs from the person's own to expression codes.
        person_expression: (100, 3 * 478) from how a mean face differs from the template to its expression code, the
            shape fitted with it. pose_weights, stable: (478,) weights of points.
    """

    expression: np.ndarray
    person_expression: np.ndarray
    pose_weights: np.ndarray
    stable: np.ndarray


class HeadFitter:
    """Fits the open head to the tracker's points.

    Args:
        head: the open head.
        camera: of the crop in whose pixels the points are.
        settings: among them the noise that points are taken to have. pose: those of the poses' refinement.

    Attributes:
        kind: whose codes come out, `open`.
    """

    kind = OpenHead.kind

    def __init__(
        self,
        head: OpenHead,
        camera: Camera = _CAMERA,
        settings: FitSettings = _SETTINGS,
        pose: PoseFitSettings | None = None,
    ) -> None:
        self.camera, self._settings, self._pose_settings = camera, settings, pose or PoseFitSettings()
        noise = settings.noise
        n = topo.N_POINTS
        self._n_vertices = len(head.template)
        self._template = head.template.numpy()[:n].astype(np.float64)
        directions = head.directions.numpy()[:n].astype(np.float64)
        self._shape, self._expression = directions[..., : head.n_shape], directions[..., head.n_shape :]
        self._regressor = head.joint_regressor.numpy().astype(np.float64)
        self._eye_moves = np.einsum("jv,vck->jkc", self._regressor[3:, :n], self._expression)
        self._template_all = head.template.numpy().astype(np.float64)
        self._shape_all = head.directions.numpy()[..., : head.n_shape].astype(np.float64)
        self._jaw_weight = head.weights.numpy()[:n, 2].astype(np.float64)
        moves = (self._expression**2).sum((1, 2))
        # The less expressions move a point, the surer it is where the rest of the skull says.
        rigidity = 1.0 / (moves + (2 * noise[0]) ** 2)
        rigidity[topo.N_FACE :] = 0
        self._pose_weights = rigidity / rigidity.max()
        stable = np.zeros(n)
        stable[list(topo.STABLE)] = 1
        self._stable = stable * self._pose_weights
        sigma = np.broadcast_to([noise[0], noise[0], noise[1]], (n, 3))
        self._solve_both = _posterior(np.concatenate([self._shape, self._expression], -1), sigma)
        self._solve_expression = _posterior(self._expression, sigma)

    @property
    def maps(self) -> FitMaps:
        """Its matrices."""
        both = self._solve_both[self._shape.shape[-1] :]
        return FitMaps(self._solve_expression, both, self._pose_weights, self._stable)

    def fit(
        self,
        points: np.ndarray | PointBuffer,  # (T, 478, 3)
        transform: np.ndarray | None = None,  # (T, 3, 4)
        visible: np.ndarray | None = None,  # (T,) bool
    ) -> Fit:
        """Codes for points in pixels of the camera's crop (x right, y down, z away, centres at integers).

        With `transform` the poses are known and only the codes are fitted. The person is taken from frames whose
        face is `visible`, all of them in a short clip, else some, evenly spread: memory grows by the codes alone.
        """
        sample = np.arange(len(points)) if visible is None else np.flatnonzero(visible)
        most = self._settings.unposed_frames if transform is None else self._settings.person_frames
        if len(sample) > most:
            sample = sample[np.linspace(0, len(sample) - 1, most).round().astype(int)]
        person = self.person(points[sample], None if transform is None else transform[sample])
        # Room for all results first: small ones kept between large temporary ones would leave holes in the heap.
        columns = [np.empty((len(points), *shape), np.float32) for shape in ((100,), (), (6,), (2,), (3, 4))]
        for part in blocks(len(points), self._settings.chunk):
            pose = None if transform is None else transform[part]
            for column, values in zip(columns, self.codes(points[part], pose, person), strict=True):
                column[part] = values
        expcode, jaw, eyes, opening, pose = columns
        posecode = np.zeros((len(points), 6), np.float32)
        posecode[:, 3] = jaw
        static_offset = self.static_offset(person)
        eyecode = hold_behind_lids(eyes, opening, self._settings)
        return Fit(*(_single(a) for a in (person.shapecode, expcode, posecode, eyecode, pose, static_offset)))

    def static_offset(self, person: Person) -> np.ndarray:
        """(V, 3) what the codes leave of a person's mean face, at rest, in head units."""
        # Everything from points to codes is linear: the mean of what they leave is what they leave of the mean.
        static_offset = np.zeros((self._n_vertices, 3))
        known = self._template + self._shape @ person.shapecode + self._expression @ person.expcode
        static_offset[: topo.N_FACE] = (person.mean - known)[: topo.N_FACE]
        return static_offset

    def poses(self, points: np.ndarray, person: Person, near: np.ndarray | None = None) -> np.ndarray:
        """Transforms (T, 3, 4) of a known person whose points (T, 478, 3) are seen, in pixels of the crop.

        `near` (T, 3, 4): where they are to be searched, which is faster; else all of it is found from the points.
        """
        upright, rays = self._seen(points)
        if near is None:
            return self._pose(upright, rays, person.laid)
        shift = near[..., 3]
        relief = upright[..., 2] * (shift[:, 2:] / self.camera.pixels_per_unit)
        found = near[..., :3], shift, person.laid, rays, relief, self._pose_weights, self._pose_settings
        rotation, shift = refine_pose(*found)
        return np.concatenate([rotation, shift[..., None]], -1)

    def person(self, points: np.ndarray, transform: np.ndarray | None = None) -> Person:
        """What frames of points (T, 478, 3) say of the person; with their poses (T, 3, 4) where these are known."""
        rest, seen = self._template, self._seen(points)
        for _ in range(self._settings.person_rounds):  # pose and rest shape depend on one another
            person = rest
            mean = self._at_rest(seen, transform, person)[2].mean(0)
            codes = self._solve_both @ (mean - self._template).ravel()
            rest = mean - self._expression @ codes[300:]  # more than 300 codes can say of a person
        joints = self._regressor @ (self._template_all + self._shape_all @ codes[:300])
        return Person(codes[:300], codes[300:], person, mean, self._onto_template(person), joints)

    def _at_rest(
        self, seen: tuple[np.ndarray, np.ndarray], transform: np.ndarray | None, person: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Poses (T, 3, 4), the points in head space and with the jaw closed (T, 478, 3), the jaw's angles (T,).

        `seen`: what `_seen` says of the points.
        """
        upright, rays = seen
        pose = self._pose(upright, rays, self._onto_template(person)) if transform is None else transform
        lifted = self._lift(pose.astype(np.float64), rays, upright[..., 2], person)
        return pose, lifted, *self._unpose(lifted, person)

    def codes(self, points: np.ndarray, transform: np.ndarray | None, person: Person) -> tuple[np.ndarray, ...]:
        """Frames of a known person, each on its own, as `fit` has them but for eyes behind lids.

        Expression (T, 100), jaw (T,), eyes (T, 6), opening of the lids (T, 2), pose (T, 3, 4).
        """
        pose, lifted, rest, jaw = self._at_rest(self._seen(points), transform, person.rest)
        expcode = person.expcode + (rest - person.mean).reshape(len(rest), -1) @ self._solve_expression.T
        eyes = self._eyes(lifted, pose, expcode, person)
        return expcode, jaw, eyes, lid_ratio(lifted), pose

    def lifted(self, points: np.ndarray, transform: np.ndarray) -> np.ndarray:
        """The points themselves (478, 3) in head space, (478, 3), under a known pose (3, 4)."""
        rays = self.camera.unproject(points[None, :, :2].astype(np.float64))
        depth = -points[None, :, 2].astype(np.float64)
        return self._lift(transform[None].astype(np.float64), rays, depth, self._template)[0]

    def _seen(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (T, 478, 3) of the crop counted from its middle, upwards and towards the viewer; and their rays."""
        middle = (self.camera.size - 1) / 2
        upright = points.astype(np.float64) * [1, -1, -1] - [middle, -middle, 0]
        return upright, self.camera.unproject(points[..., :2].astype(np.float64))

    def _onto_template(self, person: np.ndarray) -> np.ndarray:
        """A person's rest shape laid onto the template by the stable points alone.

        So neither a long chin nor an open mouth nods the head, and all heads are of one size.
        """
        scale, turn, shift = fit_similarity(person, self._template, self._stable)
        return scale * person @ turn + shift

    def _pose(self, upright: np.ndarray, rays: np.ndarray, person: np.ndarray) -> np.ndarray:
        """Transforms (T, 3, 4) of a rigid person whose points are seen in the picture."""
        scale, rotation, shift = fit_similarity(np.broadcast_to(person, upright.shape), upright, self._pose_weights)
        distance = self.camera.pixels_per_unit / scale  # where one head unit spans `scale` pixels
        shift = np.concatenate([shift[:, :2] / scale[:, None] * FLIP[:2], distance[:, None]], 1)
        relief = upright[..., 2] / scale[:, None]
        rotation, shift = refine_pose(
            rotation * FLIP, shift, person, rays, relief, self._pose_weights, self._pose_settings
        )
        return np.concatenate([rotation, shift[..., None]], -1)

    def _lift(self, pose: np.ndarray, rays: np.ndarray, depth: np.ndarray, person: np.ndarray) -> np.ndarray:
        """The points in head space (T, 478, 3): on their rays, at the tracker's depth hung on the pose.

        The tracker's depths come with its estimate of the pose: the plane by which they differ from the posed person's
        is subtracted.
        """
        rotation, shift = (np.ascontiguousarray(part, np.float64) for part in (pose[..., :3], pose[..., 3]))
        relief = depth * (shift[:, 2:] / self.camera.pixels_per_unit)  # head units towards the viewer
        weight = self._pose_weights / self._pose_weights.sum()
        return lift_points(rotation, shift, np.ascontiguousarray(rays), relief, np.ascontiguousarray(person), weight)

    def _unpose(self, lifted: np.ndarray, person: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The points with the jaw closed again (T, 478, 3), and its angles (T,)."""
        joint = (self._template_all[[234, 454]]).mean(0)
        jaw = jaw_angle(lifted, person, joint)
        return close_jaws(lifted, jaw, joint, self._jaw_weight, self._settings.jaw_rounds), jaw

    def _eyes(self, lifted: np.ndarray, pose: np.ndarray, expcode: np.ndarray, person: Person) -> np.ndarray:
        """Left and right eye as axis-angle, (T, 6), that puts the irises where they are seen between the eye's corners.

        Where the codes have the corners beside where they are seen, the iris goes with them: a gaze is read off where
        the iris stands in its eye.
        """
        viewer = -np.einsum("tl,tkl->tk", pose[..., 3], pose[..., :3])
        starts, goals = [], []
        for joint, side, iris in ((3, "left", list(topo.LEFT_IRIS)), (4, "right", list(topo.RIGHT_IRIS))):
            corners = list(topo.EYE_CORNERS[side])
            moved = (expcode - person.expcode) @ self._expression[corners].mean(0).T
            beside = person.mean[corners].mean(0) + moved - lifted[:, corners].mean(1)
            centre = person.joints[joint] + expcode @ self._eye_moves[joint - 3]
            at_rest = (self._template[iris] + self._shape[iris] @ person.shapecode).mean(0) - centre
            goal = on_sphere(viewer, lifted[:, iris].mean(1) + beside, centre, np.linalg.norm(at_rest, axis=1))
            starts.append(at_rest)
            goals.append(goal - centre)
        turn = turn_onto(np.concatenate(starts), np.concatenate(goals), self._settings.turn_rounds)
        out = np.zeros((len(lifted), 2, 3))
        out[..., :2] = limited_eyes(turn, self._settings.eye_limit).reshape(2, -1, 2).swapaxes(0, 1)
        return out.reshape(-1, 6)


def limited_eyes(turns: np.ndarray, limit: float = _SETTINGS.eye_limit) -> np.ndarray:
    """Axis-angles (...) of eyes, each component clipped to plus and minus a limit in radians."""
    return np.clip(turns, -limit, limit)


def hold_behind_lids(eyes: np.ndarray, opening: np.ndarray, settings: FitSettings = _SETTINGS) -> np.ndarray:
    """Eye codes (T, 6), those of closing eyes replaced by an interpolation between the open ones before and after.

    A tracker guesses irises behind lids. `opening` (T, 2): lid distance over eye width, left and right. The code counts
    in full from `settings.open` of the clip's open eye on, not at all up to `settings.shut`, linearly between.
    """
    out = eyes.copy()
    part = opening / open_lid_ratio(opening)
    confidence = ramp(part, settings.shut, settings.open)
    for side in range(2):
        open_frames = np.flatnonzero(confidence[:, side] == 1)
        for column in (3 * side, 3 * side + 1):
            held = np.interp(np.arange(len(eyes)), open_frames, eyes[open_frames, column])
            out[:, column] = held + confidence[:, side] * (eyes[:, column] - held)
    return out


def on_sphere(viewer: np.ndarray, point: np.ndarray, centre: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Where the lines of sight (T, 3) through points first meet spheres, or pass nearest by them."""
    along = point - viewer
    along = along / np.linalg.norm(along, axis=1, keepdims=True)
    nearest = viewer + along * ((centre - viewer) * along).sum(1, keepdims=True)
    inside = radius**2 - ((nearest - centre) ** 2).sum(1)
    return nearest - along * np.sqrt(np.maximum(inside, 0))[:, None]


def turn_onto(start: np.ndarray, goal: np.ndarray, rounds: int = _SETTINGS.turn_rounds) -> np.ndarray:
    """Axis-angles (T, 2), the third component zero, that turn directions `start` onto `goal`, both (T, 3): Newton."""
    return turns_onto(np.ascontiguousarray(start, np.float64), np.ascontiguousarray(goal, np.float64), rounds)


def _posterior(directions: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """(K, 3 V): the map from displacements to the most probable codes, each of unit variance."""
    weight = 1.0 / sigma**2
    weight[topo.N_FACE :] = 0  # irises turn with the eyeballs
    flat = directions.reshape(-1, directions.shape[-1])
    weighted = flat * weight.reshape(-1, 1)
    return np.linalg.solve(flat.T @ weighted + np.eye(flat.shape[1]), weighted.T)


def _single(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32)
