"""Two pictures that are drawn at once have the bytes of one after the other, whatever the number of threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numba
import numpy as np
import pytest
import torch

from core.data.records import TrackedFrame
from core.options import Options
from core.pipeline import Pipeline
from core.pipeline.drawing import Drawing
from tests.made_once import copy_cache

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def run(demo_cache, tmp_path_factory) -> Pipeline:
    """The demo with everything on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(copy_cache(demo_cache, tmp_path_factory.mktemp("cache"))))
        given = {"enhanced": True, "quiet": True, "model": "lifted"}
        run = Pipeline(Options(ROOT / "demos/examples/1.jpg", ROOT / "demos/drivers/obama", **given))
        assert run.avatar is not None
        return run


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = numba.get_num_threads()
    numba.set_num_threads(count)
    yield
    numba.set_num_threads(before)


def some_frames(run: Pipeline) -> list[TrackedFrame]:
    """To be drawn by several threads; skips where that cannot be."""
    if numba.config.NUMBA_NUM_THREADS < 2 or numba.threading_layer() not in ("omp", "tbb"):
        pytest.skip("here pictures are worked on one after the other")
    return [run.motion[i] for i in range(0, len(run.motion), 24)]


@pytest.mark.parametrize("kind", ["on the photo", "transparent", "on a colour", "bare"])
def test_pictures_drawn_at_once_have_the_same_bytes(run, kind):
    frames = some_frames(run)
    backdrop = run.backdrop if kind == "on the photo" else None
    parts = run.components.model, run.components.head, run.avatar, run.source, run.improvements
    drawing = Drawing(*parts, backdrop, transparent=kind == "transparent", bare=kind == "bare")
    one_by_one = [picture.clone() for picture in drawing.pictures(frames)]
    with threads(1):
        in_one_thread = [picture.clone() for picture in drawing.pictures_at_once(frames)]
    with threads(2):
        at_once = []
        for picture in drawing.pictures_at_once(frames):
            at_once.append(picture)
            other = next(drawing.pictures(frames[-1:]))  # meanwhile this one draws something else
            assert torch.equal(other, one_by_one[-1])
    assert len(at_once) == len(frames) > 8
    for first, second, third in zip(one_by_one, in_one_thread, at_once, strict=True):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, third)


class OnGpu:
    """An avatar as one that a GPU draws: each picture in memory of its own, one at a time, in one thread."""

    on_gpu = True

    def __init__(self, model) -> None:
        self._model, self.threads = model, set()

    def render(self, avatar, request):
        self.threads.add(threading.get_ident())
        return self._model.render(avatar, request).clone()

    def draw_foreground(self, avatar, request):
        self.threads.add(threading.get_ident())
        return self._model.draw_foreground(avatar, request).clone()


@pytest.mark.parametrize("kind", ["on the photo", "transparent", "on a colour"])
def test_what_is_done_beside_a_gpu_has_the_same_bytes(run, kind):
    frames = some_frames(run)
    backdrop = run.backdrop if kind == "on the photo" else None
    parts = run.components.head, run.avatar, run.source, run.improvements, backdrop, kind == "transparent"
    model = OnGpu(run.components.model)
    one_by_one = [picture.clone() for picture in Drawing(run.components.model, *parts).pictures(frames)]
    beside = [picture.clone() for picture in Drawing(model, *parts).pictures_at_once(frames)]
    assert model.threads == {threading.get_ident()}, "a GPU is asked by one thread"
    assert len(beside) == len(frames) > 8
    for first, second in zip(one_by_one, beside, strict=True):
        np.testing.assert_array_equal(first, second)
    stopped = Drawing(model, *parts).pictures_at_once(frames)
    next(stopped)
    stopped.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lane")]
