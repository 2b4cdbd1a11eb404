"""A client of the page without a browser: a tab, what it uploads and is told, and what stands in for models."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra `page` is not installed")
from small_run import parts
from starlette.testclient import TestClient

from core.page.app import make_app
from core.page.settings import PageSettings

ORIGIN = {"origin": "http://localhost"}
SOON = 20.0  # seconds that anything here takes at most


def picture(side: int = 64, kind: str = "JPEG") -> bytes:
    written = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), 90, np.uint8)).save(written, kind)
    return written.getvalue()


class FakeSession:
    """A live session whose portraits are as bright as the camera's pictures."""

    def __init__(self, options, components, progress) -> None:
        self.source = SimpleNamespace(size=64)
        self.improvements, self.calibrated = (), 0

    def __enter__(self) -> FakeSession:
        return self

    def __exit__(self, *_: object) -> None: ...

    def calibrate(self) -> None:
        self.calibrated += 1

    def step(self, image: np.ndarray, now: float) -> SimpleNamespace:
        level = 255 if self.improvements else int(image.mean())
        return SimpleNamespace(image=np.full((64, 64, 3), level, np.uint8), face=True)


class FakeDevice:
    """In place of `pyvirtualcam.Camera`."""

    def __init__(self, width: int, height: int, fps: float) -> None:
        self.size, self.shown, self.closed = (width, height), [], False

    def send(self, image: np.ndarray) -> None:
        self.shown.append(image)

    def close(self) -> None:
        self.closed = True


class Browser(TestClient):
    """A client whose WebSockets go to the machine's own name too; starlette's go to `testserver`."""

    def websocket_connect(self, url: str, *args, **kwargs):
        return super().websocket_connect(f"ws://localhost{url}", *args, **kwargs)


def closed_with(socket) -> int:
    """The code with which a WebSocket is closed."""
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        told = socket.receive()
        if told["type"] == "websocket.close":
            return told["code"]
    raise AssertionError("it is still open")


SMALL = PageSettings(upload_bytes=1 << 20, tab_bytes=1 << 20, files=3, jobs=2, update_seconds=0.01)


class Tab:
    """A tab's connection, as its page has it."""

    def __init__(self, client: TestClient, socket) -> None:
        self.client, self.socket = client, socket
        self.told = socket.receive_json()
        self.at = f"/api/tabs/{self.told['tab']}"

    def upload(self, content: bytes, name: str = "x"):
        return self.client.post(f"{self.at}/files", params={"name": name}, content=content)

    def begin(self, photo: str, driver: str, **more):
        options = {"background": "black", "layout": "result"}
        return self.client.post(f"{self.at}/jobs", json={"photo": photo, "driver": driver, "options": options} | more)

    def until(self, job: str, *states: str) -> dict:
        """What is told of a job when it is in one of these states."""
        end = time.monotonic() + SOON
        while time.monotonic() < end:
            found = [one for one in self.told["jobs"] if one["id"] == job]
            if found and found[0]["state"] in states:
                return found[0]
            self.told = self.socket.receive_json()
        raise AssertionError(f"{job} is not {states}: {self.told}")


@contextmanager
def served(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    """The page with a small run's models, its caches in a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    app = make_app(settings=SMALL, make_components=lambda options, model, cache: parts(), session=FakeSession)
    with Browser(app, base_url="http://localhost", headers=ORIGIN) as client:
        client.desk = app.app.state.desk
        yield client
