"""Firefox on a display that is not there, driven by its remote protocol, Marionette: Debian's firefox-esr, Xvfb."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NEEDED = tuple(map(shutil.which, ("firefox-esr", "Xvfb")))
# Without a display it makes no WebGL context; with one Mesa draws, on the processor.
_WANTED = {"webgl.force-enabled": True, "layers.acceleration.force-enabled": True, "app.update.enabled": False}
_QUIET = (
    *("app.normandy.enabled", "datareporting.policy.dataSubmissionEnabled", "browser.shell.checkDefaultBrowser"),
    *("network.captive-portal-service.enabled", "network.connectivity-service.enabled"),
)


class Firefox:
    """A browser with one page."""

    def __init__(self, port: int, seconds: float = 40) -> None:
        end = time.monotonic() + seconds
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        self._file, self._count = self._socket.makefile("rwb"), 0
        self._read()  # what it is
        self._ask("WebDriver:NewSession")

    def _read(self) -> Any:
        digits = b""
        while (byte := self._file.read(1)) != b":":
            digits += byte
        return json.loads(self._file.read(int(digits)))

    def _ask(self, what: str, **values: Any) -> Any:
        self._count += 1
        text = json.dumps([0, self._count, what, values]).encode()
        self._file.write(b"%d:%s" % (len(text), text))
        self._file.flush()
        _, _, fault, answer = self._read()
        assert not fault, fault
        return answer

    def open(self, path: Path) -> None:
        self._ask("WebDriver:Navigate", url=path.as_uri())

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        return self._ask("WebDriver:ExecuteScript", script=f"return {script};", args=[], sandbox=None)["value"]

    def screenshot(self) -> bytes:
        """PNG."""
        return base64.b64decode(self._ask("WebDriver:TakeScreenshot", full=False)["value"])


@contextmanager
def firefox(folder: Path) -> Iterator[Firefox]:
    """One with a profile of its own, which is made in the folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    wanted = _WANTED | dict.fromkeys(_QUIET, False) | {"marionette.port": port}
    (folder / "user.js").write_text("".join(f'user_pref("{k}", {json.dumps(v)});\n' for k, v in wanted.items()))
    reader, writer = os.pipe()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    display = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1000x1000x24"], pass_fds=[writer], **quiet
    )
    os.close(writer)
    with os.fdopen(reader) as said:
        number = said.readline().strip()
    own = {"DISPLAY": f":{number}", "LIBGL_ALWAYS_SOFTWARE": "1", "HOME": str(folder)}
    command = ["firefox-esr", "--no-remote", "--profile", str(folder), "--marionette"]
    browser = subprocess.Popen(command, env=os.environ | own, **quiet)
    try:
        yield Firefox(port)
    finally:
        for process in (browser, display):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
