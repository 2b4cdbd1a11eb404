"""A person whom the photo cuts goes on to the border of the head's crop; a head ends there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_head import a_frame

from core.data.records import TrackedSource
from core.libs.beyond_photo import BeyondSettings, continued_beyond, guessed_beyond

SIZE, MARGIN = 160, 16
# 25 pixels of this crop, whose outlines are straight; colours as they stand at the border
SETTINGS = BeyondSettings(looks_back=80, clothes=np.inf)
COLOR = np.array([200, 120, 60], np.uint8)


def cut(outline, shown=slice(0, 150), turns: int = 0) -> TrackedSource:
    """A person of one colour between columns `outline(row)` in a photo that shows some rows, all turned so often."""
    matte, inside = np.zeros((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), bool)
    inside[shown] = True
    for row in range(SIZE):
        left, right = outline(row)
        matte[row, left:right] = inside[row, left:right]
    image = np.where(matte[..., None] > 0, COLOR, np.uint8(30)) * inside[..., None]
    parts = (np.ascontiguousarray(np.rot90(part, turns)) for part in (image.astype(np.uint8), matte))
    return TrackedSource(
        a_frame(np.random.default_rng(0)), *parts, MARGIN, np.ascontiguousarray(np.rot90(inside, turns))
    )


def neck(row: int) -> tuple[int, int]:
    return 60, 100


def shoulders(row: int) -> tuple[int, int]:
    return 79 - row // 3, 81 + row // 3


def test_a_straight_outline_goes_straight_on():
    found = continued_beyond(cut(neck), SETTINGS)
    assert (found.matte[:, 61:99] == 1).all()
    assert (found.matte[:, :59] == 0).all()
    assert (found.matte[:, 101:] == 0).all()
    assert (found.image[:, 66:94] == COLOR).all()
    assert found.inside.all()


def test_shoulders_go_on_as_they_ran_and_bend():
    source = cut(shoulders)
    found = continued_beyond(source, SETTINGS)
    left = [int(np.flatnonzero(row > 0.5)[0]) for row in found.matte]
    assert left[152] <= left[140] - 2  # on and outwards
    bends = SETTINGS.bends * source.size / 512
    assert left[-1] == pytest.approx(left[146] - bends / 3 * (1 - np.exp(-13 / bends)), abs=2)
    last = 149 - SETTINGS.mixed
    for part in ("image", "matte"):
        np.testing.assert_array_equal(getattr(found, part)[: last + 1], getattr(source, part)[: last + 1])


def shoulder(row: int) -> tuple[int, int]:
    """Turned by a quarter: a level shoulder below the chin, cut by the photo's side, to the crop's lower border."""
    return 0, 30


def hair(row: int) -> tuple[int, int]:
    """Turned by a quarter: the same much higher."""
    return 110, 140


def test_left_and_right_are_the_same_mirrored():
    left, right = (cut(shoulder, turns=1), cut(lambda row: (130, 160), turns=3))
    for part in ("image", "matte", "inside"):
        np.testing.assert_array_equal(getattr(left, part), np.fliplr(getattr(right, part)))
    left, right = (continued_beyond(source, SETTINGS) for source in (left, right))
    for part in ("image", "matte", "inside"):
        np.testing.assert_allclose(getattr(left, part), np.fliplr(getattr(right, part)), atol=1)


def test_a_level_shoulder_falls_sideways():
    source = cut(shoulder, turns=1)
    found = continued_beyond(source, SETTINGS)
    top = np.array([np.flatnonzero(column > 0.5)[0] for column in found.matte.T])
    shown = np.flatnonzero(source.matte.any(0))
    assert (top[shown[: -SETTINGS.mixed]] == 130).all()
    beyond = SIZE - len(shown) + SETTINGS.mixed
    assert max(top[0], top[-1]) == pytest.approx(130 + SETTINGS.falls * beyond, abs=1.5)


@pytest.mark.parametrize("source", [cut(neck, turns=2), cut(hair, turns=1), cut(lambda row: (20, 50), turns=3)])
def test_a_head_goes_out_above_and_beside(source):
    found = continued_beyond(source, SETTINGS)
    person = found.matte.max(0 if source.inside[0].any() else 1)
    person = person if person[0] < person[-1] else person[::-1]
    ends = round(SETTINGS.head_ends[1] * source.size / 512)
    assert person[-1] == 1
    assert (np.diff(person) >= 0).all()  # from where it has gone out to where the photo has it
    assert 0 < person[13 - ends // 2] < 1
    assert (person[: 13 - ends] == 0).all()
    assert (found.image[found.matte > 0.9] == COLOR).all()


@pytest.mark.parametrize(
    "source",
    [cut(neck, slice(0, SIZE)), cut(lambda row: (60, 100 if row < 100 else 60))],
    ids=["not cut", "nobody there"],
)
def test_else_nothing_changes(source):
    assert continued_beyond(source, SETTINGS) is source


def test_a_separated_person_has_no_more_beyond_than_was_guessed():
    source = cut(neck, turns=2)
    continued = continued_beyond(source, SETTINGS)
    person = guessed_beyond(replace(continued, matte=np.ones_like(source.matte)), source, continued)
    np.testing.assert_array_equal(person.matte[: 10 + SETTINGS.mixed], continued.matte[: 10 + SETTINGS.mixed])
    assert (person.matte[10 + SETTINGS.mixed :, 3:-3] == 1).all()
    assert guessed_beyond(person, source, source) is person


def test_what_is_beyond_goes_out_of_focus():
    """Stripes across the border, of which less and less is left; the mean stays, and no background comes in."""
    source = cut(neck, slice(0, 130))
    stripes = np.where(np.arange(SIZE) // 4 % 2, 220.0, 60.0)[None, :, None]
    shown = np.where(source.matte[..., None] > 0, stripes, 0).astype(np.uint8).repeat(3, 2)
    found = continued_beyond(replace(source, image=shown), SETTINGS).image[:, 64:96, 0].astype(float)
    contrast = found.std(1)
    assert contrast[120] == pytest.approx(80)
    assert contrast[159] < 0.2 * contrast[128] < 0.2 * contrast[126]
    assert found[159].mean() == pytest.approx(140, abs=5)


def test_grain_goes_on():
    noise = np.random.default_rng(0).normal(0, 1, (SIZE, SIZE, 3))
    source = cut(neck)
    shown = np.where(source.inside[..., None], source.image + noise, 0).clip(0, 255).astype(np.uint8)
    found = continued_beyond(replace(source, image=shown), SETTINGS).image.astype(float)
    above, below = (np.abs(np.diff(found[part, 66:94], axis=0)).mean() for part in (slice(110, 145), slice(150, 160)))
    assert 0.5 < below / above < 1.5


def test_cloth_goes_on_as_cloth():
    """Rings around the neck, which straight on would be a stripe of the last one's colour."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    rings = np.where(np.hypot(rows - 100, columns - 80) // 5 % 2, 220, 60).astype(np.uint8)
    source = cut(lambda row: (0, SIZE))
    shown = np.where(source.inside[..., None], rings[..., None], 0).astype(np.uint8).repeat(3, 2)
    source = replace(source, image=shown)
    cloth, stripes = (
        continued_beyond(source, replace(SETTINGS, clothes=clothes)).image[151:, :, 0].astype(float)
        for clothes in (BeyondSettings().clothes, np.inf)
    )
    changes = [np.abs(np.diff(part, axis=0)).mean() for part in (rings[110:146].astype(float), cloth, stripes)]
    assert changes[1] > 0.5 * changes[0] > 2 * changes[2]
