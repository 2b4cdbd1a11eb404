"""Second look at a driver: where the picture itself says the head has moved.

A landmark network sways with the expression: a crooked smile tilts the whole mesh by degrees although the skull stands
still, and its points tremble. The picture knows better. One frame of the driver, near its resting state, is the
reference; every other frame is unwarped onto it by the tracked mesh, and what the unwarped frame still lacks of the
reference is measured by dense optical flow (DIS: Kroeger et al., ECCV 2016). The flow on skull, hair and ears corrects
the pose; the flow on the skin corrects the points. Lids, irises and lips change their look and keep their tracked
place.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np

from core.libs.flame_model import OpenHead
from core.libs.flame_model import topology as topo
from core.libs.geometry import Camera, to_camera
from core.libs.mesh import build_proxy_mesh, rasterize_mesh
from core.libs.tracker.pose import refine_pose
from core.libs.tracker.settings import RefineSettings

_SETTINGS, _CAMERA = RefineSettings(), Camera()


@dataclass(frozen=True)
class Refined:
    """What the picture says of one frame.

    Attributes:
        transform: (3, 4). points: (478, 2), the tracker's, pixels of the crop.
        is_reliable: whether the pictures had enough in common to say anything; else both are as they came.
    """

    transform: np.ndarray
    points: np.ndarray
    is_reliable: bool


class PictureRefiner:
    """Corrects frames against a reference frame of the same driver.

    Args:
        head: the head model.
        picture: the reference frame's crop, (S, S, 3) uint8 RGB or its grey levels as small as the settings' size
            (`compared_crop`). matte: (S, S).
        vertices: (V, 3) of the reference frame in head space, exact (static offset included). transform: (3, 4).
        camera: of the crop. settings: sizes, thresholds and weights.

    Attributes:
        mesh: the proxy mesh of the reference frame.
    """

    def __init__(
        self,
        head: OpenHead,
        picture: np.ndarray,
        matte: np.ndarray,
        vertices: np.ndarray,
        transform: np.ndarray,
        camera: Camera = _CAMERA,
        settings: RefineSettings = _SETTINGS,
    ) -> None:
        self._camera, self._settings = camera, settings
        self._scale = settings.size / camera.size  # of the small picture's pixels against the crop's
        self.mesh = mesh = build_proxy_mesh(vertices, transform, head.faces.numpy(), camera)
        self._reference = self._shrink(picture)
        self._oval_rest = vertices[list(topo.FACE_OVAL)].astype(np.float64)
        self._border_weights = mesh.border_weights
        self._in_head = (mesh.points - transform[:, 3]) @ transform[:, :3].T
        pixels = self._to_small(mesh.pixels)
        pix_to_face, bary_coords = rasterize_mesh(pixels, mesh.points[:, 2], mesh.triangles, settings.size)
        self._corners = mesh.triangles[np.maximum(pix_to_face, 0)].astype(np.uint32)  # (S, S, 3)
        self._weights = bary_coords
        self._pixels = pixels.astype(np.float32)
        inside = ((pixels >= settings.border) & (pixels < settings.size - settings.border)).all(1)
        self._inside = inside

        at = np.clip(pixels.round().astype(int), 0, settings.size - 1)
        small_matte = cv2.resize(matte, (settings.size, settings.size), interpolation=cv2.INTER_AREA)[
            at[:, 1], at[:, 0]
        ]
        corner = cv2.cornerMinEigenVal(self._reference, 7, 3)[at[:, 1], at[:, 0]] * 255**2 / 7
        moves = (head.directions[: topo.N_POINTS, :, head.n_shape :] ** 2).sum((1, 2)).numpy()
        rigid = np.ones(len(pixels))
        rigid[: topo.N_POINTS] = 1 / (1 + moves / settings.rigid**2)
        rigid[topo.N_FACE : topo.N_POINTS] = 0
        rigid[topo.N_POINTS :] *= settings.thin  # the surroundings are sampled more thinly
        weight = rigid * (1 - mesh.torso_weights) * (small_matte > 0.9) * inside * corner / (corner + settings.texture)
        self._pose_points = np.argsort(weight)[::-1][: min(settings.pose_points, int((weight > 1e-3).sum()))]
        self._pose_weights = weight[self._pose_points]
        keeps = np.zeros(topo.N_POINTS, bool)
        for group in (topo.RIGHT_EYE, topo.LEFT_EYE, topo.INNER_LIPS, topo.OUTER_LIPS, topo.RIGHT_IRIS, topo.LEFT_IRIS):
            keeps[list(group)] = True
        skin = ~keeps * (small_matte[: topo.N_POINTS] > 0.5)
        self._gain = skin.astype(np.float64)
        self._keeps = np.flatnonzero(keeps)
        apart = np.linalg.norm(mesh.pixels[self._keeps, None] - mesh.pixels[None, : topo.N_POINTS], axis=-1)
        self._around = np.exp(-0.5 * (apart / (settings.neighbourhood * camera.scale)) ** 2) * skin
        grey = self._reference.astype(np.float32)
        self._fine = grey - self._mean(grey)
        self._energy = cv2.remap(self._mean(self._fine**2), self._pixels[None], None, cv2.INTER_LINEAR)[0]
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        axis = np.arange(settings.size, dtype=np.float32)
        self._grid = np.stack(np.meshgrid(axis, axis), -1)

    def refine(
        self,
        picture: np.ndarray,  # (S, S, 3) uint8 RGB, or (size, size) grey as the reference's
        points: np.ndarray,  # (478, 2) as tracked, pixels of the crop
        vertices: np.ndarray,  # (V, 3) as tracked, head space
        transform: np.ndarray,  # (3, 4) as tracked, or better
    ) -> Refined:
        """The frame's pose and points after comparing its picture with the reference."""
        grey = self._shrink(picture)
        moved = self._in_head.copy()
        moved[topo.N_POINTS :] += self._border_weights @ (vertices[list(topo.FACE_OVAL)] - self._oval_rest)
        predicted = self._to_small(self._camera.to_pixels(to_camera(moved, transform)))
        predicted[: topo.N_POINTS] = self._to_small(points)
        dense = _interpolate(predicted.astype(np.float32), self._corners, self._weights)
        unwarped = cv2.remap(grey, dense, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        flow = self._flow.calc(self._reference, unwarped, None)
        rest = self._unexplained(unwarped, flow)
        flow = cv2.GaussianBlur(flow, (0, 0), 1.5)
        pixels = self._pixels[None]
        rest = cv2.remap(rest, pixels, None, cv2.INTER_LINEAR)[0]
        confidence = self._energy / (self._energy + 4 * rest + 2) * self._inside
        shifted = pixels + cv2.remap(flow, pixels, None, cv2.INTER_LINEAR)
        found = cv2.remap(dense, shifted, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
        found = np.where(self._inside[:, None], found, predicted)
        found = (found + 0.5) / self._scale - 0.5

        chosen = self._pose_points
        weights = self._pose_weights * confidence[chosen]
        pose = transform.astype(np.float64)
        if weights.sum() <= max(self._settings.enough, self._settings.reliable * self._pose_weights.sum()):
            return Refined(pose, points, False)
        at_rest = self._in_head[chosen]
        relief = -(at_rest @ pose[:, :3])[None, :, 2]
        rotation, shift = refine_pose(
            pose[None, :, :3],
            pose[None, :, 3],
            at_rest,
            self._camera.unproject(found[chosen])[None],
            relief,
            weights,
            self._settings.pose,
        )
        pose = np.concatenate([rotation[0], shift[0][:, None]], 1)
        confidence = confidence[: topo.N_POINTS]
        gain = (self._gain * confidence)[:, None]
        move = found[: topo.N_POINTS] - points
        # Lids and lips keep their tracked shape but go along with the skin around them.
        around = self._around * confidence
        total = around.sum(1, keepdims=True)
        shift = gain * move
        shift[self._keeps] = around @ move / (total + 1.0) * np.minimum(1, total)
        return Refined(pose, points + shift, True)

    def _unexplained(self, unwarped: np.ndarray, flow: np.ndarray) -> np.ndarray:
        """What the flow leaves of the frame's fine structure: (S, S), grey levels squared, the mean around a pixel."""
        rest = cv2.remap(unwarped, self._grid + flow, None, cv2.INTER_LINEAR).astype(np.float32)
        rest -= self._mean(rest)
        rest -= self._fine
        rest *= rest
        return self._mean(rest)

    def _shrink(self, picture: np.ndarray) -> np.ndarray:
        small = (self._settings.size, self._settings.size)
        if picture.shape == small:
            return picture
        return cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), small, interpolation=cv2.INTER_AREA)

    def _mean(self, values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (self._settings.blur, self._settings.blur))

    def _to_small(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels of the crop as pixels of the small picture."""
        return (pixels + 0.5) * self._scale - 0.5


@numba.njit(cache=True, nogil=True, fastmath=True)
def _interpolate(points: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Where every pixel of the reference lies in the frame: (S, S, 2), from its triangle's corners (M, 2).

    Corners are unsigned: whether an index counts from the end is not asked for each, which takes as long as the rest.
    """
    side = len(corners)
    out = np.empty((side, side, 2), np.float32)
    for y in range(side):
        for x in range(side):
            a, b, c = corners[y, x, 0], corners[y, x, 1], corners[y, x, 2]
            wa, wb, wc = weights[y, x, 0], weights[y, x, 1], weights[y, x, 2]
            out[y, x, 0] = wa * points[a, 0] + wb * points[b, 0] + wc * points[c, 0]
            out[y, x, 1] = wa * points[a, 1] + wb * points[b, 1] + wc * points[c, 1]
    return out
