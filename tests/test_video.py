"""Videos: what goes in comes out again, at the same rate, time, colour and pitch; and faults are said in one line."""

import gc
import weakref
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from core.data.video import VideoReader, VideoWriter
from core.errors import UserError

DRIVERS = Path(__file__).parents[2] / "shared" / "data" / "drivers"
SIZE = (96, 64)
NTSC = Fraction(30000, 1001)


def numbered(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture that says its number in eight grey blocks and tells its corners apart."""
    width, height = size
    picture = np.full((height, width, 3), 60, np.uint8)
    for bit in range(8):
        picture[height // 3 : 2 * height // 3, bit * width // 8 : (bit + 1) * width // 8] = 220 * (index >> bit & 1)
    picture[: height // 4, : width // 4] = 255
    return picture


def number(picture: np.ndarray) -> int:
    height, width = picture.shape[:2]
    return sum((picture[height // 2, int((bit + 0.5) * width / 8), 1] > 110) << bit for bit in range(8))


def write(path: Path, count: int, fps=Fraction(25), size=SIZE, times=None, **options) -> Path:
    with VideoWriter(path, fps, size, **options) as writer:
        for i in range(count):
            writer.write(numbered(i, size), None if times is None else times[i])
    return path


def make(path: Path, count=10, rate=25, size=SIZE, codec="libx264", pix_fmt="yuv420p", tone=None, rotation=None, **how):
    """A video as others write them, with PyAV alone.

    tone: (codec, frequency, rate, start in seconds, length in seconds). how: format, pts (list of ticks), time_base,
    video_start (seconds), options, setup (function of the stream), frame (function of the number).
    """
    with av.open(str(path), "w", format=how.get("format")) as output:
        stream = output.add_stream(codec, rate=rate, options=how.get("options", {}))
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        if "time_base" in how:
            stream.codec_context.time_base = how["time_base"]
        if rotation is not None:
            stream.set_display_rotation(**rotation)
        how.get("setup", lambda _: None)(stream)
        sound = None
        if tone:
            name, frequency, sampling, start, length = tone
            sound = output.add_stream(name, rate=sampling, layout="mono")
        unit = how.get("time_base", 1 / Fraction(rate))
        for i in range(count):
            frame = how["frame"](i) if "frame" in how else av.VideoFrame.from_ndarray(numbered(i, size))
            frame.pts = how["pts"][i] if "pts" in how else i + round(how.get("video_start", 0) / unit)
            frame.time_base = unit
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if sound:
            wave = np.sin(2 * np.pi * frequency * np.arange(int(sampling * length)) / sampling) * 0.5
            step = 1024
            for at in range(0, len(wave), step):
                piece = wave[at : at + step].astype(np.float32)[None]
                frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
                frame.sample_rate, frame.time_base = sampling, Fraction(1, sampling)
                frame.pts = at + round(start * sampling)
                for part in av.AudioResampler(format=sound.codec_context.format.name, layout="mono").resample(frame):
                    output.mux(sound.encode(part))
            output.mux(sound.encode())
    return path


def sound_of(path: Path) -> tuple[np.ndarray, int, float]:
    """(samples (n,), rate, time of the first one relative to the video's start)."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        video = container.streams.video[0]
        frames = list(container.decode(stream))
        samples = np.concatenate(
            [f.to_ndarray().reshape(-1) if f.format.is_packed else f.to_ndarray()[0] for f in frames]
        )
        return samples.astype(np.float64), stream.rate, frames[0].time - float(video.start_time * video.time_base)


def onset_and_pitch(path: Path) -> tuple[float, float, float]:
    """(seconds at which the tone begins, seconds at which it ends, Hz)."""
    samples, rate, start = sound_of(path)
    loud = np.flatnonzero(np.abs(samples) > 0.25 * np.abs(samples).max())
    middle = samples[loud[0] : loud[-1]]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 18))
    return start + loud[0] / rate, start + loud[-1] / rate, np.argmax(spectrum) * rate / (1 << 18)


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.size]


