"""The driver's sound: copied or encoded anew, in time with the pictures, as long as they are."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from core.data.video import VideoReader, VideoWriter
from tests.videos import SIZE, make, numbered, onset_and_pitch, packets, sound_of, write


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
