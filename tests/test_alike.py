"""What a small driver's pictures say of one another: frames that look alike, and frames that are shown again."""

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic_head import a_clip, a_frame

from core.data.records import PATCHES, TrackedSequence, join
from core.errors import UserError
from core.improvements import Improvements
from core.libs.filters.likeness import LikenessSettings, by_likeness
from core.libs.filters.repeats import bridge_repeats
from core.libs.filters.windows import WindowSettings
from core.libs.flame_model import OpenHead
from core.libs.geometry import Camera, to_camera
from core.libs.retargeting.likeness import SmallFaceSettings, steadied_by_likeness
from core.libs.retargeting.stage import Retargeting
from core.libs.tracker.face_patches import FacePatches, PatchSettings
from core.libs.tracker.repeats import RepeatFinder
from core.notices import SMALL_FACES
from core.options import Options
from core.pipeline.driver import DriverStage
from core.runtime.progress import Progress

SMALL, LARGE = 128.0, 512.0  # pixels across the shown crop


def looks_of(opening: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Pictures (T, 3, 10, 12) of something that opens by (T,) 0 to 1, with grain."""
    rows = np.arange(10)[:, None] + np.zeros(12)
    dark = np.abs(rows - 4.5) < 0.5 + 4 * opening[:, None, None]
    pictures = 150 - 90.0 * dark[:, None] + random.normal(0, 3, (len(opening), *PATCHES))
    return np.clip(pictures, 1, 255).astype(np.uint8)


def test_frames_that_look_alike_are_averaged_by_the_closed_form():
    """Of n frames of one look and n of another the process has a closed form: a system of two equations."""
    random = np.random.default_rng(0)
    two = random.integers(1, 255, (2, *PATCHES)).astype(np.uint8)
    shown, n, settings = np.arange(40) % 2, 20, LikenessSettings()
    values = random.normal(0, 1, (40, 3))
    found = by_likeness(values, two[shown], settings)
    away = np.exp(-1 / settings.reach)  # most pairs are of two looks, so that is the median difference
    mean = values.mean(0)
    sums = np.stack([values[shown == k].sum(0) for k in (0, 1)]) - n * mean
    matrix = np.array([[1, away], [away, 1]])
    weights = np.linalg.solve(np.eye(2) * settings.noise + n * matrix, sums)  # sums of the weights of either look
    np.testing.assert_allclose(found, (mean + matrix @ weights)[shown], atol=1e-9)


def test_noise_goes_and_what_the_looks_say_stays():
    random = np.random.default_rng(1)
    opening = np.abs(np.sin(np.arange(200) / 7.0))
    noisy = opening + random.normal(0, 0.2, 200)
    found = by_likeness(noisy[:, None], looks_of(opening, random))[:, 0]
    assert np.std(found - opening) < 0.6 * np.std(noisy - opening)
    assert found.std() > 0.9 * opening.std()


def test_brightness_of_a_frame_says_nothing():
    random = np.random.default_rng(2)
    opening, light = random.random(60), random.integers(-40, 40, (60, 1, 1, 1))
    looks = looks_of(opening, random).clip(50, 200)
    values = random.normal(0, 1, (60, 2))
    np.testing.assert_allclose(by_likeness(values, looks), by_likeness(values, looks + light), atol=1e-9)


def test_a_long_clip_is_done_in_windows_that_fade():
    random = np.random.default_rng(3)
    opening = np.abs(np.sin(np.arange(150) / 7.0))
    values, looks = (opening + random.normal(0, 0.1, 150))[:, None], looks_of(opening, random)
    settings = LikenessSettings(windows=WindowSettings(60, 20))
    found = by_likeness(values, looks, settings)
    first = by_likeness(values[:60], looks[:60], settings)
    np.testing.assert_array_equal(found[:40], first[:40])
    assert np.std(found[:, 0] - opening) < np.std(values[:, 0] - opening)


@pytest.mark.parametrize("looks", [np.full((30, *PATCHES), 7), np.full((4, *PATCHES), 7)], ids=["all alike", "few"])
def test_where_nothing_can_be_compared_values_stay(looks):
    values = np.random.default_rng(4).normal(0, 1, (len(looks), 3))
    np.testing.assert_array_equal(by_likeness(values, looks), values)


def test_repeated_frames_lie_on_the_way_to_the_new_one():
    values = np.array([[0.0], [0.2], [-0.2], [9.0], [9.0], [12.0]])
    repeated = np.array([False, True, True, False, True, False])
    found = bridge_repeats({"expcode": values}, repeated, 25)["expcode"]
    np.testing.assert_allclose(found[:, 0], [0, 3, 6, 9, 10.5, 12], atol=1e-12)  # the first three are averaged: 0


def test_what_stood_still_for_long_stands_still():
    values = np.array([0.0] * 20 + [10.0])[:, None]
    repeated = np.array([False] + [True] * 19 + [False])
    found = bridge_repeats({"expcode": values}, repeated, 25)["expcode"][:, 0]
    assert not found[:16].any()  # .16 seconds are four frames
    np.testing.assert_allclose(found[16:], [2, 4, 6, 8, 10])


def test_turns_are_bridged_along_their_path_and_shared_parameters_stay():
    axis = np.array([0.0, 1.0, 0.0])
    turns = Rotation.from_rotvec(np.radians([0, 0, 60])[:, None] * axis).as_matrix()
    transform = np.concatenate([turns, np.tile([[0.0], [0], [10]], (3, 1, 1))], -1).astype(np.float32)
    shape = np.ones((1, 300), np.float32)
    found = bridge_repeats({"transform_matrix": transform, "shapecode": shape}, np.array([0, 1, 0], bool), 25)
    np.testing.assert_allclose(
        found["transform_matrix"][1, :, :3], Rotation.from_rotvec(np.radians(30) * axis).as_matrix(), atol=1e-5
    )
    assert found["transform_matrix"].dtype == np.float32
    assert found["shapecode"] is shape


def test_without_repeated_frames_nothing_changes():
    values = np.random.default_rng(5).normal(0, 1, (9, 4)).astype(np.float32)
    first = np.array([True] + [False] * 8)  # nothing is before the first
    assert bridge_repeats({"expcode": values}, first, 25)["expcode"] is values


def test_the_same_picture_of_a_face_is_seen_to_be_the_same():
    random = np.random.default_rng(6)
    one = random.integers(0, 255, (60, 80, 3)).astype(np.uint8)
    coded, elsewhere, moved = one.copy(), one.copy(), np.roll(one, 1, 1)
    coded[20:22, 20:22] ^= 1  # a few pixels by a grey level
    elsewhere[:5] = 0
    box, finder = np.array([10.0, 10.0, 50.0, 50.0]), RepeatFinder()
    seen = [finder.see(image, box) for image in (one, one, coded, elsewhere, moved)]
    assert seen == [False, True, True, True, False]
    assert finder.repeated().tolist() == seen
    assert not finder.see(moved, None)
    nothing = RepeatFinder()
    nothing.see(one, box), nothing.see(moved, box), nothing.see(moved[:50], box)
    assert nothing.repeated() is None


def test_patches_stay_with_the_face():
    """Blobs at the face's points are at the same place of a patch however the head is held."""
    head, camera, size = OpenHead(), Camera(), 256
    rest = head.landmarks(head.evaluate(a_frame(np.random.default_rng(7), 0.0)))
    cutter = FacePatches(rest, camera, size, PatchSettings())

    def patches(yaw: float, shift: float) -> np.ndarray:
        frame = a_frame(np.random.default_rng(7), 0.0)
        transform = frame.transform_matrix.copy()
        transform[:, :3] = transform[:, :3] @ Rotation.from_rotvec(np.radians([0, yaw, 0])).as_matrix()
        transform[0, 3] += shift
        pixels = (camera.to_pixels(to_camera(rest, transform))[[33, 133, 263, 362, 61, 291, 152]] + 0.5) / 2 - 0.5
        y, x = np.mgrid[:size, :size]
        blobs = [np.exp(-((x - a) ** 2 + (y - b) ** 2) / 18) for a, b in pixels]
        return cutter.cut((255 * np.sum(blobs, 0)).clip(0, 255).astype(np.uint8), transform)

    front, turned = patches(0, 0), patches(8, 0.1)
    assert front.shape == PATCHES
    assert front.dtype == np.uint8
    for one, other in zip(front, turned, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.9


def a_driver(side: float) -> TrackedSequence:
    """Sixty frames of a mouth that opens and shuts, tracked with noise."""
    random = np.random.default_rng(8)
    opening = np.abs(np.sin(np.arange(60) / 5.0))
    frames = [a_frame(np.random.default_rng(9), 0.0) for _ in opening]
    clip = a_clip(frames)
    expcode = np.zeros((60, 100), np.float32)
    expcode[:, 30] = opening + random.normal(0, 0.3, 60)
    crops = np.tile(np.float32([0, 0, side]), (60, 1))
    return replace(clip, expcode=expcode, crops=crops, patches=looks_of(opening, random))


def test_only_small_faces_are_steadied():
    small, large = a_driver(SMALL), a_driver(LARGE)
    found = steadied_by_likeness(small, ["expcode"]).expcode
    np.testing.assert_allclose(found, by_likeness(small.expcode, small.patches), atol=1e-6)
    np.testing.assert_array_equal(steadied_by_likeness(large, ["expcode"]).expcode, large.expcode)
    half = a_driver(np.mean(SmallFaceSettings().pixels))
    between = steadied_by_likeness(half, ["expcode"]).expcode
    np.testing.assert_allclose(between, (found + small.expcode) / 2, atol=1e-5)
    assert steadied_by_likeness(replace(small, patches=None), ["expcode"]).expcode is small.expcode


def test_frames_that_were_not_looked_at_stay_as_they_are():
    driver = a_driver(SMALL)
    patches, status = driver.patches.copy(), driver.status.copy()
    patches[3], status[5] = 0, 1
    found = steadied_by_likeness(replace(driver, patches=patches, status=status), ["expcode"]).expcode
    np.testing.assert_array_equal(found[[3, 5]], driver.expcode[[3, 5]])
    assert (found[4] != driver.expcode[4]).any()


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({}, []),
        ({"expression_opt": True}, ["expcode"]),
        ({"gaze_correct": True}, ["eyecode"]),
        ({"gaze_correct": True, "gaze_strength": 0.0}, []),
    ],
)
def test_each_improvement_steadies_its_own(options, changed):
    driver = a_driver(SMALL)
    driver = replace(driver, eyecode=np.repeat(driver.expcode[:, 30:31] / 10, 6, 1))
    some = Improvements(Options(Path("a.jpg"), Path("b.mp4"), **options))
    ready, plain = some.steady(driver, None, None)
    for name in ("expcode", "eyecode", "transform_matrix"):
        assert (getattr(ready, name) != getattr(driver, name)).any() == (name in changed)
        np.testing.assert_array_equal(getattr(plain, name), getattr(driver, name))


