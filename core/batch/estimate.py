"""How many workers a machine takes, and how long a batch may last."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from core.batch.job import Job
from core.batch.settings import BatchSettings
from core.options import SIZES, Options
from core.preflight import choose_model
from core.runtime.memory import free_mib

_SETTINGS = BatchSettings()


def worker_mib(options: Iterable[Options], settings: BatchSettings = _SETTINGS) -> int:
    """The memory that a worker is to have for jobs with these options, MiB."""
    most = settings.worker_mib
    for one in options:
        need = settings.network_mib if choose_model(one)[0] == "gagavatar" else settings.worker_mib
        large = one.shows_photo or one.size > SIZES[0] or one.variants
        most = max(most, need + settings.large_mib * large)
    return most


def automatic_workers(cores: int, mib: int, jobs: int, settings: BatchSettings = _SETTINGS) -> int:
    """Worker processes for so many cores and so many jobs, of `mib` MiB each: as many as cores, memory permitting."""
    free = free_mib()
    by_memory = cores if free is None else (free - settings.reserve_mib) // max(1, mib)
    return max(1, min(cores, by_memory, jobs))


def estimated_seconds(
    jobs: Sequence[Job], workers: int, speeds: Sequence[tuple[int, float]] = (), settings: BatchSettings = _SETTINGS
) -> float:
    """Seconds until all jobs are done: each worker takes the next one when it is free.

    Args:
        speeds: frames and seconds of jobs that were done here before; without them the settings say how long a frame
            takes to track and to render.
    """
    frames = sum(count for count, _ in speeds)
    fixed, each = settings.photo_seconds, settings.render_seconds
    if frames:
        fixed, each = 0.0, sum(seconds for _, seconds in speeds) / frames
    drivers = {job.options.driver_path: job.frames for job in jobs}
    tasks = [settings.track_seconds * count for count in drivers.values()]
    tasks += [fixed + each * job.frames for job in jobs]
    free = [settings.start_seconds] * max(1, workers)
    for seconds in tasks:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free) if jobs else 0.0


def told_seconds(seconds: float) -> str:
    """`50 s`, `12 min`, `3 h 20 min`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
