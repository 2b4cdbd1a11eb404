"""What a job of *Live* does: pictures of the browser's camera come in, portraits go out, until one side ends it.

A camera picture is four bytes of its number, big-endian, and a JPEG. A portrait is the number of its camera picture, a
byte that says whether a face moved it, two bytes of milliseconds that it took here, and a JPEG. Of pictures that wait
the newest one is taken.
"""

from __future__ import annotations

import io
import queue
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from PIL import Image

from core.errors import UserError
from core.options import IMPROVEMENTS, Options
from core.page.animate import Models, jpeg
from core.page.jobs import Job, JobProgress
from core.page.settings import PageSettings
from core.page.virtual_camera import VirtualCamera
from core.runtime.threads import Newest

_NUMBER = struct.Struct(">I")
_ANSWER = struct.Struct(">IBH")
_SETTINGS = PageSettings()


class MalformedError(Exception):
    """What came is no picture, or no command, of the page."""


def read_picture(message: bytes, settings: PageSettings = _SETTINGS) -> tuple[int, np.ndarray]:
    """The number and the picture (H, W, 3) uint8 RGB of a message; MalformedError where it is none of a camera."""
    if len(message) <= _NUMBER.size or len(message) > settings.message_bytes:
        raise MalformedError("a camera picture is a number and a JPEG")
    data = message[_NUMBER.size :]
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as header:  # its size, before anything is unpacked
            side = max(header.size)
    except Exception as error:  # Pillow raises what it likes on data that is none
        raise MalformedError("a camera picture is a JPEG") from error
    if side > settings.camera_side:
        raise MalformedError(f"a camera picture has at most {settings.camera_side} pixels on a side")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise MalformedError("a camera picture is a whole JPEG")
    return _NUMBER.unpack_from(message)[0], cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_command(message: Mapping[str, Any]) -> dict[str, Any]:
    """`improvements`: the names of those that are to be on; `calibrate`: true. MalformedError for anything else."""
    for name, value in message.items():
        if name == "improvements":
            if not isinstance(value, list) or not all(one in IMPROVEMENTS for one in value):
                raise MalformedError("improvements are a list of their names")
        elif name != "calibrate" or value is not True:
            raise MalformedError(f"{name[:40]!r} is nothing that can be asked for")
    return dict(message)


def open_session(*arguments: Any, **named: Any) -> Any:
    """A `LiveSession`; it loads torch, which a server that has just begun does without."""
    from core.live import LiveSession

    return LiveSession(*arguments, **named)


@dataclass(eq=False)
class LiveWork:
    """The work of a live job, called with it.

    Attributes:
        options: with the photo. models: of all tabs. send: takes a portrait's message, from any thread.
        ready: is called when pictures are wanted. camera: whether a virtual camera shows the portraits too.
        session, device: what makes a session and a virtual camera, a test's where it is given.
    """

    options: Options
    models: Models
    send: Callable[[bytes], None]
    ready: Callable[[], None]
    camera: bool = False
    session: Callable[..., Any] = open_session
    device: Callable[..., Any] | None = None
    settings: PageSettings = _SETTINGS
    pictures: Newest[tuple[bytes, float]] = field(default_factory=Newest)
    commands: queue.SimpleQueue[dict[str, Any]] = field(default_factory=queue.SimpleQueue)
    fault: str = ""

    def end(self) -> None:
        """No more pictures come."""
        self.pictures.close()

    def __call__(self, job: Job) -> None:
        progress = JobProgress(job)
        options = replace(self.options, frame="head")
        components = self.models.get(options, progress)
        with self.session(options, components, progress) as session:
            virtual = VirtualCamera((session.source.size,) * 2, make=self.device) if self.camera else None
            try:
                job.stage, job.since = "live", time.monotonic()
                self.ready()
                job.changed()
                while not job.cancelled.is_set() and (taken := self.pictures.take()) is not None:
                    self._obey(session)
                    self._answer(session, virtual, *taken)
            except MalformedError as error:
                self.fault = str(error)
            finally:
                if virtual is not None:
                    virtual.close()

    def _obey(self, session: Any) -> None:
        with suppress(queue.Empty):
            while True:
                command = self.commands.get_nowait()
                if "improvements" in command:
                    session.improvements = tuple(command["improvements"])
                if command.get("calibrate"):
                    session.calibrate()

    def _answer(self, session: Any, virtual: VirtualCamera | None, message: bytes, came: float) -> None:
        number, image = read_picture(message, self.settings)
        try:
            portrait = session.step(image, came)
        except ValueError as error:  # a picture that is too small, say
            raise MalformedError(str(error)) from error
        if virtual is not None:
            virtual.show(portrait.image)
        took = min(0xFFFF, round(1000 * (time.monotonic() - came)))
        self.send(_ANSWER.pack(number, portrait.face, took) + jpeg(portrait.image, self.settings.jpeg))


def check_live(options: Options) -> None:
    """UserError where a live session cannot begin."""
    if options.image_path is None:
        raise UserError("choose a photo first")
