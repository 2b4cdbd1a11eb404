"""Faults of videos are said in one line, and no half file is left; what is written is a plain mp4."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from core.data.video import VideoReader, VideoWriter
from core.errors import UserError
from tests.videos import SIZE, fails, make, number, numbered, packets, write

DRIVERS = Path(__file__).parents[2] / "shared" / "data" / "drivers"


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
