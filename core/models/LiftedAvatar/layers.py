"""What the avatar is made of, one interface for all of it: layers, built from the photo once and drawn in order.

A layer takes part in a picture as it needs to: it moves the face's points, changes the Gaussians' colours, or paints on
the picture. `models.LAYERS_BELOW` and `models.LAYERS_ABOVE` are the order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, Self

import numpy as np

from core.libs.flame_model import topology as topo
from core.libs.geometry import Camera, seen_from, to_camera
from core.libs.mesh import ProxyMesh
from core.models.LiftedAvatar.join import Join
from core.models.LiftedAvatar.settings import LiftedSettings


@dataclass(frozen=True)
class Photo:
    """A photo on its proxy mesh, which layers are built from. Pictures are of the wide crop, (S, S).

    Attributes:
        camera: of the shown crop. margin: pixels that the wide crop has more on every side.
        transform: (3, 4) float32 head to camera.
        face: (478, 3) in head space as in the photo. rest: (478, 3) without expression. jaw_joint: (3,).
        image: (S, S, 3) float32 RGB in 0..1, colours decontaminated. matte: (S, S) in 0..1.
        mesh: the proxy mesh. pix_to_face: (S, S) its front triangle, -1 where none. bary_coords: (S, S, 3).
        kept: (S, S) bool, pixels that become Gaussians. doubt: (S, S) in 0..1, how likely a pixel is background.
        fringe: (S, S) for pixels of a silhouette fringe the triangle of the face beside it, else -1.
        openings: (2,) of the right and the left eye, see `signed_lid_ratio`.
        known: (S, S) float32 in 0..1, falls to 0 where the photo ends: beyond it nobody knows of a face.
        settings: of the avatar; a layer takes its own part. join: how it joins the whole photo; None: it does not.
    """

    camera: Camera
    margin: int
    transform: np.ndarray
    face: np.ndarray
    rest: np.ndarray
    jaw_joint: np.ndarray
    image: np.ndarray
    matte: np.ndarray
    mesh: ProxyMesh
    pix_to_face: np.ndarray
    bary_coords: np.ndarray
    kept: np.ndarray
    doubt: np.ndarray
    fringe: np.ndarray
    openings: np.ndarray
    known: np.ndarray
    settings: LiftedSettings
    join: Join | None = None

    @property
    def landmarks(self) -> np.ndarray:
        """(478, 2) the tracker's points in the wide crop."""
        return self.mesh.pixels[: topo.N_POINTS]

    @cached_property
    def in_head(self) -> np.ndarray:
        """(M, 3) the mesh's points in head space."""
        rotation, shift = self.transform[:, :3].astype(np.float64), self.transform[:, 3]
        return (self.mesh.points - shift) @ rotation.T


class ChangedColors:
    """A copy of colours (N, C) that pictures change in part: what the last one changed is put back for the next."""

    def __init__(self, colors: np.ndarray) -> None:
        self._original = colors
        self._values = colors.copy()
        self._changed = (0, 0)

    @property
    def values(self) -> np.ndarray:
        """(N, C) the copy."""
        return self._values

    def restore(self) -> None:
        """Begin a picture."""
        part = slice(*self._changed)
        np.copyto(self._values[part], self._original[part])
        self._changed = (0, 0)

    def change(self, first: int, end: int) -> np.ndarray:
        """The copy, of which rows first .. end - 1 are going to be written to."""
        low, high = self._changed
        self._changed = (min(low, first), max(high, end)) if high else (first, end)
        return self._values


@dataclass
class Shot:
    """One picture in the making; layers change `face`, the colours and `image`.

    Attributes:
        camera: that draws. face: (478, 3) in head space.
        transform: (3, 4) head to the photo's camera. view: (3, 4) from that to the one that draws; None: the same.
        torso_motion: (4,) or None, mouth: (4,) or None; see `TrackedFrame`.
        colors: (N, 4) of the Gaussians, to be read; `own_colors` gives those that may be written to.
        scratch: where these are. detail: how much of the photo's own detail they show, 0 to 1.
        image: (H, W, 4) RGB and matte, once the Gaussians are drawn.
    """

    camera: Camera
    face: np.ndarray
    transform: np.ndarray
    view: np.ndarray | None
    torso_motion: np.ndarray | None
    mouth: np.ndarray | None
    colors: np.ndarray
    scratch: ChangedColors = field(repr=False)
    detail: float = 0.0
    image: np.ndarray | None = None

    def own_colors(self, first: int, end: int) -> np.ndarray:
        """The colours (N, 4) as this picture's own, of which rows first .. end - 1 are going to be written to."""
        if self.colors is not self.scratch.values:
            self.scratch.restore()
        self.colors = self.scratch.change(first, end)
        return self.colors

    @property
    def seen_transform(self) -> np.ndarray:
        """(3, 4) head to the camera that draws."""
        return seen_from(self.transform, self.view)

    @property
    def landmarks(self) -> np.ndarray:
        """(478, 2) pixels of the face's points."""
        return self.camera.to_pixels(to_camera(self.face.astype(np.float64), self.seen_transform))


class Layer(Protocol):
    """One layer of the avatar."""

    @classmethod
    def build(cls, photo: Photo) -> tuple[Self, Photo]:
        """The layer, and the photo without what the layer draws in its place."""
        ...

    def draw(self, shot: Shot) -> None:
        """Do this layer's part of a picture."""
        ...