def fails(path: Path, *words: str, call=VideoReader) -> None:
    with pytest.raises(UserError) as caught:
        call(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message


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


# --- sound ---------------------------------------------------------------------------------------------------------


def with_sound(tmp_path, source: Path, count: int, fps=Fraction(25), **options) -> tuple[Path, str]:
    with VideoWriter(tmp_path / "out.mp4", fps, SIZE, source, **options) as writer:
        for i in range(count):
            writer.write(numbered(i))
    return tmp_path / "out.mp4", writer.audio


def test_aac_is_copied_to_the_bit(tmp_path):
    source = make(tmp_path / "a.mp4", 50, tone=("aac", 440, 44100, 0, 2))
    path, kind = with_sound(tmp_path, source, 51)
    assert kind == "copied"
    assert packets(path) == packets(source)
    theirs, ours = sound_of(source), sound_of(path)
    assert ours[1:] == pytest.approx(theirs[1:], abs=1e-3)
    np.testing.assert_array_equal(ours[0], theirs[0])
    begin, end, pitch = onset_and_pitch(path)
    assert (begin, end) == pytest.approx((0, 2), abs=0.03)
    assert pitch == pytest.approx(440, abs=1)
    assert VideoReader(path).has_audio


def test_sound_is_cut_to_the_video(tmp_path):
    source = make(tmp_path / "a.mp4", 50, tone=("aac", 440, 48000, 0, 3))
    path, _ = with_sound(tmp_path, source, 29, Fraction(30))
    assert VideoReader(path).duration == Fraction(29, 30)  # not a millisecond more or less
    path, _ = with_sound(tmp_path, source, 25)
    samples, rate, _ = sound_of(path)
    assert len(samples) / rate == pytest.approx(1, abs=1024 / rate + 1e-3)
    assert 0 < len(packets(path)) < len(packets(source))


@pytest.mark.parametrize(
    ("name", "codec", "kind"),
    [
        ("a.mov", "pcm_s16le", "transcoded"),
        ("a.avi", "pcm_s16le", "transcoded"),
        ("a.mkv", "flac", "transcoded"),
        ("a.mkv", "ac3", "transcoded"),
        ("a.mkv", "libmp3lame", "copied"),
        ("a.ts", "aac", "copied"),
        ("a.mkv", "libopus", "copied"),
        ("a.ts", "mp2", "transcoded"),
        ("a.webm", "libopus", "copied"),
    ],
)
def test_sound_of_other_codecs(tmp_path, name, codec, kind):
    source = make(
        tmp_path / name, 30, tone=(codec, 660, 48000, 0, 1.2), codec="libvpx" if name == "a.webm" else "libx264"
    )
    path, got = with_sound(tmp_path, source, 30)
    assert got == kind
    begin, end, pitch = onset_and_pitch(path)
    assert pitch == pytest.approx(660, abs=1.5)
    assert begin == pytest.approx(onset_and_pitch(source)[0], abs=0.02)
    assert end == pytest.approx(1.2, abs=0.04)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
@pytest.mark.parametrize("late", [0.5, 0.04, -0.4])
def test_sound_that_starts_later_or_earlier_stays_in_sync(tmp_path, codec, late):
    """`late` seconds between the first picture and the first sound, in the file."""
    start = max(0.0, -late)
    source = make(tmp_path / "a.mkv", 50, video_start=start, tone=(codec, 440, 48000, start + late, 1))
    path, _ = with_sound(tmp_path, source, 50)
    begin, end, _ = onset_and_pitch(path)
    assert begin == pytest.approx(max(0, late), abs=0.03 if codec == "aac" else 0.01)
    with av.open(str(path)) as container:  # what is cut off is not hidden in the file either
        assert min(float(p.pts * p.time_base) for p in container.demux(audio=0) if p.size) > -0.11
    assert end == pytest.approx(1 + late, abs=0.04)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_audio_offset(tmp_path, codec):
    source = make(tmp_path / "a.mkv", 50, tone=(codec, 440, 48000, 1, 0.5))
    path, _ = with_sound(tmp_path, source, 25, audio_offset=Fraction(3, 4))
    begin, end, _ = onset_and_pitch(path)
    assert (begin, end) == pytest.approx((0.25, 0.75), abs=0.04)


def test_transcoded_sound_is_as_long_as_the_video(tmp_path):
    source = make(tmp_path / "a.mov", 50, tone=("pcm_s16le", 440, 44100, 0, 3))
    path, _ = with_sound(tmp_path, source, 30)
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(1.2, abs=0.001)


def test_sound_is_interleaved_while_writing(tmp_path):
    """The file has pictures and sound side by side, so neither waits in memory for the end."""
    # Longer than the 10 s for which FFmpeg itself would hold packets back.
    source = make(tmp_path / "a.mp4", 120, 5, tone=("aac", 440, 48000, 0, 24))
    path, _ = with_sound(tmp_path, source, 120, Fraction(5))
    with av.open(str(path)) as container:
        spots = sorted((p.pos, p.stream.type, float(p.dts * p.time_base)) for p in container.demux() if p.size)
    for kind, other in (("video", "audio"), ("audio", "video")):
        latest = 0.0
        for _, this, time in spots:
            if this == other:
                latest = time
            elif this == kind and 1 < time < 23:
                assert abs(time - latest) < 1


def test_no_sound_in_the_driver(tmp_path):
    source = write(tmp_path / "a.mp4", 5)
    path, kind = with_sound(tmp_path, source, 5)
    assert kind == "none"
    assert not VideoReader(path).has_audio


# --- faults --------------------------------------------------------------------------------------------------------


def test_faults_of_a_driver_are_one_line(tmp_path):
    fails(tmp_path / "none.mp4", "does not exist")
    fails(tmp_path, "folder")
    (tmp_path / "empty.mp4").touch()
    fails(tmp_path / "empty.mp4", "empty")
    for name in ("text.mp4", "text.txt", "text.jpg"):
        (tmp_path / name).write_text("Not a video.\n" * 200)
        fails(tmp_path / name, "not a video")
    whole = write(tmp_path / "whole.mp4", 20).read_bytes()
    (tmp_path / "headless.mp4").write_bytes(whole[len(whole) // 2 :])
    fails(tmp_path / "headless.mp4", "not a video")
    with av.open(str(tmp_path / "sound.m4a"), "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    fails(tmp_path / "sound.m4a", "no video stream")


def test_a_file_without_a_decodable_frame(tmp_path):
    source = make(tmp_path / "a.mkv", 10)
    with av.open(str(source)) as container:
        packets_ = [bytes(p) for p in container.demux(video=0) if p.size]
    data = source.read_bytes()
    for packet in packets_:
        data = data.replace(packet[8:], bytes(len(packet) - 8))
    (tmp_path / "b.mkv").write_bytes(data)
    fails(tmp_path / "b.mkv", "no frame")


def test_damage_in_the_middle_is_passed_over_and_counted(tmp_path):
    source = make(tmp_path / "a.mkv", 30, options={"g": "1", "bf": "0"})
    with av.open(str(source)) as container:
        chunks = [bytes(p) for p in container.demux(video=0) if p.size]
    data = source.read_bytes()
    for packet in chunks[10:13]:
        assert data.count(packet) == 1
        data = data.replace(packet, b"\xff" * len(packet))
    (tmp_path / "b.mkv").write_bytes(data)
    with VideoReader(tmp_path / "b.mkv") as reader:
        frames = list(reader)
        assert reader.lost == 3
    assert [number(f.image) for f in frames] == [*range(10), *range(13, 30)]
    assert [f.time for f in frames] == [Fraction(i, 25) for i in [*range(10), *range(13, 30)]]  # in sync after it
    assert VideoReader(source).lost == 0


def test_a_cut_off_file_gives_what_is_there(tmp_path):
    data = make(tmp_path / "a.mkv", 40, options={"g": "5"}).read_bytes()
    (tmp_path / "b.mkv").write_bytes(data[: len(data) * 2 // 3])
    count = len(list(VideoReader(tmp_path / "b.mkv")))
    assert 10 < count < 40


def interrupted(path: Path, audio: Path | None = None) -> None:
    with VideoWriter(path, Fraction(25), SIZE, audio) as writer:
        writer.write(numbered(9))
        assert any(p.suffix == ".part" for p in path.parent.iterdir())
        raise RuntimeError("stop")


def test_an_exception_leaves_no_file(tmp_path):
    source = make(tmp_path / "driver.mp4", 10, tone=("aac", 440, 44100, 0, 1))
    with pytest.raises(RuntimeError, match="stop"):
        interrupted(tmp_path / "a.mp4", source)
    with VideoWriter(tmp_path / "none.mp4", Fraction(25), SIZE):
        pass  # not one frame
    with pytest.raises(ValueError, match="metadata"):
        VideoWriter(tmp_path / "b.mp4", Fraction(25), SIZE, metadata={"nonsense": "x"})
    (tmp_path / "text.mp4").write_text("no sound here\n" * 20)
    fails(tmp_path / "text.mp4", call=lambda p: VideoWriter(tmp_path / "c.mp4", Fraction(25), SIZE, p))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["driver.mp4", "text.mp4"]


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = write(tmp_path / "a.mp4", 3)
    old = path.read_bytes()
    with pytest.raises(RuntimeError, match="stop"):
        interrupted(path)
    assert path.read_bytes() == old
    write(path, 5)
    assert len(list(VideoReader(path))) == 5
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    fails(path, "driver", call=lambda p: VideoWriter(p, Fraction(25), SIZE, p))


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    writer = VideoWriter(tmp_path / "a.mp4", Fraction(25), SIZE)
    writer.write(numbered(0))
    monkeypatch.setattr(writer, "_container", type("Full", (), {"mux": full, "close": full})())
    fails(tmp_path / "a.mp4", "No space left", call=lambda _: writer.close())
    assert list(tmp_path.iterdir()) == []


def test_bad_targets_and_pictures(tmp_path):
    fails(tmp_path / "a.avi", ".mp4", call=lambda p: VideoWriter(p, Fraction(25), SIZE))
    fails(tmp_path / "no", ".mp4", call=lambda p: VideoWriter(p, Fraction(25), SIZE))
    with pytest.raises(UserError, match="create"):
        VideoWriter(tmp_path / "no" / "a.mp4", Fraction(25), SIZE)
    with VideoWriter(tmp_path / "a.mp4", Fraction(25), SIZE) as writer:
        for wrong in (numbered(0, (64, 64)), numbered(0).astype(np.float32), numbered(0)[..., :1]):
            with pytest.raises(ValueError, match="uint8"):
                writer.write(wrong)
    with pytest.raises(ValueError, match="closed"):
        writer.write(numbered(0))


def test_metadata_is_stored_and_the_index_comes_first(tmp_path):
    path = write(tmp_path / "a.mp4", 3, metadata={"comment": "synthetic: made by a test"})
    with av.open(str(path)) as container:
        assert container.metadata["comment"] == "synthetic: made by a test"
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # a browser can start before it has it all


def test_the_same_frames_give_the_same_bytes(tmp_path):
    assert write(tmp_path / "a.mp4", 10).read_bytes() == write(tmp_path / "b.mp4", 10).read_bytes()


@pytest.mark.skipif(not DRIVERS.is_dir(), reason=f"the sample drivers are not at {DRIVERS}")
def test_a_real_driver(tmp_path):
    with VideoReader(DRIVERS / "d19.mp4") as reader:
        assert (reader.fps, reader.size, reader.frame_estimate, reader.has_audio) == (30, (480, 480), 250, True)
        with VideoWriter(tmp_path / "a.mp4", reader.fps, reader.size, reader.path) as writer:
            for frame in reader:
                writer.write(frame.image, frame.time)
    assert (writer.frames, writer.audio) == (250, "copied")
    assert packets(tmp_path / "a.mp4") == packets(DRIVERS / "d19.mp4")
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert (reader.fps, reader.duration) == (30, Fraction(25, 3))
