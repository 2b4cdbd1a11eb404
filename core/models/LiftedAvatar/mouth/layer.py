"""The inside of the mouth as a layer: painted over the picture, behind the lips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from core.models.LiftedAvatar.layers import Photo, Shot
from core.models.LiftedAvatar.mouth.draw import Mouth, build_mouth, draw_mouth
from core.models.LiftedAvatar.mouth.slit import without_slit


@dataclass(frozen=True)
class MouthLayer:
    """The mouth of the person in a photo."""

    mouth: Mouth

    @classmethod
    def build(cls, photo: Photo) -> tuple[Self, Photo]:
        """The mouth, and the photo with what lies between touching lips on the lips."""
        points = photo.rest, photo.jaw_joint, photo.face
        mouth = build_mouth(
            *points, photo.image, photo.landmarks, photo.transform, photo.margin, photo.camera, photo.settings.mouth
        )
        return cls(mouth), without_slit(photo)

    def draw(self, shot: Shot) -> None:
        """Paint it where the lips are open."""
        face, transform = shot.face.astype("float64"), shot.seen_transform
        draw_mouth(shot.image, self.mouth, face, shot.landmarks, transform, shot.mouth, shot.camera)
