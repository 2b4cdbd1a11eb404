"""Drivers as strangers have them: those that are refused, and those that are taken."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from bad_files import BLANK, DATA, Make, Refused, cut, driver
from faces import PORTRAIT, face_clip, portrait, save_clip
from PIL import Image


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


def another_person(path: Path) -> None:
    """The demo's person, then somebody else."""
    if not DATA.is_dir():
        pytest.skip("../shared/data is not here")
    with Image.open(DATA / "sources/s4.jpg") as image:
        other = np.array(image.convert("RGB").resize((192, 192)))
    save_clip(path, [*face_clip(3), other, other])


AWAY = [*face_clip(3), *[BLANK] * 20, *face_clip(3)]
OTHER = np.ascontiguousarray(255 - (255 - portrait(192)[:, ::-1]) // 2)  # mirrored and paler
REFUSED: Refused = {
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
}

# file name, how it is made, its frames, and what is said of them
TAKEN: dict[str, tuple[str, Make, int, str]] = {
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
    "cut in the middle": ("a.mkv", cut(lambda p: save_clip(p, face_clip(30), codec="rawvideo")), 15, "15 frames,"),
    "a cut to another person": ("a.mp4", another_person, 5, "5 frames,"),
    "a cut to a mirrored picture": ("a.mp4", lambda p: save_clip(p, [*face_clip(3), OTHER, OTHER]), 5, "5 frames,"),
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
