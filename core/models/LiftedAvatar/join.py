"""Where a person who moves joins the rest of the photo, which stands still."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.libs.flame_model import topology as topo
from core.libs.geometry import NECK, Camera, to_camera
from core.libs.mesh import ProxyMesh
from core.libs.numeric import smoothstep
from core.models.LiftedAvatar.settings import JoinSettings

_DEFAULT = JoinSettings()


@dataclass(frozen=True)
class Join:
    """How a proxy mesh stands still towards the rest of the photo.

    Attributes:
        follows, body: (M - 478,) see `Rig`.
        moves: (S, S) float32 in 0..1, how much of the head's motion a pixel of the wide crop takes part in.
        share: (S, S) float32 in 0..1, how much of it is what is drawn; the rest is the photo's.
    """

    follows: np.ndarray
    body: np.ndarray
    moves: np.ndarray
    share: np.ndarray


def join_photo(
    mesh: ProxyMesh,
    pix_to_face: np.ndarray,  # (S, S) front triangle, -1 where none
    bary_coords: np.ndarray,  # (S, S, 3)
    transform: np.ndarray,  # (3, 4)
    camera: Camera,  # of the shown crop
    margin: int,
    settings: JoinSettings = _DEFAULT,
) -> Join:
    """The shoulders' move fades with the distance from the neck, any move towards the border of the wide crop.

    Where what is left of it is too little to be seen, the drawn picture is faded into the photo.
    """
    side, size = len(pix_to_face), camera.size
    neck = camera.to_pixels(to_camera(NECK[None], transform.astype(np.float64)))[0] + margin
    pixels = mesh.pixels[topo.N_POINTS :]
    away = np.linalg.norm(pixels - neck, axis=1) / size
    low, high = settings.body
    body = smoothstep((high - away) / (high - low), 0, 1) ** settings.power
    border = np.minimum(pixels, side - 1 - pixels).min(1) / size
    follows = smoothstep(border / settings.border, 0, 1) ** settings.power
    weights = mesh.torso_weights[topo.N_POINTS :]
    moves = np.concatenate([np.ones(topo.N_POINTS), follows * (1 - weights + weights * body)]).astype(np.float32)
    corners = moves[mesh.triangles][np.maximum(pix_to_face, 0)]
    share = np.where(pix_to_face >= 0, np.einsum("ijk,ijk->ij", corners, bary_coords), 0)
    least = settings.unseen / (settings.farthest * size)  # of a move, of which nobody sees more
    return Join(follows, body, share.astype(np.float32), smoothstep(share / least, 0, 1).astype(np.float32))
