"""From the tracker's points to the head model's codes: pose first, then jaw and eyes, then shape and expression.

Nothing here is iterative in the codes: given the pose, shape and expression are a linear Gaussian problem whose solution
is one matrix (the maximum a posteriori of codes with unit variance, which is damped least squares). A clip has one
shape; what single pictures and clips say of the same frame agrees because both use the same prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.data.records import FOCAL, IMAGE_SIZE
from core.libs.flame_model import FLAMEModel
from core.libs.flame_model import topology as topo
from core.libs.flame_model.jaw import jaw_angle, rotate_about_x
from core.libs.geometry import fit_similarity, to_rays
from core.libs.tracker.pose import refine_pose

FLIP = np.array([-1.0, 1.0, -1.0])  # upright (x right, y up, z to the viewer) to the camera's axes
_EYE_LIMIT = np.radians(40)


@dataclass(frozen=True)
class Fit:
    """Codes of T frames; see `core.data.records` for names and units."""

    shapecode: np.ndarray  # (300,)
    expcode: np.ndarray  # (T, 100)
    posecode: np.ndarray  # (T, 6)
    eyecode: np.ndarray  # (T, 6)
    transform: np.ndarray  # (T, 3, 4)
    residual: np.ndarray  # (T, V, 3), what the codes leave, at rest, in head units


class HeadFitter:
    """Fits the open head to the tracker's points.

    Args:
        head: the open head.
        noise: standard deviation of a point across the line of sight and along it, in head units. Depth from one view
            is the weaker measurement by far.
    """

    def __init__(self, head: FLAMEModel, noise: tuple[float, float] = (0.003, 0.012)) -> None:
        n = topo.N_POINTS
        self._n_vertices = len(head.template)
        self._template = head.template.numpy()[:n].astype(np.float64)
        directions = head.directions.numpy()[:n].astype(np.float64)
        self._shape, self._expression = directions[..., : head.n_shape], directions[..., head.n_shape :]
        self._regressor = head.joint_regressor.numpy().astype(np.float64)
        self._template_all = head.template.numpy().astype(np.float64)
        self._shape_all = head.directions.numpy()[..., : head.n_shape].astype(np.float64)
        self._jaw_weight = head.weights.numpy()[:n, 2].astype(np.float64)
        moves = (self._expression**2).sum((1, 2))
        # How far a point can be trusted to be where the rest of the skull says.
        trust = 1.0 / (moves + (2 * noise[0]) ** 2)
        trust[topo.N_FACE :] = 0
        self._pose_weights = trust / trust.max()
        stable = np.zeros(n)
        stable[list(topo.STABLE)] = 1
        self._stable = stable * self._pose_weights
        sigma = np.broadcast_to([noise[0], noise[0], noise[1]], (n, 3))
        self._solve_both = _posterior(np.concatenate([self._shape, self._expression], -1), sigma)
        self._solve_expression = _posterior(self._expression, sigma)

    def fit(self, points: np.ndarray, transform: np.ndarray | None = None) -> Fit:  # (T, 478, 3), (T, 3, 4)
        """Codes for points in pixels of the 512-pixel crop (x right, y down, z away, centres at integers).

        With `transform` the poses are known and only the codes are fitted.
        """
        upright = points.astype(np.float64) * [1, -1, -1] - [(IMAGE_SIZE - 1) / 2, -(IMAGE_SIZE - 1) / 2, 0]
        rays = to_rays(points[..., :2].astype(np.float64))
        person, pose = self._template, transform
        for _ in range(5):  # pose and rest shape depend on one another; settled after a few rounds
            if transform is None:
                pose = self._pose(upright, rays, self._onto_template(person))
            lifted = self._lift(pose.astype(np.float64), rays, upright[..., 2], person)
            rest, jaw = self._unpose(lifted, person)
            mean = rest.mean(0)
            codes = self._solve_both @ (mean - self._template).ravel()
            person = mean - self._expression @ codes[300:]  # more than 300 codes can say of a person
        transform = pose
        shapecode, at_mean = codes[:300], codes[300:]
        expcode = at_mean + (rest - mean).reshape(len(rest), -1) @ self._solve_expression.T
        joints = self._regressor @ (self._template_all + self._shape_all @ shapecode)
        eyecode = self._eyes(lifted, joints, self._template + self._shape @ shapecode)
        known = self._template + self._shape @ shapecode + np.einsum("vck,tk->tvc", self._expression, expcode)
        residual = np.zeros((len(points), self._n_vertices, 3))
        residual[:, : topo.N_FACE] = (rest - known)[:, : topo.N_FACE]
        posecode = np.zeros((len(points), 6))
        posecode[:, 3] = jaw
        return Fit(*(_single(a) for a in (shapecode, expcode, posecode, eyecode, transform, residual)))

    def lifted(self, points: np.ndarray, transform: np.ndarray) -> np.ndarray:
        """The points themselves in head space, (T, 478, 3), under known poses (T, 3, 4)."""
        rays = to_rays(points[..., :2].astype(np.float64))
        return self._lift(transform.astype(np.float64), rays, -points[..., 2].astype(np.float64), self._template)

    def _onto_template(self, person: np.ndarray) -> np.ndarray:
        """A person's rest shape laid onto the template by the stable points alone.

        So neither a long chin nor an open mouth nods the head, and all heads are of one size.
        """
        scale, turn, shift = fit_similarity(person, self._template, self._stable)
        return scale * person @ turn + shift

    def _pose(self, upright: np.ndarray, rays: np.ndarray, person: np.ndarray) -> np.ndarray:
        """Transforms (T, 3, 4) of a rigid person whose points are seen in the picture."""
        scale, rotation, shift = fit_similarity(np.broadcast_to(person, upright.shape), upright, self._pose_weights)
        distance = FOCAL * IMAGE_SIZE / 2 / scale  # where one head unit spans `scale` pixels
        shift = np.concatenate([shift[:, :2] / scale[:, None] * FLIP[:2], distance[:, None]], 1)
        relief = upright[..., 2] / scale[:, None]
        rotation, shift = refine_pose(rotation * FLIP, shift, person, rays, relief, self._pose_weights)
        return np.concatenate([rotation, shift[..., None]], -1)

    def _lift(self, pose: np.ndarray, rays: np.ndarray, depth: np.ndarray, person: np.ndarray) -> np.ndarray:
        """The points in head space (T, 478, 3): on their rays, at the tracker's depth hung on the pose.

        The tracker's depths come with its own idea of the pose: the plane by which they differ from the posed person's
        is taken out.
        """
        rotation, shift = pose[..., :3], pose[..., 3]
        weight = self._pose_weights / self._pose_weights.sum()
        relief = depth * (shift[:, 2:] / (FOCAL * IMAGE_SIZE / 2))  # head units towards the viewer
        gap = relief + (person @ rotation)[..., 2]
        plane = np.concatenate([rays, np.ones((*rays.shape[:2], 1))], -1)
        normal = np.einsum("tna,tnb,n->tab", plane, plane, weight)
        slope = np.linalg.solve(normal, np.einsum("tna,tn,n->ta", plane, gap, weight)[..., None])
        z = shift[:, 2:] - relief + (plane @ slope)[..., 0]
        camera = np.concatenate([rays * z[..., None], z[..., None]], -1)
        return (camera - shift[:, None]) @ np.swapaxes(rotation, -1, -2)

    def _unpose(self, lifted: np.ndarray, person: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The points with the jaw closed again (T, 478, 3), and its angles (T,)."""
        joint = (self._template_all[[234, 454]]).mean(0)
        jaw = jaw_angle(lifted, person, joint)
        weight = self._jaw_weight[None, :, None]
        # Linear blend skinning inverted per point: (1 - w) v + w R (v - j) + w j = p.
        rest = lifted - joint
        for _ in range(4):
            turned = rotate_about_x(rest, jaw)
            rest = rest + (lifted - joint - (1 - weight) * rest - weight * turned)
        return rest + joint, jaw

    def _eyes(self, lifted: np.ndarray, joints: np.ndarray, rest: np.ndarray) -> np.ndarray:
        """Left and right eye as axis-angle, (T, 6): where the irises stand against their rest, seen from the front."""
        out = np.zeros((len(lifted), 6))
        for column, joint, iris in ((0, joints[3], topo.LEFT_IRIS), (3, joints[4], topo.RIGHT_IRIS)):
            at_rest = rest[list(iris)].mean(0) - joint
            radius = np.linalg.norm(at_rest)
            offset = lifted[:, list(iris)].mean(1) - joint
            angles = np.arcsin(np.clip(offset[:, :2] / radius, -0.95, 0.95))
            angles -= np.arcsin(np.clip(at_rest[:2] / radius, -0.95, 0.95))
            angles = np.clip(angles, -_EYE_LIMIT, _EYE_LIMIT)
            out[:, column], out[:, column + 1] = -angles[:, 1], angles[:, 0]
        return out


def _posterior(directions: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """(K, 3 V): the map from displacements to the most probable codes, each of unit variance."""
    weight = 1.0 / sigma**2
    weight[topo.N_FACE :] = 0  # irises turn with the eyeballs
    flat = directions.reshape(-1, directions.shape[-1])
    weighted = flat * weight.reshape(-1, 1)
    return np.linalg.solve(flat.T @ weighted + np.eye(flat.shape[1]), weighted.T)


def _single(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32)
