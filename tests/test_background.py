"""What stands behind the person: what `--background` takes and refuses, and what the written result shows of it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from test_pipeline import FPS, FlatAvatar, fakes
from test_pipeline import clip as clip
from test_pipeline import photo as photo

from core.background import Background, find_background
from core.data.image import write_image
from core.data.video import VideoReader, VideoWriter
from core.errors import UserError
from core.options import Options
from core.output.watermark import Watermark
from core.pipeline import Pipeline, animate
from core.pipeline.backdrop import VideoBackdrop, cover
from core.runtime.progress import Progress

MIDDLE = slice(192, 320)


class SquareAvatar(FlatAvatar):
    """A white square in the middle of the picture; it draws on black by itself."""

    background = np.zeros(3, np.float32)

    def draw_foreground(self, avatar, request) -> torch.Tensor:
        person = torch.zeros(4, 512, 512)
        person[:, MIDDLE, MIDDLE] = 1
        return person


def result(photo: Path, driver: Path, background: str, said: list[str] | None = None, **options) -> list[np.ndarray]:
    run = Pipeline(
        Options(photo, driver, background=background, quiet=True, no_watermark=True, layout="result", **options),
        fakes(model=SquareAvatar()),
        Told(said if said is not None else []),
    )
    return [frame.image for frame in run.frames()]


class Told(Progress):
    """Progress whose lines are kept."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(quiet=True)
        self.lines = lines

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize(
    ("given", "model", "wanted"),
    [
        ("auto", "lifted", Background("photo", asked=False)),
        ("auto", "gagavatar", Background("color", (0.0, 0.0, 0.0), asked=False)),
        ("photo", "gagavatar", Background("photo")),
        ("transparent", "lifted", Background("transparent")),
        ("#ff0000", "gagavatar", Background("color", (1.0, 0.0, 0.0))),
    ],
)
def test_the_word_and_the_avatar_say_what_it_is(given, model, wanted):
    assert find_background(Options(background=given), model) == wanted


def test_files_are_told_by_their_content(photo, clip, tmp_path):
    assert find_background(Options(background=str(photo)), "lifted") == Background("picture", path=photo)
    assert find_background(Options(background=str(clip)), "lifted") == Background("video", path=clip)
    text = tmp_path / "room.jpg"
    text.write_text("no picture")
    for path, said in ((text, "neither a picture nor a video"), (tmp_path, "is a folder")):
        with pytest.raises(UserError, match=said):
            find_background(Options(background=str(path)), "lifted")
    with pytest.raises(UserError, match="is no colour, and no file of that name is there"):
        Options(background=str(tmp_path / "none.jpg"))


def test_a_colour_stands_behind_the_person_to_the_bit(photo, clip):
    for image in result(photo, clip, "#102030"):
        assert (image[MIDDLE, MIDDLE] == 255).all()
        assert (image[:192] == (16, 32, 48)).all()


def test_the_photo_stands_behind_the_person(photo, clip):
    for background in ("photo", "auto"):
        for image in result(photo, clip, background):
            assert (image[MIDDLE, MIDDLE] == 255).all()
            assert (image[:192] == 90).all()  # the stand-in's photo is a grey


def test_improvements_change_the_person_only(photo, clip, tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (512, 512, 3), np.uint8)
    write_image(tmp_path / "noise.png", noise)
    run = Pipeline(Options(photo, clip, background=str(tmp_path / "noise.png"), quiet=True, detail_enhance=True))
    person = SquareAvatar().draw_foreground(None, None)
    run.improvements.sharpen = lambda picture, points: picture.mul_(0.5)  # of the whole picture, in place
    picture = run.improvements.over(person, noise.astype(np.float32) / 255, np.zeros((478, 2)))
    shown = (picture * 255).round().byte().permute(1, 2, 0).numpy()
    assert (shown[MIDDLE, MIDDLE] == 128).all()
    np.testing.assert_array_equal(shown[:192], noise[:192])


def test_a_picture_covers_the_frame_from_its_middle():
    wide = np.zeros((100, 400, 3), np.uint8)
    wide[:, 150:250] = 200
    assert (cover(wide, (512, 512))[:, 8:-8] == 200).all()
    tall = np.ascontiguousarray(wide.swapaxes(0, 1))
    assert (cover(tall, (50, 50))[2:-2] == 200).all()
    assert cover(wide, (400, 100)) is wide
    assert cover(wide, (64, 17)).shape == (17, 64, 3)


def write_greys(path: Path, greys: list[int], fps: Fraction) -> Path:
    with VideoWriter(path, fps, (64, 64)) as writer:
        for grey in greys:
            writer.write(np.full((64, 64, 3), grey, np.uint8))
    return path


def test_a_video_runs_along_by_its_own_times_and_again(tmp_path):
    path = write_greys(tmp_path / "greys.mp4", [40, 80, 120, 160], Fraction(10))
    said: list[str] = []
    times = [Fraction(i, 25) for i in range(25)]
    backdrop = VideoBackdrop(path, times, (32, 32), said.append)
    shown = [255 * float(backdrop.at(i).mean()) for i in range(25)]
    wanted = [(40, 80, 120, 160)[int(float(time) * 10 + 1e-9) % 4] for time in times]
    assert shown == pytest.approx(wanted, abs=2)
    assert said == ["greys.mp4 is shorter than the driver: it runs again from its start"]
    assert 255 * float(backdrop.at(0).mean()) == pytest.approx(40, abs=2)  # asked again from the start


