"""The layer of Gaussians: the photo's pixels and the inpainted ones on the proxy mesh, drawn in one splat.

Photo and inpainting are one layer because the rasterizer divides by the sum of weights: what fades out and what comes
in share their pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from core.libs.geometry import Camera, to_camera
from core.models.LiftedAvatar.binding import Binding, shape_triangles, update_gaussians
from core.models.LiftedAvatar.bound_kernel import project_bound
from core.models.LiftedAvatar.edges import Antialiasing
from core.models.LiftedAvatar.fringe import FringeWeights
from core.models.LiftedAvatar.layers import ChangedColors, Shot
from core.models.LiftedAvatar.rig import Rig
from core.models.LiftedAvatar.smooth_parts import SmoothParts
from core.models.rasterizer import RasterWorkspace, SurfaceSettings
from core.models.rasterizer.surface import Footprints, deal, draw_footprints, pack_settings
from core.runtime.buffers import Pictures


class Scratch:
    """Buffers for pictures of Gaussians with colours (N, 4), overwritten by every one."""

    def __init__(self, colors: np.ndarray) -> None:
        self.colors = ChangedColors(colors)
        self.raster = RasterWorkspace()
        self.pictures = Pictures()


def splat(
    points: np.ndarray,  # (M, 3) the mesh, camera frame
    binding: Binding,
    colors: np.ndarray,  # (N, 4)
    photo: Camera,
    camera: Camera,
    sigma: float,
    inpaint_weight: float,
    settings: SurfaceSettings,
    scratch: Scratch,
    smooth: SmoothParts | None = None,
    fringe: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """The picture (H, W, 4) of Gaussians on a moved mesh, what they cover of it (H, W), the depth of the front surface
    (H, W), and what became of its blocks, see `surface_kernels`; all lie in the scratch.

    Args:
        photo: the camera that the binding's pixels are of. camera: the one that draws.
        sigma, inpaint_weight: see `LiftedSettings`. smooth: draws what it can; None: every Gaussian is splatted.
        fringe: (2,) see `FringeWeights`; None: all is left of the silhouettes' fringes.
    """
    height, width = camera.shape
    spared, done = None, np.zeros(len(binding.triangles), np.bool_)
    if smooth is not None:
        spared, done = smooth.draw(camera.to_pixels(points), points[:, 2], colors, (height, width), scratch.raster)
    shear = _off_axis(camera)
    moved = points if shear is None else to_camera(points, shear)
    moved, groups = moved.astype(np.float32), binding.groups
    shapes = shape_triangles(
        moved, binding.triangles, binding.n_mesh, binding.jacobian, sigma, photo.pixels_per_unit, binding.all_photo
    )
    focal = camera.focal * camera.size / width, camera.focal * camera.size / height
    fparams, size = pack_settings(settings, focal), (height, width)
    work = scratch.raster
    places = Footprints.of(work, len(binding), groups.begins[groups.tasks], size, spared)
    tints = work.get("tints", (len(binding), 4))
    project_bound(
        moved,
        binding.triangles,
        *shapes,
        done,
        groups.face,
        groups.role,
        groups.powered,
        groups.begins,
        groups.tasks,
        groups.second,
        groups.third,
        groups.own,
        groups.order,
        deal(len(groups.tasks) - 1),
        np.ones(2, np.float32) if fringe is None else fringe,
        np.float32(inpaint_weight),
        colors,
        fparams,
        size,
        *places.written,
        tints,
    )
    image, alpha, _, depth = draw_footprints(work, places, tints, fparams, size, np.zeros(4, np.float32))
    return image, alpha, depth, spared


def _off_axis(camera: Camera) -> np.ndarray | None:
    """(3, 4) the shear that brings the middle of a camera's window onto its axis; None where it is there."""
    if camera.window is None:
        return None
    height, width = camera.shape
    ray = camera.unproject(np.array([(width - 1) / 2, (height - 1) / 2]))
    shear = np.eye(3, 4)
    shear[2, :2] = -ray
    return shear


