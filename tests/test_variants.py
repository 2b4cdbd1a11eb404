"""`--variants`: each tile is what a run with that flag alone gives, everything else is shared."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from core.command_line import load_options
from core.components import default_components
from core.data.image import read_image
from core.data.records import IMAGE_SIZE, TrackedSequence
from core.data.video import VideoReader
from core.evaluation.setting import first_frames
from core.options import Options
from core.output.contact_sheet import CaptionedSheet
from core.pipeline import Pipeline, animate
from core.pipeline.variants import CAPTIONS, Variants

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "demos/examples/1.jpg"
FLAGS = ("temporal_smooth", "expression_opt", "gaze_correct", "detail_enhance", "enhanced")
FRAMES, COMPARED = 8, 5
BAR, TILE = CAPTIONS.height, (IMAGE_SIZE, IMAGE_SIZE)


def sheet_size(tiles: int) -> tuple[int, int]:
    return 4 * IMAGE_SIZE, -(-tiles // 4) * (40 + IMAGE_SIZE)


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("variants") / "obama"
    first_frames(TrackedSequence.load(ROOT / "demos/drivers/obama"), FRAMES).save(folder)
    return folder


def tiles(sheet: np.ndarray) -> list[np.ndarray]:
    height = BAR + IMAGE_SIZE
    rows = [sheet[y + BAR : y + height] for y in range(0, len(sheet), height)]
    return [row[:, x : x + IMAGE_SIZE] for row in rows for x in range(0, row.shape[1], IMAGE_SIZE)]


def test_each_tile_is_the_run_with_that_flag(driver):
    options = Options(PHOTO, driver, quiet=True)
    components = default_components(options)
    encoded, tracked = [], []

    class Counted:
        name = "lifted"

        def encode(self, source, anchor=None):
            encoded.append(anchor)
            return components.model.encode(source, anchor)

        def __getattr__(self, name):
            return getattr(components.model, name)

    def track_source(photo, force):
        tracked.append(photo)
        return components.track_source(photo, force)

    together = Variants(options, replace(components, model=Counted(), track_source=track_source))
    sheets = [tiles(frame.image.copy()) for frame in islice(together.frames(), COMPARED)]
    assert len(tracked) == 1
    assert len(encoded) <= 2  # smoothed or not: nothing else moves the place that the shoulders belong to
    photo = together.source.shown()[0]
    alone = {"off": {}, **{name: {name: True} for name in FLAGS}}
    shown = [
        list(islice(Pipeline(replace(options, **changes), components).frames(), COMPARED)) for changes in alone.values()
    ]
    for index, sheet in enumerate(sheets):
        assert np.array_equal(sheet[0], photo)
        for tile, frames in zip(sheet[2:], shown, strict=True):
            assert np.array_equal(tile, frames[index].image)
    off, *improved = sheets[-1][2:]
    assert all((tile != off).any() for tile in improved)


def test_from_end_to_end_into_a_folder(driver, tmp_path):
    report = animate(Options(PHOTO, driver, variants=True, output=f"{tmp_path}/new/", quiet=True))
    assert report.output == tmp_path / "new/obama_1_variants.mp4"
    reader = VideoReader(report.output)
    track = TrackedSequence.load(driver)
    assert (reader.size, reader.fps) == (sheet_size(8), track.fps)
    assert [frame.time for frame in reader] == list(track.times)
    with av.open(str(report.output)) as container:
        assert "AI-generated" in container.metadata["comment"]


def test_a_picture_as_driver_gives_a_picture(tmp_path):
    report = animate(Options(PHOTO, PHOTO, variants=True, output=f"{tmp_path}/", quiet=True))
    assert report.output == tmp_path / "1_1_variants.png"
    assert read_image(report.output).shape == (*sheet_size(8)[::-1], 3)


def test_labels_stand_above_their_tiles():
    names = ("photo", "driver", "off", "--temporal-smooth", "--enhanced")
    size = (IMAGE_SIZE, IMAGE_SIZE, 3)
    sheet = CaptionedSheet(names, TILE, Variants.columns, CAPTIONS).put(
        [np.full(size, 40 * k, np.uint8) for k in range(len(names))]
    )
    assert sheet.shape == (*sheet_size(5)[::-1], 3)
    assert [int(tile.mean()) for tile in tiles(sheet)[:5]] == [0, 40, 80, 120, 160]
    bars = [sheet[y : y + BAR, x : x + IMAGE_SIZE] for y in (0, BAR + IMAGE_SIZE) for x in range(0, 2048, IMAGE_SIZE)]
    widths = [int((bar.max((0, 2)) > 200).sum()) for bar in bars]
    assert min(widths[:5]) > 20
    assert widths[5:] == [0, 0, 0]
    assert widths[3] > widths[0] > widths[2]  # as long as their words


def test_variants_is_an_option_like_others():
    assert load_options(["--variants"]).label == "variants"
    pipeline = Variants(Options(PHOTO, ROOT / "demos/drivers/obama", enhanced=True, quiet=True))
    assert pipeline.output == Path("render_results/lifted/obama_1_variants.mp4")
    assert pipeline.improvements.wanted == ()
