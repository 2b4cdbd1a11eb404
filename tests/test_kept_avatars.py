"""An avatar that is kept draws the bytes of a fresh one, and is made again where anything it depends on is another."""

from __future__ import annotations

import json
import os
import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from core.components import default_components
from core.data.record_arrays import from_arrays, to_arrays
from core.data.records import TrackedSequence
from core.errors import UserError
from core.kept_avatars import KeepSettings, KeptAvatars, code_digest, forget_oldest
from core.libs.tracker.cache import TrackCache
from core.live import LiveSession
from core.models.LiftedAvatar.models import LiftedAvatar
from core.models.request import DrawRequest
from core.options import Options
from core.pipeline import Pipeline
from core.runtime.compiling import kernels_at_once
from core.runtime.progress import Advance
from tests.made_once import PHOTO, ROOT, copy_cache


@pytest.fixture(scope="module")
def run(demo_cache, tmp_path_factory) -> Pipeline:
    """The demo with everything on, in a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(copy_cache(demo_cache, tmp_path_factory.mktemp("cache"))))
        run = Pipeline(Options(PHOTO, ROOT / "demos/drivers/obama", enhanced=True, quiet=True, model="lifted"))
        assert run.motion is not None
        return run


@pytest.fixture(scope="module")
def fresh(run):
    """An avatar that no file has seen."""
    return run.components.model.encode(run._person().alone, run.source.frame.transform_matrix)


def kept_in(folder: Path, run: Pipeline, **changed) -> KeptAvatars:
    return replace(KeptAvatars(TrackCache(folder), run.components.model), **changed)


class Maker:
    """Gives an avatar, and counts."""

    def __init__(self, avatar) -> None:
        self.avatar, self.count = avatar, 0

    def __call__(self):
        self.count += 1
        return self.avatar


def test_a_kept_avatar_draws_the_same_bytes(run, fresh, tmp_path):
    kept, make = kept_in(tmp_path, run), Maker(fresh)
    photo = run.source, run._person().plate
    anchor = run.motion[0].transform_matrix
    kept.avatar(*photo, make)
    loaded = run.components.model.at(kept.avatar(*photo, make), anchor)
    assert make.count == 1
    assert loaded is not fresh
    model, head = run.components.model, run.components.head
    moved = model.another(model.encode(run._person().alone, anchor))
    for index in range(0, len(run.motion), 40):
        frame = run.motion[index]
        request = DrawRequest(
            head.evaluate(frame),
            frame.transform_matrix,
            detail=0.5,
            torso_motion=frame.torso_motion,
            mouth=frame.mouth_interior,
        )
        first, second = (model.draw_foreground(avatar, request).clone() for avatar in (moved, loaded))
        np.testing.assert_array_equal(first, second)
    # What kernels were compiled for is the same, too
    for name, value in model.pack(moved).items():
        other = model.pack(loaded)[name]
        assert (value.dtype, value.shape, value.strides) == (other.dtype, other.shape, other.strides), name


def test_a_damaged_file_is_made_again(run, fresh, tmp_path):
    kept, make = kept_in(tmp_path, run), Maker(fresh)
    given = run.source, None, make
    kept.avatar(*given)
    (entry,) = tmp_path.glob("*/avatar.npz")
    whole = entry.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole[:5000] + bytes(64) + whole[5064:]):
        entry.write_bytes(damaged)
        before = make.count
        kept.avatar(*given)
        assert make.count == before + 1
        assert entry.read_bytes() == whole
    np.savez(entry, structure=np.frombuffer(b'["record", "core.errors", "UserError", {}]', np.uint8))
    kept.avatar(*given)
    assert make.count == 5


def test_what_an_avatar_depends_on_makes_another(run, fresh, tmp_path):
    make, source, plate = Maker(fresh), run.source, run._person().plate
    settings = run.components.model.settings
    kept = kept_in(tmp_path, run, code=lambda: "1")
    kept.avatar(source, plate, make)
    kept.avatar(source, plate, make)
    assert make.count == 1
    brighter = replace(source, image=source.image ^ np.uint8(1))
    moved = replace(source, frame=replace(source.frame, expcode=source.frame.expcode + np.float32(1)))
    sharper = LiftedAvatar(settings=replace(settings, sigma=0.5 * settings.sigma))
    other = [(kept, (brighter, plate)), (kept, (moved, plate)), (kept, (source, None)), (kept, (source, plate + 1))]
    other += [(replace(kept, code=lambda: "2"), (source, plate)), (replace(kept, model=sharper), (source, plate))]
    for number, (where, photo) in enumerate(other, 2):
        where.avatar(*photo, make)
        assert make.count == number
    kept.avatar(source, plate, make, anew=True)
    assert make.count == len(other) + 2


def test_other_code_is_seen(tmp_path):
    for package in ("data", "libs", "models"):
        shutil.copytree(ROOT / "core" / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    assert code_digest(tmp_path) == code_digest()
    layer = tmp_path / "models" / "LiftedAvatar" / "lids.py"
    layer.write_text(layer.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    changed = code_digest(tmp_path)
    layer.rename(layer.with_name("shut.py"))
    assert len({code_digest(), changed, code_digest(tmp_path)}) == 3


def test_what_was_not_asked_for_longest_goes(run, fresh, tmp_path):
    make, plate = Maker(fresh), run._person().plate
    photos = [replace(run.source, image=run.source.image ^ np.uint8(bit)) for bit in (0, 1, 2)]
    size = sum(values.nbytes for values in run.components.model.pack(fresh).values())
    kept = kept_in(tmp_path, run, settings=KeepSettings(most_bytes=int(2.5 * size)))

    def ask(number: int) -> None:
        kept.avatar(photos[number], plate, make)
        for age, path in enumerate(sorted(tmp_path.glob("*/avatar.npz"), key=lambda path: -path.stat().st_mtime_ns)):
            os.utime(path, (1e9 - age, 1e9 - age))  # file systems count time in steps

    for number in (0, 1, 0, 2, 0):
        ask(number)
    assert make.count == 3
    assert len(list(tmp_path.iterdir())) == 2
    ask(1)  # it went, as the first had been asked for again
    assert make.count == 4
    forget_oldest(tmp_path, 0)
    assert len(list(tmp_path.iterdir())) == 1  # the newest stays, however large it is


def test_a_run_builds_no_avatar_that_is_kept(run, tmp_path, monkeypatch, demo_cache):
    """A second driver finds the first one's, and a live session does; `-f` does not look."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(copy_cache(demo_cache, tmp_path)))
    for entry in tmp_path.rglob("avatar.npz"):
        entry.unlink()
    built = []
    encode = LiftedAvatar.encode
    monkeypatch.setattr(LiftedAvatar, "encode", lambda self, *given: built.append(1) or encode(self, *given))
    options = Options(PHOTO, PHOTO, enhanced=True, quiet=True, model="lifted")
    pictures = [Pipeline(options).draw(run.motion[0]) for _ in range(2)]
    assert len(built) == 1
    np.testing.assert_array_equal(*pictures)
    folder = Pipeline(replace(options, driver_path=ROOT / "demos/drivers/obama"))
    assert folder.avatar is not None
    assert len(built) == 1
    with LiveSession(replace(options, driver_path=None)):  # as the page's, which asks for the same photo again
        assert len(built) == 1
    assert Pipeline(replace(options, force_retrack=True)).avatar is not None
    assert len(built) == 2


