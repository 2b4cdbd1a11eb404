"""Live sessions of the page without a browser: camera pictures in, portraits out, and their recordings."""

from __future__ import annotations

import io
import json
import struct
import time
from collections.abc import Iterator

import av
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra `page` is not installed")
from page_client import Browser, FakeDevice, Tab, closed_with, picture, served
from starlette.testclient import TestClient

from core.errors import UserError
from core.output.watermark import metadata
from core.page.live import MalformedError, read_command, read_picture
from core.page.settings import PageSettings
from core.page.virtual_camera import VirtualCamera


@pytest.fixture
def client(tmp_path, monkeypatch) -> Iterator[Browser]:
    with served(tmp_path, monkeypatch) as client:
        yield client


@pytest.fixture
def tab(client) -> Iterator[Tab]:
    with client.websocket_connect("/api/tab") as socket:
        yield Tab(client, socket)


def message(number: int = 1, level: int = 90) -> bytes:
    written = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), level, np.uint8)).save(written, "JPEG")
    return struct.pack(">I", number) + written.getvalue()


def begin_live(client: TestClient, tab: Tab, **more):
    photo = tab.upload(picture()).json()["id"]
    socket = client.websocket_connect(f"{tab.at}/live")
    entered = socket.__enter__()
    entered.send_text(json.dumps({"photo": photo, "options": {"background": "black"}} | more))
    return socket, entered


def test_live_pictures_come_back_with_their_number(client, tab):
    around, socket = begin_live(client, tab)
    assert socket.receive_json() == {"ready": True}
    for number in (1, 7):
        socket.send_bytes(message(number))
        answer = socket.receive_bytes()
        assert struct.unpack(">IBH", answer[:7])[:2] == (number, 1)
        assert abs(np.asarray(Image.open(io.BytesIO(answer[7:]))).mean() - 90) < 2
    socket.send_text(json.dumps({"improvements": ["gaze_correct"], "calibrate": True}))
    time.sleep(0.1)
    socket.send_bytes(message(8))
    assert np.asarray(Image.open(io.BytesIO(socket.receive_bytes()[7:]))).mean() > 250
    around.__exit__(None, None, None)


@pytest.mark.parametrize(
    "bad",
    [b"", b"\0\0\0\1", b"\0\0\0\1no picture", message()[:60], '{"x": 1}', "[", "1", '{"calibrate": 5}', "[" * 9999],
)
def test_a_malformed_message_ends_that_connection_alone(client, tab, bad):
    around, socket = begin_live(client, tab)
    socket.receive_json()
    socket.send({"type": "websocket.receive", "bytes" if isinstance(bad, bytes) else "text": bad})
    assert closed_with(socket) == 1007
    around.__exit__(None, None, None)
    assert client.get("/api/form").status_code == 200
    around, socket = begin_live(client, tab)
    assert socket.receive_json() == {"ready": True}
    around.__exit__(None, None, None)


def test_a_recording_says_that_it_is_synthetic_and_how_long_it_is(client, tab, tmp_path):
    """What a browser records has neither: Matroska's clusters as they come, and no text."""
    level, frames = 40, 12
    with av.open(str(tmp_path / "x.webm"), "w", format="webm", options={"live": "1"}) as made:
        stream = made.add_stream("libvpx", rate=24)
        stream.width = stream.height = 64
        for _ in range(frames):
            made.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), level, np.uint8), format="rgb24")))
        made.mux(stream.encode(None))
    with av.open(str(tmp_path / "x.webm")) as recorded:
        assert recorded.duration is None
    sent = client.post(f"{tab.at}/recordings", content=(tmp_path / "x.webm").read_bytes())
    assert sent.status_code == 200
    assert sent.json()["name"] == "live.webm"
    saved = client.get(f"{tab.at}/files/{sent.json()['id']}", params={"save": True}).content
    with av.open(io.BytesIO(saved)) as kept:
        said = {name.lower(): text for name, text in kept.metadata.items()}
        assert metadata("lifted").items() <= said.items()
        assert kept.duration == pytest.approx(frames / 24 * av.time_base, rel=0.1)
        pictures = [frame.to_ndarray(format="rgb24") for frame in kept.decode(video=0)]
    assert len(pictures) == frames
    assert abs(pictures[0].mean() - level) < 4
    assert len(client.desk.store.tabs[tab.told["tab"]].files) == 1


@pytest.mark.parametrize("content", [b"", b"<html>", picture(), b"\x1a\x45\xdf\xa3" + bytes(64)])
def test_what_is_no_recording_is_refused(client, tab, content):
    assert client.post(f"{tab.at}/recordings", content=content).status_code == 400
    assert not client.desk.store.tabs[tab.told["tab"]].files


def test_large_camera_pictures_are_refused_before_they_are_unpacked():
    written = io.BytesIO()
    Image.fromarray(np.zeros((2000, 8), np.uint8)).save(written, "JPEG")
    with pytest.raises(MalformedError, match="at most"):
        read_picture(b"\0\0\0\1" + written.getvalue())
    with pytest.raises(MalformedError):
        read_picture(bytes(PageSettings.message_bytes + 1))
    with pytest.raises(MalformedError):
        read_command({"improvements": ["nothing"]})


def test_a_virtual_camera_shows_the_portraits():
    made = []

    def make(**given) -> FakeDevice:
        made.append(FakeDevice(**given))
        return made[-1]

    camera = VirtualCamera((64, 48), make=make)
    camera.show(np.zeros((48, 64, 4), np.uint8))
    camera.close()
    assert made[0].size == (64, 48)
    assert made[0].shown[0].shape == (48, 64, 3)
    assert made[0].closed

    def none(**_: object) -> None:
        raise RuntimeError("no\ndevice")

    with pytest.raises(UserError, match="no device"):
        VirtualCamera((64, 48), make=none)
