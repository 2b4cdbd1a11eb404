"""The inside of the mouth: two rows of teeth, gums, a tongue and the dark behind, seen only through the lips' opening.

A photo with closed lips has none of it, and one that smiles has it for one opening only. It is painted pixel by pixel
in closed form (`kernel`), in the light of the photo (`colours`), with the photo's own upper teeth where it shows them
(`teeth`), behind a smooth outline (`outline`). The upper row is rigid with the skull and the lower one turns with the
jaw. Where the driver's picture was looked into, four numbers a frame say how much of teeth and tongue is seen. While
the mouth is about as open as in the photo, the photo's own inside is shown.
"""

from core.models.LiftedAvatar.mouth.draw import Mouth, build_mouth, draw_mouth, warm_up

__all__ = ["Mouth", "build_mouth", "draw_mouth", "warm_up"]
