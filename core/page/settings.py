"""The bounds of the page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PageSettings:
    """What is taken, and for how long. All of them by choice: for one household's machine, not for a public service.

    Attributes:
        port: that is served on, where none is named.
        upload_bytes: of one file. tab_bytes: of all files of a tab that are there at a time.
        files: of a tab. tabs: open at a time. jobs: of a tab that wait or run.
        body_bytes: of any other request. message_bytes: of one message of a WebSocket, a camera picture included.
        name_length: characters that are kept of a file's name.
        keep_seconds: after which an upload or a result goes. grace_seconds: a tab's files outlive its connection, as
            a page that is loaded again, or a machine that slept, comes back.
        sweep_seconds: between two looks at what is to go.
        update_seconds: between two reports to a tab. picture_seconds: between two pictures of a running job.
        camera_side: pixels of a live picture's longer side, at most. jpeg: quality of pictures on their way.
    """

    port: int = 8765
    upload_bytes: int = 512 << 20
    tab_bytes: int = 1 << 30
    files: int = 16
    tabs: int = 16
    jobs: int = 4
    body_bytes: int = 64 << 10
    message_bytes: int = 1 << 20
    name_length: int = 80
    keep_seconds: float = 3600.0
    grace_seconds: float = 20.0
    sweep_seconds: float = 5.0
    update_seconds: float = 0.2
    picture_seconds: float = 1.0
    camera_side: int = 1280
    jpeg: int = 88
