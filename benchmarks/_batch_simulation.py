"""A batch on paper: measured costs, any number of workers, and what holds them up."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Costs:
    """What a batch costs.

    Attributes:
        head: seconds of the planning process for a task, one after the other. dispatch: seconds a worker waits between
            two tasks. start: seconds until a worker is ready.
        job_bytes: that a job reads and writes on shared storage. storage: bytes a second of it, all workers together.
    """

    head: float
    dispatch: float
    start: float
    job_bytes: float
    storage: float


@dataclass(frozen=True)
class Simulated:
    """A batch that was simulated: how long it took, and how busy each part was.

    Attributes:
        seconds: from its begin to its last file. ideal: work over workers, without any costs.
        scheduler, storage: busy shares, 0..1. stragglers: share of all workers' time that is spent waiting for the
            last ones. start: share in which workers get ready.
    """

    seconds: float
    ideal: float
    scheduler: float
    storage: float
    stragglers: float
    start: float


def simulate(work: Sequence[float], workers: int, costs: Costs) -> Simulated:
    """Tasks, seconds each, in the order in which they begin; every worker takes the next one when it is free.

    The planning process and the storage serve one task after the other: a fair share for each would end the last one
    at the same time.
    """
    free = [costs.start] * workers
    head = storage = 0.0
    busy_head = busy_storage = 0.0
    ends = []
    for seconds in work:
        head = max(head, free[0]) + costs.head
        begins = head + costs.dispatch
        moved = costs.job_bytes / costs.storage
        storage = max(storage, begins) + moved
        busy_head, busy_storage = busy_head + costs.head, busy_storage + moved
        end = max(begins + seconds, storage)
        heapq.heapreplace(free, end)
        ends.append(end)
    last = max(ends)
    idle_at_the_end = sum(last - at for at in free)
    return Simulated(
        seconds=last,
        ideal=sum(work) / workers,
        scheduler=busy_head / last,
        storage=busy_storage / last,
        stragglers=idle_at_the_end / (last * workers),
        start=costs.start / last,
    )


def bottleneck(work: Sequence[float], workers: int, costs: Costs, tolerated: float = 0.05) -> str:
    """What a batch would gain most without: `scheduler`, `storage`, `stragglers` or `start`.

    `work` where the batch takes hardly longer (`tolerated`, a share) than the work alone. Without stragglers: the same
    work in equal tasks.
    """
    if simulate(work, workers, costs).seconds <= (1 + tolerated) * sum(work) / workers:
        return "work"
    even = [sum(work) / len(work)] * len(work)
    without = {
        "scheduler": simulate(work, workers, replace(costs, head=0.0, dispatch=0.0)),
        "storage": simulate(work, workers, replace(costs, job_bytes=0.0)),
        "stragglers": simulate(even, workers, costs),
        "start": simulate(work, workers, replace(costs, start=0.0)),
    }
    return min(without, key=lambda name: without[name].seconds)


def divided(work: Sequence[float], longest: float) -> list[float]:
    """The same work with every task cut into equal pieces of at most so many seconds, the longest first."""
    pieces = []
    for seconds in sorted(work, reverse=True):
        count = max(1, -int(-seconds // longest))
        pieces += [seconds / count] * count
    return pieces
