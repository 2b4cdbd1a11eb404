"""The whole photo as the frame: what stands still is the photo to the bit, and nothing shows where it joins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.components import default_components
from core.data.image import read_image
from core.data.records import TrackedSequence
from core.errors import UserError
from core.libs import compositing
from core.libs.geometry import Camera
from core.libs.tracker.settings import WholeSettings
from core.libs.tracker.whole import WholeCrop, fit_photo, mirrored, whole_crop
from core.models.rasterizer import SurfaceSettings, splat_surface
from core.options import Options
from core.pipeline import Pipeline
from core.pipeline.in_photo import put, put_person

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "demos/examples/1.jpg"


def test_a_window_is_a_part_of_the_square():
    """Of points and of what is splatted alike, also where it reaches beyond."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(-0.6, 0.6, (60, 2)), rng.uniform(9, 10, (60, 1))], 1)
    square, window = Camera(200), Camera(200, window=(-20, 35, 150, 90))
    np.testing.assert_allclose(window.to_pixels(points), square.to_pixels(points) - [-20, 35])
    np.testing.assert_allclose(window.unproject(window.to_pixels(points)), points[:, :2] / points[:, 2:], atol=1e-12)
    assert window.scale == square.scale
    assert window.shape == (90, 150)

    from core.models.LiftedAvatar.surface import _off_axis

    covariance = np.tile(np.float32([2e-3, 0, 0, 2e-3, 0, 2e-3]), (60, 1))
    colors, opacities = rng.random((60, 4)).astype(np.float32), np.ones(60, np.float32)
    scene = points.astype(np.float32), covariance, colors, opacities
    whole = splat_surface(*scene, (200, 200), square.focal, settings=SurfaceSettings())[0].copy()
    focal = square.focal * 200 / 150, square.focal * 200 / 90
    part = splat_surface(*scene, (90, 150), focal, settings=SurfaceSettings(), transform=_off_axis(window))[0]
    np.testing.assert_allclose(part[:, 20:], whole[35:125, :130], atol=2e-3)


def test_a_crop_of_the_whole_lies_on_the_photos_own_pixels():
    """And goes on beyond it as OpenCV's reflection does."""
    image = np.random.default_rng(1).integers(0, 256, (50, 60, 3), np.uint8)
    whole = whole_crop(np.array([10.3, 12.8, 29.6]))
    assert whole.crop.tolist() == [10, 13, 30]
    assert (whole.size, whole.margin) == (30, 18)
    wide = mirrored(image, whole, (0, 0, 60, 50))
    bordered = cv2.copyMakeBorder(image, 30, 30, 30, 30, cv2.BORDER_REFLECT)
    np.testing.assert_array_equal(wide, bordered[30 - 5 : 30 - 5 + 66, 30 - 8 : 30 - 8 + 66])
    boxed = mirrored(image, whole, (4, 0, 60, 50))  # a bar of four columns on the left: they are not mirrored
    np.testing.assert_array_equal(boxed[:, 12:], wide[:, 12:])
    np.testing.assert_array_equal(boxed[:, :12], boxed[:, 12:24][:, ::-1])


def test_what_is_too_large_is_drawn_smaller():
    settings = WholeSettings()
    large = whole_crop(np.array([-100.0, 0, 3000]))
    assert large.size + 2 * large.margin == pytest.approx(settings.drawn, abs=2)
    assert large.wide[2] == pytest.approx(3000 * (1 + 2 * settings.margin), rel=2e-3)
    smooth = np.linspace(0, 255, 4000, dtype=np.float32)[None, :, None].repeat(3000, 0).repeat(3, 2).astype(np.uint8)
    drawn = mirrored(smooth, WholeCrop(np.array([500, 500, 1000]), 500, 0), (0, 0, 4000, 3000))
    np.testing.assert_allclose(drawn[250, :, 0], (500 + 2 * np.arange(500) + 0.5) * 255 / 4000, atol=1.5)
    assert fit_photo(smooth).shape == (2880, 3840, 3)
    assert fit_photo(smooth[:3000, :3840]) is not None


def test_where_nothing_is_drawn_the_photo_stays_to_the_bit():
    rng = np.random.default_rng(2)
    photo = rng.integers(0, 256, (30, 40, 3), np.uint8)
    share = np.clip(rng.uniform(-1, 2, (30, 40)), 0, 1).astype(np.float32)
    out = np.empty_like(photo)
    drawn = rng.uniform(-0.2, 1.2, photo.shape).astype(np.float32)
    put(drawn, share, photo, out)
    np.testing.assert_array_equal(out[share == 0], photo[share == 0])
    expected = photo + share[..., None] * (drawn.clip(0, 1) * 255 - photo)
    np.testing.assert_allclose(out, expected, atol=0.51)
    # A person alone over what is behind them, in one: the same as one after the other
    person, behind = (rng.uniform(0, 1, (30, 40, n)).astype(np.float32) for n in (4, 3))
    at_once, drawn = photo.copy(), np.empty_like(behind)
    put_person(person, behind, share, photo, at_once)
    compositing.over(person, behind, drawn)
    put(drawn, share, photo, out)
    np.testing.assert_array_equal(at_once[share == 0], photo[share == 0])
    np.testing.assert_allclose(at_once.astype(int), out, atol=1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Pipeline]:
    """The demo's photo, large in a wider picture, moved by itself and by some frames of the demo's driver."""
    folder = tmp_path_factory.mktemp("whole")
    image = read_image(PHOTO)
    photo = cv2.copyMakeBorder(image, 40, 0, 200, 260, cv2.BORDER_REFLECT)
    path = folder / "photo.png"
    cv2.imwrite(str(path), photo[..., ::-1])
    track = TrackedSequence.load(ROOT / "demos/drivers/obama").take(np.arange(60, 66))
    replace(track, crops=None).save(folder / "moved")
    components = default_components(Options(frame="photo"))
    out = {}
    for name, driver in (("still", path), ("moved", folder / "moved")):
        out[name] = Pipeline(Options(path, driver, frame="photo", quiet=True, no_watermark=True), components)
    return out


