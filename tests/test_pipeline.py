"""The pipeline: with small stand-ins for tracker and avatar first, then the real thing on the demo's inputs."""

import io
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from core.components import Components
from core.data.image import read_image, write_image
from core.data.records import HELD, INTERPOLATED, SEEN, TrackedFrame, TrackedSequence, TrackedSource
from core.data.video import VideoReader, VideoWriter
from core.errors import UserError
from core.libs.tracker.crop import crop_image
from core.models.request import DrawRequest
from core.options import Options
from core.output.mesh_panel import MeshPanel
from core.output.watermark import PROGRAM, Watermark
from core.pipeline import Pipeline, animate
from core.runtime.progress import Progress

ROOT = Path(__file__).parents[1]
FPS = Fraction(30000, 1001)
FRAMES = 7


def camera(turn: float = 0.0) -> np.ndarray:
    R = np.float32([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    front = np.float32([[-1, 0, 0], [0, 1, 0], [0, 0, -1]])  # the face looks into the camera
    return np.concatenate([R @ front, np.float32([[0], [0], [30]])], axis=1)


def sequence(times: list[Fraction], fps: Fraction = FPS) -> TrackedSequence:
    n = len(times)
    return TrackedSequence(
        shapecode=np.zeros((1, 300), np.float32),
        expcode=np.zeros((n, 100), np.float32),
        posecode=np.zeros((n, 6), np.float32),
        eyecode=np.zeros((n, 6), np.float32),
        transform_matrix=np.stack([camera(0.02 * i) for i in range(n)]),
        bbox=np.tile(np.float32([0.2, 0.2, 0.8, 0.8]), (n, 1)),
        times=tuple(times),
        fps=fps,
        status=np.zeros(n, np.int8),
        crops=np.tile(np.float32([0, 0, 64]), (n, 1)),
    )


def track_source(path: Path, force: bool) -> TrackedSource:
    image = np.full((640, 640, 3), int(read_image(path).mean()), np.uint8)
    zeros = {name: np.zeros(n, np.float32) for name, n in [("shapecode", 300), ("expcode", 100), ("posecode", 6)]}
    frame = TrackedFrame(
        **zeros, eyecode=np.zeros(6), transform_matrix=camera(), bbox=np.zeros(4), static_offset=np.ones(1)
    )
    return TrackedSource(frame, image, np.ones((640, 640), np.float32), 64, np.ones((640, 640), bool))


def track_driver(path: Path, force: bool, advance) -> TrackedSequence:
    if path.suffix != ".mp4":
        return sequence([Fraction(0)], Fraction(25))
    reader = VideoReader(path)
    times = [frame.time for frame in reader]
    advance(len(times), len(times))
    return sequence(times, reader.fps)


def crop(image: np.ndarray, square: np.ndarray, size: int) -> np.ndarray:
    return np.full((size, size, 3), int(image.mean()), np.uint8)


class PyramidHead:
    """Five points."""

    kind = "open"
    openings = None
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 1]])

    def evaluate(self, frame: TrackedFrame) -> np.ndarray:
        return np.float32([[0, 0, 0.5], [0.5, 0.5, 0], [-0.5, 0.5, 0], [-0.5, -0.5, 0], [0.5, -0.5, 0]])


class FlatAvatar:
    """A grey that follows the turn of the head; `fail_at` raises in that frame."""

    name = "flat"

    def __init__(self, fail_at: int = -1, error: BaseException | None = None) -> None:
        self.fail_at, self.error, self.rendered = fail_at, error, 0

    def warm_up(self) -> float:
        return 0.0

    def encode(self, source: TrackedSource, anchor: np.ndarray | None = None) -> float:
        return 0.5

    def render(self, avatar: float, request: DrawRequest) -> torch.Tensor:
        if self.rendered == self.fail_at:
            raise self.error
        self.rendered += 1
        return torch.full((3, 512, 512), avatar + float(request.transform[0, 2]))


