"""An avatar's one moment as Gaussians alone, for programs that draw nothing else: mouth and irises are Gaussians too.

The avatar divides by the sum of weights, fades its photo where a view opens it, and paints mouth and irises on
pictures. Other renderers composite with alpha, from any side, and paint nothing. So what a view would fade in lies
ready behind the photo's own Gaussians, and where a layer paints over the picture, its pixels take the place of what
they cover.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.libs.geometry import Camera, to_camera
from core.libs.nearest import nearest_values
from core.libs.numeric import over_channels
from core.models.LiftedAvatar.binding import Role
from core.models.LiftedAvatar.layers import Shot
from core.models.LiftedAvatar.models import Avatar
from core.models.LiftedAvatar.surface import SurfaceLayer, splat


@dataclass(frozen=True)
class BakeSettings:
    """Of `bake`, by eye and by PSNR on the demo's photo where nothing else is said.

    Attributes:
        growth: of the Gaussians' axes: alpha compositing spreads every one by .3 pixels squared.
        thickness: of a flat Gaussian, over its longer axis.
        opacity: of a Gaussian in front, where the person is opaque.
        behind: head units that inpainted Gaussians lie behind their surface, seen from the photo's camera, and what is
            painted where there is no surface behind the nearest one.
        nowhere: depth from which on a pixel shows no surface.
        views: degrees to either side that a viewer is expected to turn the head by.
        faint: opacity below which a Gaussian is left out.
        painted: change of a colour, 0..1, from which on a layer has painted on a pixel.
        pixel: standard deviation of a painted pixel's Gaussian, pixels.
    """

    growth: float = 0.75
    thickness: float = 0.1
    opacity: float = 0.92
    behind: float = 0.02
    nowhere: float = 1e9
    views: tuple[float, ...] = (-40.0, -20.0, 20.0, 40.0)
    faint: float = 0.02
    painted: float = 0.004
    pixel: float = 0.55


_SETTINGS = BakeSettings()


@dataclass(frozen=True)
class Gaussians:
    """N Gaussians of one moment, in the camera frame of the photo (x left, y up, z away), head units.

    Attributes:
        xyz: (N, 3). covariances: (N, 6) xx xy xz yy yz zz. colors: (N, 3) in 0..1, as on the screen.
        opacities: (N,) in 0..1, for alpha compositing.
    """

    xyz: np.ndarray
    covariances: np.ndarray
    colors: np.ndarray
    opacities: np.ndarray

    def __len__(self) -> int:
        return len(self.xyz)


def bake(avatar: Avatar, shot: Shot, settings: BakeSettings = _SETTINGS) -> Gaussians:
    """The avatar at one moment as Gaussians.

    Args:
        avatar: of the photo. shot: the moment, not drawn yet; its camera must be the photo's, without a view.
    """
    surface, camera = avatar.surface, avatar.camera
    place = avatar.layers.index(surface)
    for layer in avatar.layers[:place]:
        layer.draw(shot)
    points = surface.rig.pose(shot.face, shot.transform, shot.torso_motion)
    fringe = surface.fringe_at(shot.transform, shot.torso_motion)
    numbers = surface.sigma, surface.inpaint_weight, surface.settings, surface.scratch, None, fringe
    drawn, alpha, depth, _ = splat(points, surface.binding, shot.colors, camera, camera, *numbers)
    colors, depth = shot.colors.copy(), depth.copy()
    xyz, covariances, opacities = surface.placed(points, fringe)

    inpainted = surface.binding.role == Role.INPAINTED
    rays = xyz / np.linalg.norm(xyz, axis=1, keepdims=True)
    opacities[inpainted] = _opacities_from_beside(surface, points, settings)[inpainted]
    xyz[inpainted] += settings.behind * rays[inpainted]

    shot.image = drawn.copy()
    surface.edges.run(shot.image, alpha.copy(), depth, surface.settings.z_window)
    before = shot.image.copy()
    for layer in avatar.layers[place + 1 :]:
        layer.draw(shot)
    painted = over_channels(np.maximum, np.abs(shot.image - before)) > settings.painted
    over = _pixels(shot.image, depth, painted, camera, settings)
    opacities *= settings.opacity * np.clip(colors[:, 3], 0, 1)
    opacities[_covered(xyz, depth, painted, camera, surface.settings.z_window + settings.behind)] = 0
    kept = opacities > settings.faint
    return Gaussians(
        xyz=np.concatenate([xyz[kept], over.xyz]),
        covariances=np.concatenate([covariances[kept] * settings.growth**2, over.covariances]),
        colors=np.clip(np.concatenate([colors[kept, :3], over.colors]), 0, 1),
        opacities=np.concatenate([opacities[kept], over.opacities]),
    )


def _opacities_from_beside(surface: SurfaceLayer, points: np.ndarray, settings: BakeSettings) -> np.ndarray:
    """(N,) the largest weight that the Gaussians have from any of the expected views."""
    middle = points.mean(0)
    most, gone = np.zeros(len(surface.binding), np.float32), np.zeros(2, np.float32)  # fringes are not asked for
    for degrees in settings.views:
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        view = np.concatenate([turn, (middle - middle @ turn)[:, None]], 1)
        np.maximum(most, surface.placed(to_camera(points, view), gone)[2], out=most)
    return most


def _pixels(
    image: np.ndarray, depth: np.ndarray, painted: np.ndarray, camera: Camera, settings: BakeSettings
) -> Gaussians:
    """Painted pixels (H, W) of a picture (H, W, 4) as round Gaussians at the depth (H, W) of the surface there.

    Where there is none, as between lips that the photo has shut, a little behind the nearest there is.
    """
    known = depth < settings.nowhere
    if not known.any():
        painted = known
    y, x = np.nonzero(painted)
    z = nearest_values(depth.astype(np.float64), known)[y, x] + settings.behind * ~known[y, x]
    plane = camera.unproject(np.stack([x, y], 1).astype(np.float64))
    xyz = np.concatenate([plane * z[:, None], z[:, None]], 1)
    size = settings.pixel * z / camera.pixels_per_unit
    covariances = np.zeros((len(z), 6), np.float32)
    covariances[:, 0] = covariances[:, 3] = size**2
    covariances[:, 5] = (settings.thickness * size) ** 2
    return Gaussians(
        xyz.astype(np.float32),
        covariances,
        image[y, x, :3],
        settings.opacity * np.clip(image[y, x, 3], 0, 1),
    )


def _covered(xyz: np.ndarray, depth: np.ndarray, painted: np.ndarray, camera: Camera, reach: float) -> np.ndarray:
    """(N,) which Gaussians lie within `reach` of the front surface under painted pixels (H, W)."""
    at = np.rint(camera.to_pixels(xyz.astype(np.float64))).astype(int)
    inside = ((at >= 0) & (at < camera.size)).all(1)
    x, y = np.where(inside[:, None], at, 0).T
    return inside & painted[y, x] & (xyz[:, 2] < depth[y, x] + reach)
