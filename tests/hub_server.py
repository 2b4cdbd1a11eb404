"""A server that answers as the hub of the released files does, and misbehaves where it is told to."""

from __future__ import annotations

import hashlib
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from core.assets import CHECKPOINT, FLAME

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HEAD = bytes(range(256)) * 40  # stands for FLAME_with_eye.pt
NETWORK = hashlib.shake_256(b"GAGAvatar.pt").digest(300_000)  # stands for GAGAvatar.pt
SMALL = (FLAME, replace(CHECKPOINT, size=len(NETWORK)))
FOLDER = "/xg-chu/GAGAvatar/resolve"


@dataclass
class Hub:
    """What the server holds, how it misbehaves, and what it was asked.

    Attributes:
        files: contents by path in the repository. sent: contents that are sent instead.
        cuts: numbers of bytes after which the next answers break off. reset: they do so with a reset.
        status: answer everything with this code. error: value of X-Error-Code.
        ranges: whether ranges are honoured. hashed: whether SHA-256 is told.
        elsewhere: send the contents from another address, as the hub does.
        log: method, path and Range header of each request, and whether it came with a token.
    """

    files: dict[str, bytes]
    sent: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    reset: bool = False
    status: int = 200
    error: str = ""
    ranges: bool = True
    hashed: bool = True
    elsewhere: bool = False
    endpoint: str = ""
    log: list[tuple[str, str, str | None, bool]] = field(default_factory=list)

    def gets(self) -> list[tuple[str, str | None]]:
        return [(path.rsplit("/", 1)[1], span) for method, path, span, _ in self.log if method == "GET"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def refuse(self, code: int, error: str) -> None:
        self.send_response(code)
        self.send_header("X-Error-Code", error)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def find(self) -> tuple[str, bytes] | None:
        hub, span = self.hub, self.headers.get("Range")
        self.hub.log.append((self.command, self.path, span, "Authorization" in self.headers))
        found = re.fullmatch(rf"(?:{FOLDER}/(main|{COMMIT})|/cdn)/(.*)", self.path)
        if hub.status != 200:
            self.refuse(hub.status, hub.error)
        elif found is None or found[2] not in hub.files:
            self.refuse(404, "EntryNotFound")
        else:
            return found[2], hub.files[found[2]]
        return None

    def do_HEAD(self) -> None:
        if (found := self.find()) is None:
            return
        name, data = found
        tag = hashlib.sha256(data).hexdigest() if self.hub.hashed else hashlib.sha1(data).hexdigest()
        self.send_response(302 if self.hub.elsewhere else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Linked-Etag" if self.hub.elsewhere else "ETag", f'"{tag}"')
        if self.hub.elsewhere:
            self.send_header("X-Linked-Size", str(len(data)))
            # another name for the same machine: another host to the client
            self.send_header("Location", self.hub.endpoint.replace("127.0.0.1", "localhost") + "/cdn/" + name)
        self.send_header("Content-Length", "0" if self.hub.elsewhere else str(len(data)))
        self.end_headers()

    def do_GET(self) -> None:
        if (found := self.find()) is None:
            return
        hub, (name, data) = self.hub, found
        if hub.elsewhere and not self.path.startswith("/cdn"):
            self.send_response(302)
            self.send_header("Location", hub.endpoint.replace("127.0.0.1", "localhost") + "/cdn/" + name)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data, span = hub.sent.get(name, data), re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(span[1]) if span and hub.ranges else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if hub.cuts:
            self.wfile.write(data[start:][: hub.cuts.pop(0)])
            self.close_connection = True
            if hub.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
        else:
            self.wfile.write(data[start:])


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A running server with both files, which the library is told to take."""
    hub = Hub({FLAME.source: HEAD, CHECKPOINT.source: NETWORK})
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")  # not a token
    import huggingface_hub.file_download as library

    monkeypatch.setattr(library.constants, "HF_HUB_DISABLE_TELEMETRY", True)  # read when it was imported
    monkeypatch.setattr(library.constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # what a cut loses at most; 10 MiB in earnest
    monkeypatch.setattr(library, "time", SimpleNamespace(sleep=lambda _: None, time=library.time.time))
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()