def test_at_rest_the_result_is_the_photo(runs):
    run = runs["still"]
    image = next(run.images()).astype(int)
    photo = run.photo.astype(int)
    difference = np.abs(image - photo).mean(2)
    outside = np.ones(difference.shape, bool)
    outside[run.region.rows, run.region.columns] = False
    assert outside.any()
    assert not difference[outside].any()
    assert difference.mean() < 1.5  # what splats lose


def test_nothing_shows_where_moved_and_still_meet(runs):
    """Along the border of the drawn part, and along that of the share, the step is no more than the photo's own."""
    run = runs["moved"]
    share = run.region.cut(run.source, run.avatar.share)
    photo, part = run.photo.astype(int), (run.region.rows, run.region.columns)
    moved = 0.0
    for image in run.images():
        difference = (image - photo).mean(2)
        outside = difference.copy()
        outside[part] = 0
        assert not outside.any()
        inner = difference[part]
        moved = max(moved, np.abs(inner).max())
        assert not inner[share == 0].any()
        faint = (share > 0) & (share < 0.3)
        assert faint.any()
        assert np.abs(inner[faint]).mean() < 1
        for line in (inner[0], inner[:, 0], inner[:, -1]):
            assert np.abs(line).mean() < 1
    assert moved > 20  # and the face does move


def over(run: Pipeline, background: str) -> Pipeline:
    """The same run over another background."""
    inputs = replace(run.inputs, tracked=run.driver)
    other = Pipeline(replace(run.options, background=background), run.components, inputs=inputs)
    other.source, other.motion = run.source, run.motion
    return other


def test_the_whole_person_is_cut_out_and_put_over_anything(runs, tmp_path):
    """Over white and over nothing they are the same, and over the photo's own plate they are the photo."""
    run = runs["still"]
    white, alone = (next(over(run, name).images()) for name in ("white", "transparent"))
    height, width = run.photo.shape[:2]
    assert white.shape == (height, width, 3)
    assert alone.shape == (height, width, 4)
    matte = alone[..., 3:] / 255
    np.testing.assert_allclose(alone[..., :3] * matte + 255 * (1 - matte), white, atol=1.5)
    assert matte[:20, :20].max() == 0
    assert matte[height // 2, width // 2 - 30] == 1
    sure = cv2.erode(alone[..., 3], np.ones((25, 25))) == 255
    assert np.abs(white.astype(int) - run.photo)[sure].mean() < 2  # what splats lose

    noise = np.random.default_rng(3).integers(0, 256, run.photo.shape, np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise[..., ::-1])
    before = next(over(run, str(tmp_path / "noise.png")).images())
    np.testing.assert_array_equal(before[matte[..., 0] == 0], noise[matte[..., 0] == 0])


def test_the_black_that_the_avatar_draws_on_is_a_background_too(runs):
    black, alone = (next(over(runs["moved"], name).images()) for name in ("black", "transparent"))
    assert not black[alone[..., 3] == 0].any()
    np.testing.assert_allclose(alone[..., :3] * (alone[..., 3:] / 255), black, atol=1.5)


def test_the_drivers_panel_shows_its_whole_picture(runs):
    run = runs["still"]
    height, width = run.photo.shape[:2]
    assert next(run.driver_pictures()).shape[:2] == (height, width + width % 2)
    assert run.size == (2 * width + width + width % 2, height)


def test_a_photo_that_is_reduced_is_said(runs, monkeypatch):
    said = []
    height, width = runs["still"].photo.shape[:2]  # before the limit is lowered
    run = over(runs["still"], "photo")
    run.progress.say = said.append
    monkeypatch.setattr("core.libs.tracker.whole._SETTINGS", WholeSettings(largest=400))
    monkeypatch.setattr("core.libs.tracker.whole.fit_photo.__defaults__", (WholeSettings(largest=400),))
    assert max(run.photo.shape) == 400
    assert said == [
        f"the photo has {width}x{height} pixels and is reduced to {run.photo.shape[1]}x{run.photo.shape[0]}: 4K is the "
        "most that is drawn"
    ]


def test_a_size_that_is_none_is_refused():
    with pytest.raises(UserError, match="size must be one of 512, 768, 1024, got 600"):
        Options(size=600)
