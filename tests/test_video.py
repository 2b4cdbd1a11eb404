"""Videos: what goes in comes out again, at the same rate, time, shape and colour."""

import gc
import weakref
from fractions import Fraction

import av
import numpy as np
import pytest

from core.data.video import VideoReader, VideoWriter
from tests.videos import NTSC, SIZE, make, number, numbered, write

# --- rate, time, count ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fps", [Fraction(24), Fraction(25), NTSC, Fraction(60), Fraction(24000, 1001), Fraction(25, 2)]
)
def test_constant_rate_is_exact(tmp_path, fps):
    path = write(tmp_path / "a.mp4", 20, fps)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == fps
        assert stream.duration * stream.time_base == 20 / fps
        assert [f.pts * f.time_base for f in container.decode(stream)] == [i / fps for i in range(20)]
    with VideoReader(path) as reader:
        assert (reader.fps, reader.size, reader.frame_estimate) == (fps, SIZE, 20)
        assert (reader.duration, reader.has_audio, reader.variable) == (20 / fps, False, False)
        frames = list(reader)
    assert [f.time for f in frames] == [i / fps for i in range(20)]
    assert [f.index for f in frames] == list(range(20))
    assert [number(f.image) for f in frames] == list(range(20))
    assert frames[0].image.dtype == np.uint8
    assert frames[0].image.flags.c_contiguous


def test_times_of_the_reader_given_to_the_writer_keep_the_rate(tmp_path):
    source = make(tmp_path / "a.mkv", 20, NTSC)  # Matroska rounds times to milliseconds
    with VideoReader(source) as reader, VideoWriter(tmp_path / "b.mp4", reader.fps, reader.size) as writer:
        assert reader.fps == NTSC
        for frame in reader:
            assert frame.time == frame.index / NTSC
            writer.write(frame.image, frame.time)
    assert writer.frames == 20
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].average_rate == NTSC


def test_variable_rate_keeps_every_time(tmp_path):
    ticks = [0, 40, 80, 200, 215, 300, 333, 700, 740, 1000]
    source = make(tmp_path / "a.mp4", 10, 25, pts=ticks, time_base=Fraction(1, 1000))
    with VideoReader(source) as reader, VideoWriter(tmp_path / "b.mp4", reader.fps, reader.size) as writer:
        assert reader.variable
        for frame in reader:
            writer.write(frame.image, frame.time)
    with VideoReader(tmp_path / "b.mp4") as reader:
        frames = list(reader)
    # Half a thousandth: times within a tick of the source's regular grid are put on it.
    assert [float(f.time) for f in frames] == pytest.approx([t / 1000 for t in ticks], abs=1.1e-3)
    assert [number(f.image) for f in frames] == list(range(10))
    exact = [Fraction(t, 1000) for t in ticks]
    path = write(tmp_path / "c.mp4", 10, NTSC, times=exact)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base == exact[-1] + 1 / NTSC
        assert [f.pts * f.time_base for f in container.decode(stream)] == exact