def test_smoothing_bridges_repeated_frames_and_strength_0_does_not():
    driver = a_driver(SMALL)
    repeated = np.zeros(60, bool)
    repeated[[20, 21]] = True
    driver = replace(driver, repeated=repeated)

    def smoothed(**options) -> np.ndarray:
        return Improvements(Options(Path("a.jpg"), Path("b.mp4"), **options)).smooth(driver).expcode[:, 30]

    assert smoothed() is not None
    np.testing.assert_array_equal(smoothed(temporal_smooth=True, smooth_strength=0.0), driver.expcode[:, 30])
    bridged = smoothed(temporal_smooth=True, smooth_alpha=1.0)  # every value is taken as it is
    ends = driver.expcode[[19, 20, 21], 30].mean(), driver.expcode[22, 30]
    np.testing.assert_allclose(bridged[19:23], np.linspace(*ends, 4), atol=2e-4)


def test_the_frame_of_the_photos_face_is_looked_for_before_faces_were_drawn_together():
    head = OpenHead()
    frames = [a_frame(np.random.default_rng(k), 0.3) for k in range(4)]
    frames = [replace(frame, shapecode=frames[0].shapecode) for frame in frames]
    source = replace(frames[2], static_offset=np.zeros((len(head.template), 3), np.float32))
    plain = a_clip(frames)
    ready = plain.with_parameters({"expcode": np.repeat(plain.expcode.mean(0, keepdims=True), 4, 0)})
    motion = Retargeting("absolute").run(source, ready, head, plain)
    np.testing.assert_allclose(motion.expcode, np.repeat(source.expcode[None], 4, 0), atol=1e-5)
    np.testing.assert_allclose(motion.transform_matrix[2], source.transform_matrix, atol=1e-3)
    assert motion.patches is None
    assert motion.repeated is None


