"""What strangers' files do to a run: each is refused in one line and leaves nothing, or is taken and gives a result.

Cases that other files hold are not repeated here: test_cli.py (missing arguments, files that are not what they say, no
face, output over an input), test_image.py, test_video.py, test_upstream_folder.py and test_options.py (the readers).
"""

from __future__ import annotations

import io
import logging
import os
import pickle
import re
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from faces import PORTRAIT, TRACK, face_clip, portrait, save_clip, tracked
from PIL import Image
from synthetic_flame import random_flame, write_flame
from test_pipeline import FlatAvatar

import core.pipeline
from core.data.records import TRACK_FILE, TrackedSequence, TrackedSource, load_arrays
from core.data.video import VideoReader
from core.parts import Parts, default_parts
from inference import main

Build = Callable[[Path], list]  # makes the files in a folder and returns the command line
BLANK = np.full((192, 192, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def tracker():
    from core.libs.tracker.mediapipe_tracker import MediaPipeTracker

    tracker = MediaPipeTracker()
    yield tracker
    tracker.close()


@pytest.fixture(scope="module")
def plain(tracker) -> TrackedSource:
    """The portrait as it is."""
    from core.libs.tracker.track import track_source_image

    return track_source_image(portrait(), tracker)


@pytest.fixture
def call(tmp_path, monkeypatch, capsys, caplog, tracker):
    """Run the command line in this process: its exit code, all that it said, and the photo as it was tracked.

    The tracker is the real one, opened once for all cases; the avatar is a grey picture.
    """
    from core.libs.flame_model import FLAMEModel
    from core.libs.motion_transfer import MotionTransfer
    from core.libs.tracker.cache import TrackCache
    from core.libs.tracker.crop import crop_image
    from core.libs.tracker.track import track_driver, track_source

    photos: list[TrackedSource] = []
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache = TrackCache()

    def parts(options, model_name="lifted") -> Parts:
        if model_name != "lifted":
            return default_parts(options, model_name)

        def source(path, force):
            photos.append(track_source(path, tracker=tracker, cache=cache, force=force))
            return photos[-1]

        def driver(path, force, advance):
            return track_driver(path, tracker=tracker, cache=cache, force=force, progress=advance)

        return Parts(source, driver, crop_image, MotionTransfer(options.motion).run, FLAMEModel(), FlatAvatar())

    def call(*arguments) -> tuple[int, str, list[TrackedSource]]:
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out + said.err + "\n".join(caplog.messages), photos

    monkeypatch.setattr(core.pipeline, "default_parts", parts)
    caplog.set_level(logging.WARNING)
    return call


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- refused -------------------------------------------------------------------------------------------------------


def photo(make: Callable[[Path], object], name: str = "photo.png", driver: object = TRACK) -> Build:
    """A photo that `make` writes."""

    def build(folder: Path) -> list:
        make(folder / name)
        return ["-i", folder / name, "-d", driver]

    return build


def picture(array: np.ndarray) -> Callable[[Path], object]:
    return lambda path: Image.fromarray(np.ascontiguousarray(array)).save(path)


def driver(make: Callable[[Path], object], name: str = "driver.mp4", *more: object) -> Build:
    """A driver that `make` writes."""

    def build(folder: Path) -> list:
        make(folder / name)
        return ["-i", PORTRAIT, "-d", folder / name, *more]

    return build


def changed(**values: object) -> Build:
    """A tracked folder with some arrays of its file changed; None takes one out."""

    def build(folder: Path) -> list:
        file = tracked(folder / "driver", 3) / TRACK_FILE
        stored = load_arrays(file)
        for name, value in values.items():
            if value is None:
                del stored[name]
            else:
                stored[name] = value(stored[name].copy()) if callable(value) else value
        np.savez(file, **stored)
        return ["-i", PORTRAIT, "-d", folder / "driver"]

    return build


def put(index: object, value: object) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[index] = value
        return array

    return change


def a_record(**changes: object) -> dict[str, np.ndarray]:
    track = TrackedSequence.load(TRACK)
    record = {name: value[0] for name, value in track.parameters.items()} | {"bbox": track.bbox[0]}
    return {name: value for name, value in {**record, **changes}.items() if value is not None}


def upstream(records: object, name: str = "smoothed.pkl", more: Callable[[Path], object] | None = None) -> Build:
    """A folder of GAGAvatar_track's; `records`: what is pickled, or the bytes of the file."""

    def build(folder: Path) -> list:
        (folder / "driver").mkdir()
        content = records if isinstance(records, bytes) else pickle.dumps(records)
        (folder / "driver" / name).write_bytes(content)
        if more is not None:
            more(folder / "driver")
        return ["-i", PORTRAIT, "-d", folder / "driver"]

    return build


def options(*arguments: object) -> Build:
    return lambda folder: ["-i", PORTRAIT, "-d", TRACK, *arguments]


def config(text: str | bytes) -> Build:
    def build(folder: Path) -> list:
        (folder / "options.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
        return ["-i", PORTRAIT, "-d", TRACK, "--config", folder / "options.yaml"]

    return build


def checkpoint(make: Callable[[Path], object], flame: Callable[[Path], object] | None = None) -> Build:
    """A checkpoint that `make` writes, beside a file in FLAME's layout."""

    def build(folder: Path) -> list:
        make(folder / "net.pt")
        (flame or (lambda path: write_flame(path, random_flame())))(folder / "FLAME_with_eye.pt")
        return ["-i", PORTRAIT, "-d", TRACK, "-r", folder / "net.pt"]

    return build


def cut(source: Callable[[Path], object], share: float = 0.5) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        source(path)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return make


def sound_only(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))


def no_frames(path: Path) -> None:
    """A header with nothing behind it."""
    whole = io.BytesIO()
    with av.open(whole, "w", format="matroska") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        output.start_encoding()
    path.write_bytes(whole.getvalue())


def drawing(path: Path) -> None:
    paper = np.full((300, 300, 3), 255, np.uint8)
    cv2.circle(paper, (150, 150), 100, (0, 0, 0), 3)
    for x in (115, 185):
        cv2.circle(paper, (x, 120), 10, (0, 0, 0), -1)
    cv2.ellipse(paper, (150, 180), (50, 25), 0, 0, 180, (0, 0, 0), 3)
    picture(paper)(path)


class Runs:
    """A pickle that would run something."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def pipe(path: Path) -> None:
    os.mkfifo(path)


HALF = portrait()
HALF[:, 180:] = 0
NO_FACE = "no human face found"
FLIPPED = np.concatenate([np.diag([1.0, 1.0, -1.0]), [[0], [0], [30]]], 1).astype(np.float32)
UNFOLDING = "a0: &a0 [x, x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(30))
REFUSED: dict[str, tuple[Build, str]] = {
    # paths
    "photo: a path that is too long": (lambda f: ["-i", "x" * 300, "-d", TRACK], "File name too long"),
    "photo: a device": (lambda f: ["-i", "/dev/zero", "-d", TRACK], "is a device or a pipe"),
    "driver: a device": (lambda f: ["-i", PORTRAIT, "-d", "/dev/zero"], "is a device or a pipe"),
    "photo: a pipe that nobody writes to": (photo(pipe), "is a device or a pipe"),
    "photo: a link to nothing": (photo(lambda p: p.symlink_to("nothing")), "does not exist"),
    "photo: a link to itself": (photo(lambda p: p.symlink_to(p)), "photo.png"),
    "photo: an empty path": (lambda f: ["-i", "", "-d", TRACK], "is a folder"),
    # pictures
    "photo: zero bytes": (photo(lambda p: p.touch()), "is empty (0 bytes)"),
    "photo: a JPEG cut in the middle": (photo(cut(picture(portrait())), "a.jpg"), "damaged picture"),
    "photo: a PNG cut in the middle": (photo(cut(picture(portrait()))), "damaged picture"),
    "photo: a web page": (photo(lambda p: p.write_text("<html>404</html>"), "a.jpg"), "neither a picture nor a video"),
    "photo: an SVG": (photo(lambda p: p.write_text("<svg/>"), "a.svg"), "neither a picture nor a video"),
    "photo: an EPS": (photo(lambda p: p.write_text("%!PS-Adobe-3.0 EPSF-3.0\n"), "a.eps"), "neither a picture"),
    "photo: 20,000 x 20,000": (
        photo(lambda p: Image.new("1", (20_000, 20_000)).save(p)),
        "the limit is 100 megapixels",
    ),
    "photo: 1 x 1": (photo(picture(portrait(1))), NO_FACE),
    "photo: 1 x 3000": (photo(picture(np.zeros((1, 3000, 3), np.uint8))), NO_FACE),
    "photo: a face at the border": (photo(picture(portrait()[:, 190:])), NO_FACE),
    "photo: upside down": (photo(picture(portrait()[::-1, ::-1])), "upright"),
    "photo: half covered": (photo(picture(HALF)), NO_FACE),
    "photo: a face 12 px wide": (photo(picture(portrait(24))), "64 pixels wide"),
    "photo: a drawing": (photo(drawing), NO_FACE),
    "photo: all black": (photo(picture(np.zeros((300, 300, 3), np.uint8))), NO_FACE),
    "photo: a video": (photo(lambda p: save_clip(p, face_clip()), "a.mp4"), "is a video"),
    "photo: an animation": (
        photo(lambda p: Image.fromarray(BLANK).save(p, save_all=True, append_images=[Image.new("RGB", (192, 192))])),
        "is a video",
    ),
    "driver: a picture without a face": (driver(picture(BLANK), "driver.png"), "found in this picture"),
    # videos
    "driver: zero bytes": (driver(lambda p: p.touch()), "is empty (0 bytes)"),
    "driver: no video stream": (driver(sound_only, "driver.wav"), "neither a picture nor a video"),
    "driver: no frames": (driver(no_frames, "driver.mkv"), "driver.mkv"),
    "driver: an MP4 cut before its index": (driver(cut(lambda p: save_clip(p, face_clip()))), "neither a picture nor"),
    "driver: only the first kilobyte": (
        driver(lambda p: p.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(1000))),
        "neither",
    ),
    "driver: a list of other files": (
        driver(lambda p: p.write_text(f"ffconcat version 1.0\nfile '{PORTRAIT}'\n")),
        "neither a picture nor a video",
    ),
    "driver: no face in it": (driver(lambda p: save_clip(p, [BLANK] * 3)), "found in this video"),
    # tracked folders, ours
    "folder: empty": (driver(lambda p: p.mkdir(), "folder"), "is no tracked driver"),
    "folder: its file is a folder": (driver(lambda p: (p / TRACK_FILE).mkdir(parents=True), "folder"), "is no file"),
    "folder: a link out of it": (
        driver(lambda p: (p.mkdir(), (p / TRACK_FILE).symlink_to(TRACK / TRACK_FILE)), "folder"),
        "link out of the folder",
    ),
    "folder: a missing key": (changed(eyecode=None), "'eyecode'"),
    "folder: a wrong shape": (changed(expcode=np.zeros((3, 50), np.float32)), "expcode has shape (3, 50)"),
    "folder: texts for numbers": (changed(eyecode=np.full((3, 6), "a")), "expected numbers"),
    "folder: NaN": (changed(expcode=put((1, 7), np.nan)), "expcode holds values that are not finite"),
    "folder: infinity": (
        changed(transform_matrix=put((2, 0, 3), np.inf)),
        "transform_matrix holds values that are not",
    ),
    "folder: numbers of no face": (changed(posecode=put((0, 3), 1e30)), "posecode holds values above"),
    "folder: no rotation": (changed(transform_matrix=np.zeros((3, 3, 4), np.float32)), "holds what is no rotation"),
    "folder: a mirrored head": (changed(transform_matrix=np.tile(FLIPPED, (3, 1, 1))), "holds what is no rotation"),
    "folder: frames out of order": (changed(times=put(slice(None), [[0, 1], [2, 25], [1, 25]])), "not in the order"),
    "folder: two frames at one time": (changed(times=put(slice(None), [[0, 1], [1, 25], [1, 25]])), "not in the order"),
    "folder: time without end": (changed(times=put((1, 1), 0)), "ZeroDivisionError"),
    "folder: no frames a second": (changed(fps=np.array([0, 1])), "0 frames per second cannot be"),
    "folder: a million frames a second": (changed(fps=np.array([1_000_000, 1])), "frames per second cannot be"),
    "folder: another head's codes": (changed(head=np.array("flame")), "was tracked for the flame head"),
    "folder: an unknown head": (changed(head=np.array("smpl")), "unknown head 'smpl'"),
    "folder: another version's": (changed(format=np.array(7)), "written by another version"),
    "folder: a residual of another head": (changed(residual=np.zeros((7, 3), np.float32)), "residual"),
    "folder: no frame": (
        lambda f: ["-i", PORTRAIT, "-d", tracked(f / "driver", 0, bbox=np.zeros((0, 4), np.float32))],
        "holds no frame",
    ),
    "folder: pickled objects": (changed(status=np.array([Runs()] * 3, object)), "damaged or not an npz file"),
    "folder: cut in the middle": (
        driver(lambda p: cut(lambda file: tracked(p))(p / TRACK_FILE), "folder"),
        "damaged or not an npz file",
    ),
    # tracked folders, upstream's
    "upstream: for another head": (upstream({"a_0": a_record()}), "was tracked for the flame head"),
    "upstream: a missing key": (upstream({"a_0": a_record(expcode=None)}), "lacks expcode"),
    "upstream: a wrong shape": (
        upstream({"a_0": a_record(eyecode=np.zeros(3, np.float32))}),
        "expected numbers of shape",
    ),
    "upstream: NaN": (upstream({"a_0": a_record(posecode=np.full(6, np.nan, np.float32))}), "not finite"),
    "upstream: no rotation": (upstream({"a_0": a_record(transform_matrix=np.ones((3, 4)))}), "is no rotation"),
    "upstream: no frame": (upstream({}), "holds no frame"),
    "upstream: a list": (upstream([1, 2]), "holds a list"),
    "upstream: keys without a number": (upstream({"a": a_record()}), "does not end in an underscore and a number"),
    "upstream: a pickle that runs code": (upstream(pickle.dumps(Runs())), "holds more than arrays"),
    "upstream: no pickle": (upstream(b"\x80\x04nonsense"), "is refused"),
    "upstream: pictures only": (
        lambda f: ["-i", PORTRAIT, "-d", (f / "driver/img_lmdb").mkdir(parents=True) or f / "driver"],
        "holds pictures (img_lmdb) but no parameters",
    ),
    # checkpoints
    "checkpoint: not there": (options("-r", "none.pt"), "none.pt does not exist"),
    "checkpoint: a path that is too long": (options("-r", "x" * 300), "File name too long"),
    "checkpoint: a text": (checkpoint(lambda p: p.write_text("no weights")), "not a checkpoint that can be read"),
    "checkpoint: zero bytes": (checkpoint(lambda p: p.touch()), "not a checkpoint that can be read"),
    "checkpoint: cut in the middle": (
        checkpoint(cut(lambda p: torch.save({"model": {"a": torch.ones(9999)}}, p))),
        "not a checkpoint that can be read",
    ),
    "checkpoint: a pickle that runs code": (
        checkpoint(lambda p: p.write_bytes(pickle.dumps(Runs()))),
        "not a checkpoint that can be read",
    ),
    "checkpoint: a zip with a pickle that runs code": (
        checkpoint(lambda p: torch.save({"model": Runs()}, p)),
        "not a checkpoint that can be read",
    ),
    "checkpoint: of something else": (checkpoint(lambda p: torch.save({"state": 1}, p)), "has no entry 'model'"),
    "checkpoint: missing weights": (checkpoint(lambda p: torch.save({"model": {}}, p)), "missing"),
    "checkpoint: weights of something else": (
        checkpoint(lambda p: torch.save({"model": {"head.weight": torch.ones(3)}}, p)),
        "1 unexpected (head.weight)",
    ),
    "checkpoint: weights without names": (
        checkpoint(lambda p: torch.save({"model": {7: torch.ones(3)}}, p)),
        "not the published checkpoint",
    ),
    "checkpoint: a list of weights": (checkpoint(lambda p: torch.save([torch.ones(3)], p)), "has no entry 'model'"),
    "checkpoint: no FLAME file": (
        checkpoint(lambda p: torch.save({"model": {}}, p), lambda p: torch.save([1], p)),
        "FLAME_with_eye.pt",
    ),
    # yaml
    "yaml: an unknown key": (config("layuot: result"), "did you mean 'layout'?"),
    "yaml: a wrong type": (config("quiet: 7"), "quiet must be true or false, got 7"),
    "yaml: a list": (config("- quiet"), "holds no options"),
    "yaml: a tab": (config("quiet:\ttrue\n\tx: 1"), "is not yaml"),
    "yaml: an object": (config("quiet: !!python/object/apply:os.mkdir [ran]"), "is not yaml"),
    "yaml: binary": (config(b"\xff\xfe\x00"), "not a text file"),
    "yaml: aliases that unfold": (config(UNFOLDING), "holds aliases"),
    "yaml: brackets without end": (config("a: " + "[" * 5000), "too large"),
    "yaml: a megabyte": (config("#" * 1_000_000), "too large"),
    "yaml: a device": (options("--config", "/dev/zero"), "too large"),
    # options
    "options: a strength out of its limits": (options("--gaze-strength", "7"), "gaze_strength must be between 0 and 1"),
    "options: NaN for a strength": (options("--smooth-strength", "nan"), "must be between"),
    "options: a checkpoint for the built-in avatar": (
        options("--model", "lifted", "-r", "a.pt"),
        "reads no checkpoint",
    ),
    "options: CUDA for the built-in avatar": (options("--device", "cuda"), "runs on the CPU"),
    "options: an unknown device": (options("--device", "tpu"), "invalid choice: 'tpu'"),
    "options: a background for the network": (
        options("--model", "gagavatar", "--background", "red"),
        "the network draws on black",
    ),
    # outputs
    "output: a picture for a video": (options("-o", "out.jpg"), "must end in one of .mp4"),
    "output: a video for a picture": (
        lambda f: ["-i", PORTRAIT, "-d", PORTRAIT, "-o", "out.mp4"],
        "must end in one of .png",
    ),
    "output: in a file": (options("-o", Path("/dev/null/out.mp4")), "cannot be written"),
    "output: where nothing can be written": (options("-o", "/proc/out.mp4"), "cannot be written"),
    "output: a name that is too long": (options("-o", "x" * 300 + ".mp4"), "File name too long"),
    "output: a folder's name that is too long": (options("-o", "x" * 300 + "/a.mp4"), "cannot be"),
    "output: what is kept of it is the driver": (
        lambda f: ["-i", PORTRAIT, "-d", save_clip(f / "a-partial.mp4", [BLANK]), "-o", f / "a.mp4", "--keep-partial"],
        "is an input of this run",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case, tmp_path, call):
    build, said = REFUSED[case]
    arguments = build(tmp_path)
    before = files(tmp_path) if not any(path.is_fifo() for path in tmp_path.iterdir()) else None
    code, text, _ = call(*arguments)
    assert code == 2, text
    line = text.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert said in line
    assert "Traceback" not in text
    assert not (tmp_path / "work/ran").exists()
    if before is not None:
        left = {name for name in files(tmp_path) if not name.startswith("cache/")}
        assert left == set(before)


# --- taken ---------------------------------------------------------------------------------------------------------


def animated_tail(path: Path, **how: object) -> None:
    Image.fromarray(portrait()).save(path, save_all=True, append_images=[Image.new("RGB", (360, 360))], **how)


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(portrait()).copy()).save(path, exif=exif.tobytes(), quality=97)


def with_alpha(path: Path) -> None:
    Image.fromarray(np.dstack([portrait(), np.full((360, 360), 255, np.uint8)])).save(path)


def two_faces(path: Path) -> None:
    wide = np.zeros((360, 720, 3), np.uint8)
    wide[:, :360], wide[90:270, 450:630] = portrait(), portrait(180)
    picture(wide)(path)


PHOTOS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "16 bits": ("a.png", lambda p: cv2.imwrite(str(p), portrait()[..., ::-1].astype(np.uint16) * 257)),
    "CMYK": ("a.jpg", lambda p: Image.fromarray(portrait()).convert("CMYK").save(p, quality=97)),
    "grey": ("a.png", lambda p: Image.fromarray(portrait()).convert("L").save(p)),
    "palette": ("a.png", lambda p: Image.fromarray(portrait()).quantize(256).save(p)),
    "alpha": ("a.png", with_alpha),
    "EXIF-rotated": ("a.jpg", turned),
    "several frames": ("a.webp", animated_tail),
    "pages": ("a.tiff", animated_tail),
    "two faces": ("a.png", two_faces),
    "another ending": ("a.mp4", lambda p: Image.fromarray(portrait()).save(p, "PNG")),
    "no ending": ("a", lambda p: Image.fromarray(portrait()).save(p, "PNG")),
    "an odd name": ("a%d 'ü\n:?.png", picture(portrait())),
    "a name that is no text": (os.fsdecode(b"\xff\xfe.png"), picture(portrait())),
}


@pytest.mark.parametrize("case", PHOTOS)
def test_a_photo_that_is_taken(case, tmp_path, call, plain):
    name, make = PHOTOS[case]
    make(tmp_path / name)
    code, text, photos = call("-i", tmp_path / name, "-d", tracked(tmp_path / "driver"), "-o", "out.mp4")
    assert code == 0, text
    assert len(list(VideoReader(Path("out.mp4")))) == 2
    np.testing.assert_allclose(photos[0].frame.bbox, plain.frame.bbox, atol=0.02)
    got, expected = (source.shown()[0].astype(float) for source in (photos[0], plain))
    if case == "grey":
        got, expected = got.mean(2), expected @ [0.299, 0.587, 0.114]
    assert np.abs(got - expected).mean() < 6
    assert [path.name for path in Path().iterdir()] == ["out.mp4"]


def damaged(path: Path) -> None:
    save_clip(path, face_clip(8), options={"g": "1", "bf": "0"})
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    for packet in packets[3:5]:
        data = data.replace(packet, b"\xff" * len(packet))
    path.write_bytes(data)


def of_changing_size(path: Path) -> None:
    parts = [save_clip(path.with_name(f"{size}.h264"), face_clip(3, size), options={"bf": "0"}) for size in (192, 160)]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))


def wrong_count(path: Path) -> None:
    """An AVI whose header promises a million frames."""
    data = save_clip(path, face_clip(4), codec="mpeg4").read_bytes()
    at = data.index(b"avih") + 8 + 16  # dwTotalFrames of the main header
    path.write_bytes(data[:at] + (1_000_000).to_bytes(4, "little") + data[at + 4 :])


def interlaced(frame: av.VideoFrame) -> None:
    frame.interlaced_frame = True


def moving(path: Path, first: np.ndarray, *more: np.ndarray) -> None:
    Image.fromarray(first).save(path, save_all=True, append_images=[*map(Image.fromarray, more)], duration=100)


AWAY = [*face_clip(3), *[BLANK] * 20, *face_clip(3)]
OTHER = np.ascontiguousarray(255 - (255 - portrait(192)[:, ::-1]) // 2)  # mirrored and paler
VIDEOS: dict[str, tuple[str, Callable[[Path], object], int, str]] = {
    "one frame": ("a.mp4", lambda p: save_clip(p, face_clip(1)), 1, "1 frame,"),
    "a wrong frame count in the header": ("a.avi", wrong_count, 4, "4 frames,"),
    "changing size": ("a.h264", of_changing_size, 6, "6 frames,"),
    "variable rate": ("a.mkv", lambda p: save_clip(p, face_clip(), 50, times=[0, 1, 7, 9]), 4, "4 frames,"),
    "10 bits": ("a.mp4", lambda p: save_clip(p, face_clip(), pix_fmt="yuv420p10le"), 4, "4 frames,"),
    "interlaced": (
        "a.mp4",
        lambda p: save_clip(p, face_clip(), options={"x264-params": "interlaced=1:tff=1"}),
        4,
        "4 frames,",
    ),
    "rotated": (
        "a.mp4",
        lambda p: save_clip(p, [np.ascontiguousarray(np.rot90(image, -1)) for image in face_clip()], rotation=90),
        4,
        "4 frames,",
    ),
    "sound longer than the pictures": ("a.mp4", lambda p: save_clip(p, face_clip(), sound=3), 4, "4 frames,"),
    "broken packets in the middle": ("a.mkv", damaged, 6, "2 frames of the driver are damaged and left out"),
    "a face that leaves for two seconds": (
        "a.mp4",
        lambda p: save_clip(p, AWAY, 10),
        26,
        "no face in 20 of 26 frames of the driver: 0 interpolated, 20 held",
    ),
    "a face that blinks out": (
        "a.mp4",
        lambda p: save_clip(p, [*face_clip(2), BLANK, *face_clip(2)]),
        5,
        "no face in 1 of 5 frames of the driver: 1 interpolated, 0 held",
    ),
    "a cut to another person": ("a.mp4", lambda p: save_clip(p, [*face_clip(3), OTHER, OTHER]), 5, "5 frames,"),
    "an animated GIF": (
        "a.gif",
        lambda p: Image.fromarray(portrait(192)).save(
            p, save_all=True, append_images=[Image.fromarray(OTHER)], duration=100
        ),
        2,
        "2 frames,",
    ),
    "another ending": ("a.jpg", lambda p: save_clip(p.with_suffix(".mp4"), face_clip()).rename(p), 4, "4 frames,"),
}


@pytest.mark.parametrize("case", VIDEOS)
def test_a_video_that_is_taken(case, tmp_path, call):
    name, make, frames, said = VIDEOS[case]
    make(tmp_path / name)
    with VideoReader(tmp_path / name) as reader:
        times = [frame.time for frame in reader]
    code, text, _ = call("-i", PORTRAIT, "-d", tmp_path / name, "-o", "out.mp4")
    assert code == 0, text
    assert said in text
    result = VideoReader(Path("out.mp4"))
    assert [frame.time for frame in result] == pytest.approx(times, abs=1e-4)
    assert len(times) == frames
    assert result.has_audio == ("sound" in case)
    with av.open("out.mp4") as container:
        for stream in container.streams:
            assert stream.duration * stream.time_base <= Fraction(frames, 10) + Fraction(1, 10)
    assert [path.name for path in Path().iterdir()] == ["out.mp4"]


def test_an_output_that_exists_is_replaced(tmp_path, call):
    Path("out.mp4").write_bytes(b"old")
    code, text, _ = call(*options("-o", "out.mp4")(tmp_path)[:2], "-d", tracked(tmp_path / "driver"), "-o", "out.mp4")
    assert code == 0, text
    assert len(list(VideoReader(Path("out.mp4")))) == 2


def test_what_is_left_of_a_killed_run_is_removed(tmp_path, call):
    for name in (".out-0123456789ab.part", ".other-0123456789ab.part"):
        Path(name).write_bytes(b"half")
    code, text, _ = call("-i", PORTRAIT, "-d", tracked(tmp_path / "driver"), "-o", "out.mp4")
    assert code == 0, text
    assert sorted(path.name for path in Path().iterdir()) == [".other-0123456789ab.part", "out.mp4"]


def test_a_cache_without_room_costs_only_time(tmp_path, call, monkeypatch):
    (tmp_path / "cache").write_text("a file where the folder should be")
    code, text, _ = call("-i", PORTRAIT, "-d", save_clip(tmp_path / "a.mp4", face_clip(2)), "-o", "out.mp4")
    assert code == 0, text
    assert text.count("not kept for the next run") == 2
    assert len(list(VideoReader(Path("out.mp4")))) == 2


def test_the_cases_are_as_many_as_are_asked_for():
    assert len(REFUSED) + len(PHOTOS) + len(VIDEOS) >= 60
    assert all(re.search(r"\w", said) for _, said in REFUSED.values())