@dataclass(frozen=True)
class Inner:
    values: np.ndarray
    number: float


@dataclass(frozen=True)
class Outer:
    first: Inner
    second: Inner
    items: tuple[object, ...]
    same: np.ndarray


@pytest.fixture
def of_the_program(monkeypatch):
    """Taken for records of the program."""
    monkeypatch.setattr("core.data.record_arrays._PROGRAM", __name__)


def test_records_come_back_as_they_were(of_the_program):
    values = np.arange(6, dtype=np.int16).reshape(2, 3)
    inner = Inner(values, 0.1 + 0.2)
    items = (1, None, True, "ß", [np.float32(0.1), (np.nan, -np.inf)], inner)
    arrays = to_arrays(Outer(inner, Inner(values + 1, 1e-300), items, values))
    back = from_arrays(arrays)
    assert len(arrays) == 4  # two arrays, a number of numpy's and the structure
    assert back.first is back.items[-1]
    assert back.same is back.first.values
    np.testing.assert_array_equal(back.first.values, values)
    np.testing.assert_array_equal(back.second.values, values + 1)
    assert (back.first.number, back.second.number) == (0.1 + 0.2, 1e-300)
    assert back.items[:4] == items[:4]
    assert back.first.values.dtype == np.int16
    number, (nothing, least) = back.items[4]
    assert type(number) is np.float32
    assert number == np.float32(0.1)
    assert np.isnan(nothing)
    assert least == -np.inf


def test_no_other_thing_is_made_of_a_file():
    with pytest.raises(TypeError, match="neither an array nor a record"):
        to_arrays(Inner(np.zeros(1), lambda: 0))
    for node in (
        ["record", "os", "system", {"command": "true"}],
        ["record", "core.errors", "UserError", {}],
        ["record", "core.kept_avatars", "code_digest", {}],
        ["record", "core.kept_avatars", "KeepSettings", {"unknown": 1}],
        ["array", "missing"],
        ["same", 0],
        ["other"],
        [],
    ):
        text = np.frombuffer(json.dumps(node).encode(), np.uint8)
        with pytest.raises(UserError):
            from_arrays({"structure": text})


def test_the_avatar_is_built_while_the_driver_is_tracked(run, tmp_path, monkeypatch, demo_cache):
    if not kernels_at_once():
        pytest.skip("here one is done after the other")
    monkeypatch.setenv("XDG_CACHE_HOME", str(copy_cache(demo_cache, tmp_path)))
    for entry in tmp_path.rglob("avatar.npz"):
        entry.unlink()
    options = Options(PHOTO, PHOTO, quiet=True, model="lifted")
    components, built, waited = default_components(options), threading.Event(), []
    encode = components.model.encode
    monkeypatch.setattr(components.model, "encode", lambda *given: (encode(*given), built.set())[0])

    def track(driver: Path, force: bool, advance: Advance) -> TrackedSequence:
        waited.append(built.wait(60))  # what is built after this would never come
        return components.track_driver(driver, force, advance)

    picture = next(Pipeline(options, replace(components, track_driver=track)).frames()).image
    assert waited == [True]
    np.testing.assert_array_equal(picture, next(Pipeline(options, components).frames()).image)  # of what was kept