def test_times_must_increase_and_the_first_is_zero(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", Fraction(25), SIZE) as writer:
        writer.write(numbered(0), Fraction(3, 25))
        writer.write(numbered(1), Fraction(4, 25))
        with pytest.raises(ValueError, match="increase"):
            writer.write(numbered(2), Fraction(4, 25))
        writer.write(numbered(2))
    assert [f.time for f in VideoReader(tmp_path / "a.mp4")] == [0, Fraction(4, 25), Fraction(5, 25)]


def test_missing_times_are_made_up(tmp_path):
    path = make(tmp_path / "a.h264", 12, 25, format="h264", options={"bf": "0"})  # a raw stream has no times
    with VideoReader(path) as reader:
        assert [f.time * reader.fps for f in reader] == list(range(12))


def test_avi_without_presentation_times(tmp_path):
    path = make(tmp_path / "a.avi", 15, 25, codec="mpeg4", options={"b": "2M"})
    with VideoReader(path) as reader:
        frames = list(reader)
    assert [f.time for f in frames] == [Fraction(i, 25) for i in range(15)]
    assert [number(f.image) for f in frames] == list(range(15))


def test_start_offset_is_taken_off(tmp_path):
    path = make(tmp_path / "a.ts", 10, 25, format="mpegts", video_start=2)
    with av.open(str(path)) as container:
        assert container.streams.video[0].start_time > 0
    assert [f.time for f in VideoReader(path)] == [Fraction(i, 25) for i in range(10)]


def test_reader_starts_again_and_stops_early(tmp_path):
    reader = VideoReader(write(tmp_path / "a.mp4", 12))
    assert [number(f.image) for f, _ in zip(reader, range(3), strict=False)] == [0, 1, 2]
    first, second = iter(reader), iter(reader)
    next(first)
    assert [next(first).index, next(second).index] == [1, 0]
    assert len(list(reader)) == 12
    assert [(f.index, f.time, number(f.image)) for f in reader.at({7, 2})] == [(i, Fraction(i, 25), i) for i in (2, 7)]
    assert list(reader.at([])) == []
    reader.close()
    assert list(first) == []
    with pytest.raises(ValueError, match="closed"):
        iter(reader)


def test_reader_holds_no_frames(tmp_path):
    """Memory does not grow with length: a frame is gone as soon as its taker drops it."""
    path = write(tmp_path / "a.mp4", 60)
    alive: list[weakref.ref] = []
    most = 0
    for frame in VideoReader(path):
        alive.append(weakref.ref(frame.image))
        most = max(most, sum(ref() is not None for ref in alive))
        del frame
    gc.collect()
    assert most <= 3
    assert not any(ref() is not None for ref in alive)


# --- geometry ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("degrees", "hflip"), [(0, False), (90, False), (180, False), (270, False), (0, True), (90, True)]
)
def test_rotation_is_honoured(tmp_path, degrees, hflip):
    path = make(tmp_path / "a.mp4", 3, rotation={"degrees": degrees, "hflip": hflip})
    with av.open(str(path)) as container:
        if not hflip:
            assert next(container.decode(video=0)).rotation % 360 == degrees  # the file does say it
    wanted = np.rot90(numbered(2), degrees // 90)
    if hflip:
        wanted = np.rot90(numbered(2)[:, ::-1] if degrees == 0 else numbered(2)[::-1], degrees // 90)
    with VideoReader(path) as reader:
        frames = list(reader)
        assert reader.size == frames[0].image.shape[1::-1] == wanted.shape[1::-1]
    assert np.abs(frames[2].image.astype(int) - wanted).mean() < 4


@pytest.mark.parametrize("size", [(97, 64), (96, 63), (97, 63)])
def test_odd_sizes_repeat_the_edge(tmp_path, size):
    path = write(tmp_path / "a.mp4", 3, size=size)
    with VideoReader(path) as reader:
        assert reader.size == (size[0] + size[0] % 2, size[1] + size[1] % 2)
        image = list(reader)[2].image
    assert np.abs(image[: size[1], : size[0]].astype(int) - numbered(2, size)).mean() < 3
    assert np.abs(image[:, -1].astype(int) - image[:, -2]).mean() < 3


def test_odd_source(tmp_path):
    path = make(tmp_path / "a.mkv", 3, size=(97, 63), codec="ffv1", pix_fmt="yuv420p")
    with VideoReader(path) as reader:
        assert reader.size == (97, 63)
        assert list(reader)[2].image.shape == (63, 97, 3)


def test_pixels_that_are_not_square(tmp_path):
    def anamorphic(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    path = make(tmp_path / "a.mp4", 2, setup=anamorphic)
    with VideoReader(path) as reader:
        assert reader.size == (128, 64)
        assert next(iter(reader)).image.shape == (64, 128, 3)


def test_a_change_of_size_is_fitted_in(tmp_path):
    first = make(tmp_path / "a.h264", 5, format="h264", options={"bf": "0"})
    second = make(tmp_path / "b.h264", 5, size=(64, 128), format="h264", options={"bf": "0"})
    (tmp_path / "c.h264").write_bytes(first.read_bytes() + second.read_bytes())
    with VideoReader(tmp_path / "c.h264") as reader:
        images = [f.image for f in reader]
    assert [i.shape for i in images] == [(64, 96, 3)] * 10
    late = images[-1]  # 64x128 into 96x64: 32 wide, in the middle
    assert late[:, :30].max() < 30
    assert late[:, -30:].max() < 30
    assert late[:10, 34:38].min() > 200
    assert number(np.ascontiguousarray(late[:, 32:64])) == 4


def test_interlaced_frames_have_no_combs(tmp_path):
    def combed(_):
        picture = np.zeros((64, 96, 3), np.uint8)
        picture[0::2, 20:40] = 255
        picture[1::2, 30:50] = 255  # the lower field: the bar has moved on
        return av.VideoFrame.from_ndarray(picture)

    path = make(tmp_path / "a.mp4", 3, frame=combed, options={"x264-params": "interlaced=1:tff=1", "crf": "1"})
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).interlaced_frame
    image = list(VideoReader(path))[1].image[4:-4, :, 1].astype(int)
    assert np.abs(np.diff(image[:, 25])).max() < 25
    assert image[:, 25].mean() > 225
    assert image[:, 45].mean() < 30


# --- colour --------------------------------------------------------------------------------------------------------

COLOURS = np.array(
    [
        [255, 0, 0],
        [0, 255, 0],
        [0, 0, 255],
        [255, 255, 0],
        [0, 255, 255],
        [255, 0, 255],
        [128, 128, 128],
        [230, 180, 150],
    ],
    np.uint8,
)


def patches(size=(128, 64)) -> np.ndarray:
    return np.repeat(np.repeat(COLOURS[None], size[1], 0), size[0] // len(COLOURS), 1)


def patch_centres(image: np.ndarray) -> np.ndarray:
    wide = image.shape[1] // len(COLOURS)
    return image[image.shape[0] // 2, wide // 2 :: wide].astype(int)


def test_colours_survive_the_round_trip(tmp_path):
    path = tmp_path / "a.mp4"
    with VideoWriter(path, Fraction(25), (128, 64)) as writer:
        for _ in range(3):
            writer.write(patches())
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (1, 1)  # BT.709, limited, and it says so
        assert (context.color_primaries, context.color_trc) == (1, 1)
    for frame in VideoReader(path):
        assert np.abs(patch_centres(frame.image) - COLOURS).max() <= 4


def by_the_book(rgb: np.ndarray, kr: float, kb: float, full: bool) -> list[np.ndarray]:
    """Y, Cb, Cr planes (4:4:4) from the definition of the standards."""
    r, g, b = (rgb[..., i] / 255.0 for i in range(3))
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    planes = (y * 255, cb * 255 + 128, cr * 255 + 128) if full else (16 + 219 * y, 128 + 224 * cb, 128 + 224 * cr)
    return [np.clip(np.rint(p), 0, 255).astype(np.uint8) for p in planes]


BT601, BT709, BT2020 = (5, 0.299, 0.114), (1, 0.2126, 0.0722), (9, 0.2627, 0.0593)  # FFmpeg's number, kr, kb


@pytest.mark.parametrize(
    ("space", "full", "tagged"),
    [(space, full, True) for space in (BT601, BT709, BT2020) for full in (False, True)]
    + [(BT601, False, False), (BT709, False, False)],  # untagged: small is taken for BT.601, large for BT.709
)
def test_reader_honours_matrix_and_range(tmp_path, space, full, tagged):
    """Lossless 4:4:4 files with YCbCr numbers of our own, so that nothing is tested against itself."""
    space, kr, kb = space
    size = (128, 720) if not tagged and space == 1 else (128, 64)
    planes = by_the_book(patches(size), kr, kb, full)

    def frame(_):
        picture = av.VideoFrame.from_ndarray(np.stack(planes), format="yuv444p")
        if tagged:
            picture.colorspace, picture.color_range = space, 2 if full else 1
        return picture

    def tags(stream):
        if tagged:
            stream.codec_context.colorspace = space
            stream.codec_context.color_range = 2 if full else 1

    path = make(tmp_path / "a.mkv", 2, size=size, pix_fmt="yuv444p", frame=frame, setup=tags, options={"qp": "0"})
    for got in VideoReader(path):
        assert np.abs(patch_centres(got.image) - COLOURS).max() <= 3


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p10le", "gray", "yuv444p", "bgr0"])
def test_other_depths_become_eight_bits(tmp_path, pix_fmt):
    path = make(tmp_path / "a.mkv", 3, codec="ffv1", pix_fmt=pix_fmt)
    images = [f.image for f in VideoReader(path)]
    assert [number(i) for i in images] == [0, 1, 2]
    assert np.abs(images[1].astype(int) - numbered(1)).mean() < 3
    assert images[0].dtype == np.uint8