@pytest.mark.parametrize(("side", "said"), [(SMALL, []), (LARGE, [f"--expression-opt has no effect: {SMALL_FACES}"])])
def test_what_only_small_faces_have_is_said_when_the_face_is_known(side, said):
    driver = a_driver(side)
    driver = driver if side == SMALL else replace(driver, patches=None)
    options = Options(Path("a.jpg"), Path("b.mp4"), motion="absolute", expression_opt=True)
    components = SimpleNamespace(head=OpenHead, people=None, track_driver=lambda *_: driver)
    lines = io.StringIO()
    stage = DriverStage(options, components, "lifted", Progress(stream=lines))
    stage.run(SimpleNamespace(tracked=None, frames=None, driver=Path("b.mp4"), kind="video"))
    assert [line for line in lines.getvalue().splitlines() if "effect" in line] == said


def test_they_are_kept_with_the_track(tmp_path):
    driver = replace(a_driver(SMALL), repeated=np.arange(60) % 3 == 1)
    driver.save(tmp_path)
    loaded = TrackedSequence.load(tmp_path)
    np.testing.assert_array_equal(loaded.patches, driver.patches)
    np.testing.assert_array_equal(loaded.repeated, driver.repeated)
    some = np.array([4, 9])
    np.testing.assert_array_equal(driver.take(some).patches, driver.patches[some])
    assert driver.take(some).repeated.tolist() == [True, False]
    both = join([driver.take(some), replace(driver.take(some), repeated=None)])
    assert both.repeated.tolist() == [True, False, False, False]
    assert both.patches.shape == (4, *PATCHES)
    replace(driver, repeated=np.arange(60)).save(tmp_path)
    with pytest.raises(UserError, match="repeated is int64, expected bool"):
        TrackedSequence.load(tmp_path)