def test_a_video_background_of_a_run(photo, clip, tmp_path):
    said: list[str] = []
    path = write_greys(tmp_path / "greys.mp4", [40, 200], FPS)
    shown = [int(image[:100].mean()) for image in result(photo, clip, str(path), said)]
    assert shown == pytest.approx([40, 200, 40, 200, 40, 200, 40], abs=2)
    assert [line for line in said if "shorter" in line]


def test_a_transparent_picture(photo, tmp_path):
    driver, output = tmp_path / "other.png", tmp_path / "out.png"
    write_image(driver, np.full((64, 64, 3), 200, np.uint8))
    options = Options(photo, driver, output=output, background="transparent", layout="result", quiet=True)
    animate(options, fakes(model=SquareAvatar()))
    with Image.open(output) as image:
        assert image.mode == "RGBA"
        assert "AI-generated" in image.text["comment"]
        pixels = np.array(image)
    assert (pixels[MIDDLE, MIDDLE] == 255).all()
    assert (pixels[:192, :, 3] == 0).all()
    assert pixels[490:510, 400:510, 3].max() > 150, "the mark is there where nothing else is"
    animate(replace(options, layout="compare"), fakes(model=SquareAvatar()))
    with Image.open(output) as image:
        alpha = np.array(image)[..., 3]
    assert alpha.shape == (512, 1536)
    assert (alpha[:, :1024] == 255).all(), "the panels are opaque"


@pytest.mark.parametrize(("ending", "pixels"), [(".mov", "yuva444p"), (".webm", "yuva420p")])
def test_a_transparent_video(photo, clip, tmp_path, ending, pixels):
    output = tmp_path / f"out{ending}"
    options = Options(photo, clip, output=output, background="transparent", layout="result", no_watermark=True)
    report = animate(replace(options, quiet=True), fakes(model=SquareAvatar()))
    assert report.frames == len(list(VideoReader(output)))
    with av.open(str(output)) as container:
        stream = container.streams.video[0]
        assert "AI-generated" in container.metadata.get("comment", container.metadata.get("COMMENT", ""))
        decoder = av.CodecContext.create("libvpx-vp9" if ending == ".webm" else "prores", "r")
        decoder.extradata = stream.codec_context.extradata
        decoder.codec_tag = stream.codec_context.codec_tag
        frame = next(frame for packet in container.demux(stream) for frame in decoder.decode(packet))
    assert frame.format.name.startswith(pixels)
    alpha = frame.reformat(format="rgba").to_ndarray()[..., 3]
    assert alpha[MIDDLE, MIDDLE].min() > 250
    assert alpha[:184].max() < 5


def test_a_transparent_video_has_the_drivers_sound(tmp_path):
    source = Path(__file__).parents[1] / "demos/drivers/talk.mp4"
    for ending, codec in ((".mov", "aac"), (".webm", "opus")):
        path = tmp_path / f"sound{ending}"
        with VideoWriter(path, Fraction(25), (64, 64), source, transparent=True) as writer:
            for _ in range(25):
                writer.write(np.zeros((64, 64, 4), np.uint8))
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            assert stream.codec_context.codec.canonical_name == codec
            seconds = sum(frame.samples / frame.sample_rate for frame in container.decode(stream))
        assert seconds == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"output": "out.mp4"}, "cannot be transparent: give it the ending .mov or .webm"),
        ({"variants": True}, "--variants gives a sheet, which is not transparent"),
    ],
)
def test_what_cannot_be_transparent_is_refused(photo, clip, changes, said):
    with pytest.raises(UserError, match=said):
        Pipeline(Options(photo, clip, background="transparent", quiet=True, **changes))


def test_a_transparent_result_is_named_for_what_holds_it(photo, clip, tmp_path):
    picture = tmp_path / "other.png"
    write_image(picture, np.full((64, 64, 3), 200, np.uint8))
    for driver, ending in ((clip, ".mov"), (picture, ".png")):
        run = Pipeline(Options(photo, driver, background="transparent", quiet=True))
        assert run.output.suffix == ending
    with pytest.raises(UserError, match=r"cannot be transparent: give it the ending \.png"):
        Pipeline(Options(photo, picture, background="transparent", output="out.jpg", quiet=True))


def test_the_background_is_not_overwritten(photo, clip, tmp_path):
    path = write_greys(tmp_path / "greys.mp4", [40], FPS)
    with pytest.raises(UserError, match="is an input of this run"):
        Pipeline(Options(photo, clip, background=str(path), output=path, quiet=True))


def test_an_avatar_that_cannot_be_cut_out_says_so(photo, clip):
    with pytest.raises(UserError, match="has a background of its own"):
        list(Pipeline(Options(photo, clip, background="photo", quiet=True), fakes()).frames())


def test_the_mark_is_the_same_on_what_is_opaque():
    mark, image = Watermark(512, 512), np.full((512, 512, 3), 90, np.uint8)
    opaque = np.dstack([image, np.full((512, 512), 255, np.uint8)])
    mark.put(image)
    mark.put(opaque)
    assert np.abs(opaque[..., :3].astype(int) - image).max() <= 1
    assert (opaque[..., 3] == 255).all()