def fakes(**changes) -> Components:
    usual = Components(
        track_source, track_driver, crop, PyramidHead(), FlatAvatar(), retarget=lambda source, driver, _: driver
    )
    return replace(usual, **changes)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    write_image(path, np.full((64, 64, 3), 90, np.uint8))
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, FPS, (64, 64)) as writer:
        for i in range(FRAMES):
            writer.write(np.full((64, 64, 3), 20 * i + 30, np.uint8))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sequence([i / FPS for i in range(3)]).save(tmp_path / "tracked")
    return tmp_path / "tracked"


def run(photo: Path, driver: Path, components: Components | None = None, **options):
    options = {"output": photo.parent / "out.mp4", "quiet": True, **options}
    return animate(Options(photo, driver, **options), components or fakes())


def pictures(path: Path) -> list[np.ndarray]:
    return [frame.image for frame in VideoReader(path)]


@pytest.mark.parametrize(("layout", "width"), [("compare", 1536), ("result", 512)])
def test_video_keeps_rate_times_and_number(photo, clip, layout, width):
    report = run(photo, clip, layout=layout)
    reader = VideoReader(report.output)
    assert (reader.size, reader.fps) == ((width, 512), FPS)
    assert [frame.time for frame in reader] == [frame.time for frame in VideoReader(clip)]
    assert report.frames == FRAMES
    assert {"track source", "track driver", "encode avatar", "compile", "render", "write"} <= set(report.seconds)


def test_panels_are_photo_driver_result_in_step(photo, clip):
    for index, image in enumerate(pictures(run(photo, clip, no_watermark=True).output)):
        panels = [int(image[:, 512 * i + 50 : 512 * i + 460].mean()) for i in range(3)]
        expected = [90, 20 * index + 30, round(255 * (0.5 + float(camera(0.02 * index)[0, 2])))]
        assert panels == pytest.approx(expected, abs=3)


def test_picture_as_driver_gives_a_picture(photo, tmp_path):
    driver = tmp_path / "other.jpg"
    write_image(driver, np.full((64, 64, 3), 200, np.uint8))
    report = run(photo, driver, output=tmp_path)
    assert report.output == tmp_path / "other_photo.png"
    assert read_image(report.output).shape == (512, 1536, 3)
    with pytest.raises(UserError, match=r"must end in one of \.png"):
        run(photo, driver, output=tmp_path / "out.mp4")


@pytest.mark.parametrize("size", [768, 1024])
def test_the_drivers_panel_is_cut_as_large_as_the_photo_is_shown(photo, tmp_path, size):
    """Not at 512 pixels and made larger: every pixel of the panel is the crop's at that size."""
    noise = np.random.default_rng(1).integers(0, 256, (1200, 1100, 3), np.uint8)
    write_image(tmp_path / "noise.png", noise)
    square = np.float32([60, 100, 960])

    def tracked(path, force):
        source, side = track_source(path, force), size + 2 * 64
        image, matte = np.full((side, side, 3), 90, np.uint8), np.ones((side, side), np.float32)
        return replace(source, image=image, matte=matte, inside=matte > 0)

    class LargeAvatar(FlatAvatar):
        def render(self, avatar, request):
            return torch.zeros(3, size, size)

    parts = fakes(
        track_source=tracked,
        track_driver=lambda *_: replace(sequence([Fraction(0)], Fraction(25)), crops=square[None]),
        crop=crop_image,
        model=LargeAvatar(),
    )
    shown = read_image(run(photo, tmp_path / "noise.png", parts, output=tmp_path, no_watermark=True).output)
    assert shown.shape == (size, 3 * size, 3)
    np.testing.assert_array_equal(shown[:, size : 2 * size], crop_image(noise, square, size))


def test_folder_without_pictures_shows_the_mesh(photo, folder):
    image = pictures(run(photo, folder).output)[0]
    panel = image[:, 512:1024]
    assert panel[256, 256].mean() > panel[20, 20].mean() + 30


def test_pictures_that_end_early_are_held(photo, clip):
    def longer(path, force, advance):
        return sequence([i / FPS for i in range(FRAMES + 3)])

    shown = [image[:, 512:1024].mean() for image in pictures(run(photo, clip, fakes(track_driver=longer)).output)]
    assert len(shown) == FRAMES + 3
    assert shown[-4:] == pytest.approx([shown[FRAMES - 1]] * 4, abs=1)


