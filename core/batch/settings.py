"""What a batch assumes where it has measured nothing yet, and how its processes are dealt with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BatchSettings:
    """Numbers of a batch. What is said to be measured, `python -m benchmarks.batch` and `benchmarks.memory` print.

    Attributes:
        worker_mib: memory of a worker, measured: peak of a run with all improvements, and some more for large photos.
        network_mib: the same with the published network: its weights and one frame's activations on the CPU.
        large_mib: what a worker takes more where photos are drawn whole or larger than 512 pixels.
        reserve_mib: of the machine's memory, left to everybody else.
        attempts: times that a task is begun whose worker ends under it.
        tell: seconds between two messages of a worker about how far it is.
        poll: seconds until the head looks whether a worker is still there.
        waiting: tasks that a cluster holds beyond those it can do at once, so that no worker waits for its next one.
        connect_seconds: that a cluster has to answer.
        start_seconds: until a worker is ready. photo_seconds: to track a photo and make an avatar of it.
        track_seconds, render_seconds: for a frame of a driver. All four for estimates only, on one core.
        thumbnail: pixels of the longer side of a picture in the report.
        list_characters: of a list of jobs in YAML. list_rows: jobs in a list.
    """

    worker_mib: int = 1300
    network_mib: int = 6000
    large_mib: int = 600
    reserve_mib: int = 1024
    attempts: int = 3
    tell: float = 0.25
    poll: float = 0.5
    waiting: int = 2
    connect_seconds: float = 5.0
    start_seconds: float = 6.0
    photo_seconds: float = 3.0
    track_seconds: float = 0.06
    render_seconds: float = 0.06
    thumbnail: int = 320
    list_characters: int = 4_000_000
    list_rows: int = 100_000