@dataclass(frozen=True)
class SurfaceLayer:
    """N Gaussians on a rig.

    Attributes:
        rig: the proxy mesh. binding: where the Gaussians lie on it. camera: of the photo.
        colors: (N, 4) RGB in 0..1, then the matte. detail: (N, 4) what the photo's own detail adds; the matte has none.
        detailed: first and last + 1 of the Gaussians that have any.
        sigma, inpaint_weight, settings: as `splat` takes them. edges: smooths the outlines.
        smooth: draws what moves as one piece; None: all is splatted.
        fringe: what is left of the silhouettes' fringes.
    """

    rig: Rig
    binding: Binding
    camera: Camera
    colors: np.ndarray
    detail: np.ndarray
    detailed: tuple[int, int]
    sigma: float
    inpaint_weight: float
    settings: SurfaceSettings
    fringe: FringeWeights
    edges: Antialiasing = field(repr=False)
    scratch: Scratch = field(repr=False)
    smooth: SmoothParts | None = field(default=None, repr=False)

    def tinted(self, detail: float) -> np.ndarray:
        """The colours (N, 4) with a share of the photo's own detail, 0 to 1; in the scratch if there is any."""
        if not detail or not self.detailed[1]:
            return self.colors
        self.scratch.colors.restore()
        tinted = self.scratch.colors.change(*self.detailed)
        part = slice(*self.detailed)
        cv2.scaleAdd(self.detail[part], float(detail), self.colors[part], dst=tinted[part])
        return tinted

    def splat(self, points: np.ndarray, camera: Camera, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `splat`: of this layer's Gaussians in other colours (N, 4)."""
        fringe = self.fringe.at(points, self.camera.pixels_per_unit)
        numbers = self.sigma, self.inpaint_weight, self.settings, self.scratch, None, fringe
        return splat(points, self.binding, colors, self.camera, camera, *numbers)[:2]

    def placed(self, points: np.ndarray, fringe: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Centres (N, 3), covariances (N, 6) and weights (N,) float32 of all Gaussians on a moved mesh (M, 3).

        `fringe`: as `splat` takes it.
        """
        binding, count = self.binding, len(self.binding)
        out = np.empty((count, 3), np.float32), np.empty((count, 6), np.float32), np.empty(count, np.float32)
        mesh = points.astype(np.float32), binding.triangles, binding.n_mesh, binding.jacobian
        numbers = self.sigma, self.camera.pixels_per_unit
        gaussians = binding.face, binding.bary_coords, binding.role, binding.fade_exponent, binding.need
        weights = fringe, binding.all_photo, self.inpaint_weight, np.zeros(len(binding.triangles), np.bool_)
        update_gaussians(*mesh, *numbers, *gaussians, *weights, *out)
        return out

    def fringe_at(
        self, transform: np.ndarray, torso_motion: np.ndarray | None = None, view: np.ndarray | None = None
    ) -> np.ndarray:
        """(2,) of a head in a pose (3, 4), see `FringeWeights`; the rest as `Rig.pose` takes it."""
        still = self.rig.pose(self.rig.face, transform, torso_motion, view)
        return self.fringe.at(still if view is None else to_camera(still, view), self.camera.pixels_per_unit)

    def draw(self, shot: Shot) -> None:
        """Begin the picture with the Gaussians in the shot's colours, its outlines antialiased."""
        faces = shot.face, self.rig.face
        points, still = self.rig.poses(faces, shot.transform, shot.torso_motion, shot.view)
        if shot.view is not None:
            points, still = to_camera(points, shot.view), to_camera(still, shot.view)
        fringe = self.fringe.at(still, self.camera.pixels_per_unit)
        numbers = self.sigma, self.inpaint_weight, self.settings, self.scratch, self.smooth, fringe
        drawn = splat(points, self.binding, shot.colors, self.camera, shot.camera, *numbers)
        shot.image, alpha, depth, blocks = drawn
        self.edges.run(shot.image, alpha, depth, self.settings.z_window, blocks)