def test_two_runs_give_the_same_bytes(photo, clip):
    first = run(photo, clip).output.read_bytes()
    assert run(photo, clip).output.read_bytes() == first


def test_default_output(photo, clip, monkeypatch):
    monkeypatch.chdir(photo.parent)
    assert run(photo, clip, output=None).output == Path("render_results/lifted/clip_photo.mp4")
    smoothed = run(photo, clip, output=None, temporal_smooth=True)
    assert smoothed.output == Path("render_results/lifted/clip_photo_temporal.mp4")


def test_a_folder_that_is_named_by_a_slash_is_made(photo, clip, monkeypatch):
    monkeypatch.chdir(photo.parent)
    assert run(photo, clip, output="new/deep/").output == Path("new/deep/clip_photo.mp4")
    assert run(photo, clip, output="new/deep").output == Path("new/deep/clip_photo.mp4")
    assert run(photo, clip, output="new/deep/", temporal_smooth=True).output.name == "clip_photo_temporal.mp4"
    assert len(list(Path("new/deep").iterdir())) == 2
    with pytest.raises(UserError, match=r"must end in one of \.mp4.* or in a slash"):
        run(photo, clip, output="name")
    with pytest.raises(UserError, match="no folder that can be written to"):
        run(photo, clip, output="clip.mp4/")


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt(), SystemExit(143)])
def test_a_run_that_ends_early_leaves_nothing_and_harms_nothing(photo, clip, error):
    threads = threading.active_count()  # a progress bar of another test may have left its own
    before = sorted(photo.parent.iterdir())
    with pytest.raises(type(error)):
        run(photo, clip, fakes(model=FlatAvatar(3, error)))
    assert sorted(photo.parent.iterdir()) == before
    (photo.parent / "out.mp4").write_bytes(b"precious")
    with pytest.raises(type(error)):
        run(photo, clip, fakes(model=FlatAvatar(3, error)))
    assert (photo.parent / "out.mp4").read_bytes() == b"precious"
    assert threading.active_count() == threads


def test_an_error_beside_the_renderer_is_raised(photo, clip):
    threads = threading.active_count()

    def broken(image, square, size):
        raise RuntimeError("in the reader's thread")

    with pytest.raises(RuntimeError, match="reader's thread"):
        run(photo, clip, fakes(crop=broken))
    assert not (photo.parent / "out.mp4").exists()
    assert threading.active_count() == threads


def test_mark_and_metadata(photo, clip, tmp_path):
    marked, plain = (pictures(run(photo, clip, no_watermark=off).output)[0] for off in (False, True))
    differs = np.argwhere(np.abs(marked.astype(int) - plain).max(2) > 40)
    assert differs.min(0)[0] > 470
    assert differs.min(0)[1] > 1024 + 350
    for off in (False, True):
        with av.open(str(run(photo, clip, no_watermark=off).output)) as container:
            assert "AI-generated" in container.metadata["comment"]
            assert PROGRAM in container.metadata["comment"]
    with Image.open(run(photo, photo, output=tmp_path / "out.png", no_watermark=True).output) as image:
        assert PROGRAM in image.text["comment"]


def test_mark_is_small_and_fits_only_where_it_fits():
    image = np.full((512, 512, 3), 128, np.uint8)
    Watermark(512, 512).put(image)
    changed = (image != 128).any(2).mean()
    assert 0 < changed < 0.01
    tiny = np.full((16, 16, 3), 128, np.uint8)
    Watermark(16, 16).put(tiny)
    assert tiny.shape == (16, 16, 3)


def test_frames_from_python(photo, clip):
    pipeline = Pipeline(Options(photo, clip, quiet=True), fakes())
    frames = list(pipeline.frames())
    assert [frame.index for frame in frames] == list(range(FRAMES))
    assert frames[0].image.shape == (512, 512, 3)
    assert frames[0].image.dtype == np.uint8
    assert not list(photo.parent.glob("*.part"))


