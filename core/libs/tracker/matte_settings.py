"""The numbers of the photo's matte: `matte.py` and `matting.py`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MatteSettings:
    """Of `photo_matte`. By eye on the development photos, where nothing else is said.

    Attributes:
        seam: pixels of a 512-pixel crop over which the look at the shown crop runs into that at the wide one.
        cells: of the whole photo's matte, by which its edge may be off, inwards and outwards.
        grid: cells of a side of the segmenter's result; MediaPipe's selfie segmentation.
        face: mean of a matte over the face, below which that look is not believed.
        hair: how far around the face a head reaches where no look is believed; neck: how much narrower on each side
            that is. Heights of the face.
        rim: heights of the face within its outline, that may be something else; what is farther in is the person's.
        person: from which on a pixel belongs to the connected person. near: part of the crop's side around it in which
            fainter pixels, hair, belong to it too.
        hole: part of the crop's area up to which holes in the person are filled.
        sure: matte from which on a pixel is surely the person, and up to 1 - sure surely not, once the two areas are
            shrunk by `sure_inside` and `sure_outside` pixels of a 512-pixel crop: between them the matting solves.
        flat: variance of a colour in 0..1 that the matting takes for none: what compression leaves of a wall.
        asked: weight of the segmenter's matte in what is solved for, where colours tell nothing; a pixel's neighbours
            have about 1. least: its weight everywhere. told: `separation` up to which colours tell nothing, and from
            which enough. compared: pixels of a 512-pixel crop, half the side of its window. seen: distance of
            colours in 0..1 that are one to the eye.
        tolerance: of the matting's conjugate gradients, over what they start from. rounds: of them at most.
        bite: pixels of a 512-pixel crop, radius of the disc that does not fit into a bite of the outline. held: share
            of a thing that has to lie in one. beside: pixels around it, whose matte
            is its own. clear: from the person, where the background begins.
            around: within which its colours are taken. known: share of that which has to be background.
        unlike: colours' distance to those, less `spread` of their standard deviations, from which on a pixel in a bite
            may be something worn, and is. thick: pixels of a 512-pixel crop, radius of a disc that fits into it.
        edge: the same, how far outside the matte the person's colour may be found. opaque: matte from which on a pixel
            has that colour. blurred: standard deviation over
            which that is averaged. soft: share of it from which on it is any, and counts in full. plain: standard
            deviation of the background's colours, up to which it is plain, and from which it is not.
        beyond: pixels of a 512-pixel crop, how far outside that edge is looked whether its colours go on. shade: mean
            share of the person's colour there, up to which it is none, and from which on it is a shadow's.
        bar: grey levels that a row or column along the photo's border may vary by to be taken for a bar of one colour.
    """

    seam: int = 16
    cells: float = 2.0
    grid: int = 256
    face: float = 0.8
    hair: float = 0.35
    neck: float = 0.1
    rim: float = 0.05
    person: float = 0.5
    near: float = 0.06
    hole: float = 0.005
    sure: float = 0.9
    sure_inside: int = 6
    sure_outside: int = 9
    flat: float = 1e-5
    asked: float = 1.0
    least: float = 1e-3
    told: tuple[float, float] = (1.0, 6.0)
    compared: int = 24
    seen: float = 0.016
    tolerance: float = 5e-6
    rounds: int = 2000
    bite: float = 32.0
    held: float = 0.25
    beside: float = 4.0
    clear: float = 8.0
    around: float = 30.0
    known: float = 0.05
    unlike: tuple[float, float] = (0.1, 0.25)
    spread: float = 1.5
    thick: float = 2.5
    edge: float = 10.0
    opaque: float = 0.95
    blurred: float = 2.0
    soft: tuple[float, float] = (0.06, 0.2)
    plain: tuple[float, float] = (0.06, 0.12)
    beyond: float = 5.0
    shade: tuple[float, float] = (0.06, 0.2)
    bar: float = 3.0
