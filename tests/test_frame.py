"""The frame is the head's crop, but of a photo that shows too little of it, where nobody asked for one or the other."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from core.batch.models import LoadedModels
from core.data.image import read_image
from core.libs.retargeting.pose import PoseSettings
from core.libs.tracker.source import track_source
from core.libs.tracker.whole import shown_share
from core.notices import frame_notices
from core.options import Options
from core.pipeline import Pipeline
from core.pipeline import driver_panel as panel
from core.runtime.progress import Progress
from tests.made_once import PHOTO, copy_cache


@pytest.fixture(scope="module")
def close(demo_cache, tmp_path_factory) -> Path:
    """The demo's photo, cut close around the face; in a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(copy_cache(demo_cache, tmp_path_factory.mktemp("cache"))))
        image = read_image(PHOTO)
        x, y, side = track_source(PHOTO).crop
        part = slice(int(y + 0.22 * side), int(y + 0.82 * side)), slice(int(x + 0.2 * side), int(x + 0.8 * side))
        path = tmp_path_factory.mktemp("close") / "close.png"
        cv2.imwrite(str(path), image[part][..., ::-1])
        yield path


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ({}, None),
        ({"frame": "head"}, False),
        ({"frame": "photo"}, True),
        ({"size": 768}, False),
        ({"orbit": 20.0}, False),
        ({"face": "all"}, True),
        ({"face": 2}, None),
        ({"frame": "photo", "size": 768}, True),
    ],
)
def test_a_size_or_a_camera_asks_for_the_heads_crop(given, whole):
    assert Options(**given).whole_photo is whole


def test_the_share_of_a_crop_that_a_picture_shows():
    """As by counting pixels, and without the bars along its borders."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 80, 3), np.uint8)
    seen = np.zeros((200, 200), bool)
    seen[70:130, 60:140] = True
    for x, y, side in ((-20, -20, 100), (10, 20, 30), (60, 40, 50), (-40, -50, 150), (100, 0, 20)):
        expected = seen[y + 70 : y + 70 + side, x + 60 : x + 60 + side].mean()
        assert shown_share(image, np.array([x, y, side], float)) == pytest.approx(expected)
    image[:12] = image[-12:] = 0
    assert shown_share(image, np.array([0.0, 0.0, 60.0])) == pytest.approx(0.6)


def test_a_photo_cut_close_around_a_face_is_the_frame(close):
    """What is drawn at rest is the photo; asked for, the crop reaches beyond it. A line says what was taken."""
    options = Options(close, close, quiet=True, no_watermark=True, model="lifted")
    run = Pipeline(options)
    image, drawn = read_image(close), next(iter(run.images()))
    assert run.source.joined
    assert shown_share(image, run.source.crop) < 0.66
    assert drawn.shape == image.shape
    assert np.corrcoef(drawn.ravel(), image.ravel())[0, 1] > 0.99
    assert ["--frame head" in line for line in frame_notices(run.source, options)] == [True]
    assert frame_notices(run.source, Options(close, frame="photo")) == []

    # Its head moves less: the face stays in the frame.
    pose = run.improvements.retargeting(run.components.head, run.driver.track, run.source).pose
    room = shown_share(image, run.source.crop) / PoseSettings().close
    assert pose.turn_limit == pytest.approx(room * PoseSettings().turn_limit)
    assert pose.shift_limit == pytest.approx(room * PoseSettings().shift_limit)

    models = LoadedModels()
    sources = {
        name: models.get(Options(close, model="lifted", **given), Progress(quiet=True)).track_source(close, False)
        for name, given in {"auto": {}, "head": {"frame": "head"}, "orbit": {"orbit": 20.0}}.items()
    }
    assert {name: source.joined for name, source in sources.items()} == {"auto": True, "head": False, "orbit": False}
    assert not sources["head"].middle(sources["head"].inside).all()


def test_a_photo_that_shows_the_heads_crop_stays_with_it(close):
    source = track_source(PHOTO, whole=None)
    assert not source.joined
    assert PoseSettings().within(source) == PoseSettings()
    assert source.size == 512
    found = track_source(PHOTO)
    np.testing.assert_array_equal(source.image, found.image)
    np.testing.assert_array_equal(source.crop, found.crop)


def test_a_drivers_file_is_opened_as_often_for_many_frames_as_for_one(close, tmp_path, monkeypatch):
    """Beside a whole photo its panel shows whole pictures, whose size the file says."""
    opened = []
    reader = panel.VideoReader
    monkeypatch.setattr(panel, "VideoReader", lambda path: opened.append(path) or reader(path))
    clip = tmp_path / "clip.mp4"
    film = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"mp4v"), 25, (360, 360))
    for _ in range(6):
        film.write(read_image(PHOTO)[..., ::-1])
    film.release()
    report = Pipeline(Options(close, clip, output=tmp_path / "x.mp4", frame="photo", quiet=True, model="lifted")).run()
    assert report.frames == 6
    assert len(opened) == 2  # for the size, and for the pictures