def test_frames_are_made_as_they_are_asked_for(photo, clip):
    model = FlatAvatar()
    frames = Pipeline(Options(photo, clip, quiet=True), fakes(model=model)).frames()
    next(frames)
    assert model.rendered == 1
    frames.close()


def test_missing_faces_are_counted_and_said(photo, clip):
    def gaps(path, force, advance):
        return replace(sequence([i / FPS for i in range(3)]), status=np.int8([SEEN, INTERPOLATED, HELD]))

    said = io.StringIO()
    options = Options(photo, clip, output=photo.parent / "out.mp4")
    report = Pipeline(options, fakes(track_driver=gaps), Progress(stream=said)).run()
    assert (report.interpolated, report.held) == (1, 1)
    assert "no face in 2 of 3 frames" in said.getvalue()
    assert "avatar: lifted" in said.getvalue()
    assert "\r" not in said.getvalue()  # not a terminal
    assert str(report).startswith(str(report.output))
    assert str(report).splitlines()[1:] == [f"worth knowing: {report.advice[0]}"]
    assert "not seen in 2 of 3 frames (1 bridged, 1 held)" in report.advice[0]


def test_codes_of_another_head_are_refused(photo, folder):
    replace(TrackedSequence.load(folder), head="flame").save(folder)
    with pytest.raises(UserError, match="flame head"):
        run(photo, folder)


def test_mesh_is_hidden_from_behind():
    panel = MeshPanel(PyramidHead.faces)
    vertices = PyramidHead().evaluate(None)
    front, back = panel.draw(vertices, camera()), panel.draw(vertices, camera(np.pi))
    assert front.std() > 5
    assert back.std() == 0


# With the real tracker, head and avatar


@pytest.fixture(scope="module")
def short_demo(tmp_path_factory) -> Path:
    """The first frames of the demo's driver as a driver of their own."""
    track = TrackedSequence.load(ROOT / "demos/drivers/obama")
    n = 5
    cut = {name: value[:n] for name, value in track.parameters.items()}
    cut |= {"bbox": track.bbox[:n], "status": track.status[:n], "times": track.times[:n]}
    folder = tmp_path_factory.mktemp("demo") / "obama"
    cut |= {
        name: None if (v := getattr(track, name)) is None else v[:n]
        for name in ("crops", "torso_motion", "mouth_interior")
    }
    replace(track, **cut).save(folder)
    return folder


def test_beyond_the_person_the_photo_is_the_photo(short_demo):
    """Default options: every pixel that no frame's person reaches, and none of the photo's did, is the photo's."""
    options = Options(ROOT / "demos/examples/1.jpg", short_demo, layout="result", no_watermark=True, quiet=True)
    run = Pipeline(options)
    images = [frame.image for frame in run.frames()]
    alone = Pipeline(replace(options, background="transparent"), run.components)
    reached = np.max([frame.image[..., 3] for frame in alone.frames()], 0) > 0
    photo, matte = run.source.shown()
    near = cv2.dilate((matte > 0).astype(np.uint8), np.ones((13, 13))) > 0
    beyond = run.source.middle(run.source.inside) & ~reached & ~near
    assert beyond.mean() > 0.2
    for image in images:
        np.testing.assert_array_equal(image[beyond], photo[beyond])


def test_demo_from_end_to_end(short_demo, tmp_path):
    options = Options(ROOT / "demos/examples/1.jpg", short_demo, output=tmp_path / "a.mp4", quiet=True)
    report = animate(options)
    track = TrackedSequence.load(short_demo)
    reader = VideoReader(report.output)
    first = [frame.image for frame in reader]
    assert (reader.size, reader.fps, len(first)) == ((1536, 512), track.fps, len(track))
    result = first[0][:, 1024:]
    assert result[230:280, 230:280].mean() > 40  # a face in the middle
    assert np.abs(result[:200, :30].astype(int) - first[0][:200, :30]).mean() < 3  # on the photo's own background
    again = animate(replace(options, output=tmp_path / "b.mp4"))
    assert all((a == b).all() for a, b in zip(first, pictures(again.output), strict=True))
