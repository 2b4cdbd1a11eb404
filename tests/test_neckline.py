"""A neckline that a photo cuts: where it is found, and how it goes round."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_head import a_frame

from core.data.records import TrackedSource
from core.libs.beyond_photo import BeyondSettings, continued_beyond
from core.libs.neckline import Neckline, NecklineSettings, around, find_neckline, find_skin

SIZE, MARGIN, LAST = 320, 32, 259
BOX = np.array([112.0, 100.0, 208.0, 220.0])  # of a face, whose chin the photo shows 39 rows below
SKIN, COLLAR, SHIRT, HAIR = (
    np.array(rgb, np.uint8) for rgb in ((200, 140, 110), (230, 230, 240), (40, 60, 160), (70, 45, 30))
)
NECK, BAND = (130, 189), 10  # columns of the neck, and how wide the collar is at each side


def picture(left=COLLAR, right=COLLAR, neck=SKIN) -> tuple[np.ndarray, np.ndarray]:
    """A face, a neck and a shirt with a collar: (S, S, 3) uint8, and the matte (S, S) float32."""
    image, matte = np.full((SIZE, SIZE, 3), 20, np.uint8), np.zeros((SIZE, SIZE), np.float32)
    image[90:221, 112:208] = SKIN
    matte[90:221, 112:208] = 1
    first, end = NECK
    for start, stop, color in (
        (40, first - BAND, SHIRT), (first - BAND, first, left), (first, end + 1, neck),
        (end + 1, end + 1 + BAND, right), (end + 1 + BAND, 280, SHIRT),
    ):  # fmt: skip
        image[221 : LAST + 1, start:stop] = color
    matte[221 : LAST + 1, 40:280] = 1
    return image, matte


def found(image: np.ndarray, matte: np.ndarray, last: int = LAST) -> Neckline | None:
    return find_neckline(image, matte, find_skin(image, BOX), last, BOX)


def test_skin_is_told_in_shadow_and_from_cloth():
    image, _ = picture()
    image[240:250, 130:190] = SKIN * 0.5
    skin = find_skin(image, BOX)
    assert skin[95:216, 117:204].all()
    assert skin[225:256, 135:185].all()
    assert not skin[225:256, 45:115].any()  # shirt
    assert not skin[225:256, 122:128].any()  # collar
    assert not skin[:80].any()
    grey = np.repeat(image.mean(-1, keepdims=True), 3, -1).astype(np.uint8)
    assert not find_skin(grey, BOX).any()


def test_a_neck_between_collars_closes():
    neck = found(*picture())
    assert neck is not None
    assert neck.closes
    assert (neck.left, neck.right) == pytest.approx(NECK, abs=2)


def test_a_necklace_does_not_part_a_neck():
    image, matte = picture()
    image[221 : LAST + 1, 140:144] = image[221 : LAST + 1, 170:174] = 255
    neck = found(image, matte)
    assert neck is not None
    assert (neck.left, neck.right) == pytest.approx(NECK, abs=2)
    image[221 : LAST + 1, 150:165] = SHIRT  # a tie does
    neck = found(image, matte)
    assert neck is None or neck.right - neck.left < 25


def test_hair_beside_a_neck_is_no_collar():
    image, matte = picture(left=HAIR)
    image[90:221, 100:112], matte[90:221, 100:112] = HAIR, 1
    image[215:221, 100:130], matte[215:221, 100:130] = HAIR, 1
    neck = found(image, matte)
    assert neck is not None
    assert neck.hair
    assert not neck.closes


@pytest.mark.parametrize(
    ("image", "last"),
    [(picture(neck=SHIRT)[0], LAST), (picture()[0], 219)],
    ids=["a collar up to the chin", "the photo ends with the face"],
)
def test_where_no_neck_is_cut_there_is_no_neckline(image, last):
    assert found(image, picture()[1], last) is None


def test_bare_shoulders_do_not_close():
    image, matte = picture()
    image[221 : LAST + 1, 40:280] = SKIN
    neck = found(image, matte)
    assert neck is not None
    assert not neck.closes


def test_around_is_half_an_ellipse():
    settings = NecklineSettings()
    neck = Neckline(130.0, 190.0, (True, True), hair=False)
    depth = np.arange(1, 61, dtype=np.float32)[:, None]
    lie = around(neck, depth, SIZE, settings)
    below = settings.aspect * neck.half
    np.testing.assert_allclose(lie.away[:, 160], depth[:, 0] - below, atol=1e-4)
    assert (lie.skin[: int(below) - 2, 160] == 1).all()
    assert (lie.skin[int(below) + 2 :, 160] == 0).all()
    # On a ray both parts grow alike: 3 to 4 is of the ellipse what its crossing makes of it
    x, y = 48.0, 36.0
    crossing = 1 / np.hypot(x / neck.half, y / below)
    assert lie.away[35, 160 + 48] == pytest.approx(60 * (1 - crossing), abs=1e-3)
    for side, sign in zip(lie.columns, (-1, 1), strict=True):
        np.testing.assert_allclose(side[:, 160], 160 + sign * (30 + np.maximum(lie.away[:, 160], 0)), atol=1e-3)
    np.testing.assert_allclose(lie.share[:, 160], 0.5, atol=1e-6)
    assert (lie.share[:, 161:] >= lie.share[:, 160:-1]).all()
    one = around(neck._replace(cloth=(True, False)), depth, SIZE, settings)
    assert (one.share == 0).all()


def went_on(image: np.ndarray, matte: np.ndarray, settings: BeyondSettings) -> TrackedSource:
    """The source with what goes on below its photo."""
    image, matte, inside = image.copy(), matte.copy(), np.zeros((SIZE, SIZE), bool)
    inside[: LAST + 1 + settings.mixed] = True
    image[LAST + 1 : LAST + 1 + settings.mixed] = image[LAST]
    matte[LAST + 1 : LAST + 1 + settings.mixed] = matte[LAST]
    size = SIZE - 2 * MARGIN
    frame = replace(a_frame(np.random.default_rng(0)), bbox=((BOX - MARGIN) / size).astype(np.float32))
    return continued_beyond(TrackedSource(frame, image, matte, MARGIN, inside), settings)


def test_a_collar_goes_round_below_the_neck():
    image, matte = picture()
    settings = BeyondSettings(clothes=np.inf)
    below = went_on(image, matte, settings).image
    half, middle = (NECK[1] - NECK[0]) / 2, sum(NECK) // 2
    edge = LAST + settings.neckline.aspect * half

    def near(row: float, color: np.ndarray) -> float:
        return np.abs(below[round(row), middle].astype(float) - color).max()

    assert near(edge - 6, SKIN) < 25
    assert near(edge + BAND / 2, COLLAR) < 60
    assert near(edge + BAND / 2, COLLAR) < near(edge + BAND / 2, SHIRT) / 2
    assert near(SIZE - 1, SHIRT) < 25
    np.testing.assert_allclose(below[:, :160].astype(float), below[:, :159:-1], atol=3)  # mirrored, as the photo is


def test_nothing_of_the_background_goes_round_a_neck():
    image, matte = picture()
    narrow = NECK[0] - 6  # of cloth there is less than goes round
    image[221 : LAST + 1, :narrow], matte[221 : LAST + 1, :narrow] = (0, 255, 0), 0
    whole = went_on(image, matte, BeyondSettings(clothes=np.inf))
    colors, person = whole.image.astype(int), whole.matte > 0.95
    assert person[LAST + 8 :].any()
    assert (colors[..., 1] - colors[..., [0, 2]].max(-1))[LAST + 8 :][person[LAST + 8 :]].max() < 20
