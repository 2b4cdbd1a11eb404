"""How deep ears and hair beside the face lie while their side turns to the camera.

A mesh of a face ends in front of the ears, nearly edge-on; where it misses their outline by some pixels, these ears or
hair are on it, and tear from what lies beside them when it opens to the view: a strip of smooth skin with pieces of ear
on it. On a side that turns to the camera the surface falls back no steeper than what a photo can show, by moving its
points along the photo's lines of sight. In the photo's own pose, and on the side that turns away, nothing moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.libs.flame_model import topology as topo
from core.libs.geometry import Camera
from core.libs.mesh import ProxyMesh, nose_share
from core.libs.numeric import over_channels, smoothstep
from core.models.LiftedAvatar.settings import SideSettings

_DEFAULT = SideSettings()


@dataclass(frozen=True)
class SideDepth:
    """For the M points of a proxy mesh, in head space.

    Attributes:
        offsets: (M, 3) where points go that have turned to the camera. outwards: (M, 3) unit vectors away from the
            face, square to the photo's line of sight. at_rest: (M,) of the photo's camera along these.
        turn: see `SideSettings`.
    """

    offsets: np.ndarray
    outwards: np.ndarray
    at_rest: np.ndarray
    turn: float

    @classmethod
    def of(
        cls,
        mesh: ProxyMesh,
        transform: np.ndarray,  # (3, 4) head to camera of the photo
        matte: np.ndarray,  # (S, S)
        camera: Camera | None = None,  # of the photo
        settings: SideSettings = _DEFAULT,
    ) -> SideDepth:
        """Of a photo."""
        border = mesh.pixels[list(topo.FACE_OVAL)]
        height = np.ptp(border[:, 1])
        away = np.linalg.norm(mesh.pixels[:, None] - border[None], axis=-1)
        nearest = away.min(1)
        share = np.exp(-0.5 * (away / (nearest[:, None] + settings.softness * height)) ** 2)
        share /= share.sum(1, keepdims=True)
        outwards = border - border.mean(0)
        outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)

        weight = share @ _at_border(mesh, border, outwards, matte, camera or Camera(), settings)
        in_face = np.arange(len(mesh.points)) < topo.N_POINTS
        for part, (near, far) in ((in_face, settings.inside), (~in_face, settings.outside)):
            weight[part] *= 1 - smoothstep(nearest[part] / height, near, far)
        weight *= 1 - mesh.torso_weights
        depth = mesh.points[:, 2]
        less = weight * (depth - limited_depth(mesh.points, mesh.points[: topo.N_FACE], settings.slope))
        rotation, shift = transform[:, :3].astype(np.float64), transform[:, 3].astype(np.float64)
        # Pixels count to the left and downwards of the camera's axes.
        directions = np.c_[-(share @ outwards), np.zeros(len(depth))] @ rotation.T
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return cls(
            offsets=-(mesh.points * (less / depth)[:, None]) @ rotation.T,
            outwards=directions,
            at_rest=directions @ _camera_direction(rotation, shift),
            turn=settings.turn,
        )

    def at(self, transform: np.ndarray) -> np.ndarray:
        """(M, 3) where points go in a pose (3, 4), head to the camera that draws."""
        towards = self.outwards @ _camera_direction(transform[:, :3], transform[:, 3]) - self.at_rest
        return self.offsets * smoothstep(towards, 0, np.sin(np.radians(self.turn)))[:, None]


def limited_depth(points: np.ndarray, surface: np.ndarray, slope: float) -> np.ndarray:
    """The depth (M,) of points (M, 3) that falls back from those of a surface (N, 3) by at most a slope.

    The largest function not above their depths that has this slope at most from any of the surface's points: the least
    of cones that open away from the camera, z + slope * distance across.
    """
    across = np.sqrt(over_channels(np.add, (points[:, None, :2] - surface[None, :, :2]) ** 2))
    return np.minimum(points[:, 2], (surface[:, 2] + slope * across).min(1))


def _at_border(
    mesh: ProxyMesh,
    border: np.ndarray,  # (36, 2)
    outwards: np.ndarray,  # (36, 2)
    matte: np.ndarray,
    camera: Camera,
    settings: SideSettings,
) -> np.ndarray:
    """(36,) in 0..1 of the points of the face's border: whether ears or hair are seen beside them.

    Not above and below; not where the background begins; and not on the far side of a three-quarter view: the mesh
    opens there by what the photo does not show.
    """
    beside = smoothstep(np.abs(outwards[:, 0]), *settings.sideways)
    soft = cv2.GaussianBlur(matte.astype(np.float32), (0, 0), camera.scale)
    places = border + settings.beyond * np.ptp(border[:, 1]) * outwards
    column, row = np.clip(np.round(places).astype(int), 0, len(matte) - 1).T
    person = smoothstep(soft[row, column], *settings.person)
    nose = nose_share(mesh)
    near = smoothstep(np.where(outwards[:, 0] < 0, nose, 1 - nose), *settings.nose)
    out = beside * person * near
    for _ in range(settings.rounds):
        out = (np.roll(out, 1) + 2 * out + np.roll(out, -1)) / 4
    return out


def _camera_direction(rotation: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """(3,) from the head to the camera, in head space."""
    camera = -shift.astype(np.float64) @ rotation.T.astype(np.float64)
    return camera / np.linalg.norm(camera)
