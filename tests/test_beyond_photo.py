"""A person whom the photo cuts goes on to the border of the head's crop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_head import a_frame

from core.data.records import TrackedSource
from core.libs.beyond_photo import BeyondSettings, continued_beyond

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


@pytest.mark.parametrize("turns", [1, 3])
def test_beside_the_photo_it_is_the_same_turned(turns):
    upright, turned = (continued_beyond(cut(shoulders, turns=n), SETTINGS) for n in (0, turns))
    for part in ("image", "matte", "inside"):
        np.testing.assert_array_equal(np.rot90(getattr(turned, part), -turns), getattr(upright, part))


@pytest.mark.parametrize(
    "source",
    [cut(neck, turns=2), cut(neck, slice(0, SIZE)), cut(lambda row: (60, 100 if row < 100 else 60))],
    ids=["above", "not cut", "nobody there"],
)
def test_else_nothing_changes(source):
    assert continued_beyond(source, SETTINGS) is source


def test_grain_goes_on():
    noise = np.random.default_rng(0).normal(0, 1, (SIZE, SIZE, 3))
    source = cut(neck)
    shown = np.where(source.inside[..., None], source.image + noise, 0).clip(0, 255).astype(np.uint8)
    found = continued_beyond(replace(source, image=shown), SETTINGS).image.astype(float)
    above, below = (np.abs(np.diff(found[part, 66:94], axis=0)).mean() for part in (slice(110, 145), slice(150, 160)))
    assert 0.5 < below / above < 1.5


def test_a_shoulder_falls_on_sideways():
    """A photo's left border cuts it; what lies above it is the background."""

    def outline(row: int) -> tuple[int, int]:  # turned by a quarter: from the shoulder's outline to the photo's border
        return 20 + row // 3, SIZE

    source = cut(outline, turns=3)
    found = continued_beyond(source, SETTINGS)
    top = np.array([np.flatnonzero(column > 0.5)[0] for column in found.matte.T])
    assert top[0] >= top[12] + 2


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
