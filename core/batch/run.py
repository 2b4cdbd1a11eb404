"""Jobs in, results out as they come: the whole of a batch but its planning, for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from core.batch.executor import Executor, Here
from core.batch.flow import Flow, Watch
from core.batch.job import Job, JobResult
from core.batch.manifest import Manifest
from core.batch.models import LoadedModels
from core.pipeline.pieces import can_be_split
from core.preflight import find_inputs
from core.runtime.progress import CancelledError


def run(
    jobs: Iterable[Job],
    executor: Executor | None = None,
    *,
    manifest: Manifest | None = None,
    watch: Watch | None = None,
    split: int = 0,
    may_split: Callable[[Job], bool] | None = None,
) -> Iterator[JobResult]:
    """Do jobs, and give each one's result as soon as it is known.

    A job that fails is a result with a line; the others go on. Leaving the iterator early ends the batch: what is under
    way leaves no file.

    Args:
        jobs: in the order in which they are to begin. executor: where; in this process, one after the other, where it
            is left out. It is closed at the end.
        manifest: where what is done is recorded, and told from: a job that it holds as done is `kept` and not begun.
        watch: is told while it goes on. split: frames of a piece of a longer video, 0 for none; see
            `core.pipeline.pieces`. may_split: says of a job whether it may be; reads its inputs where it is left out.
    Raises:
        UserError: the executor or the manifest is of no use any more. CancelledError: of a progress of `Here`.
    """
    jobs = list(jobs)
    executor = Here(LoadedModels()) if executor is None else executor
    watch = watch or Watch()
    began = watch.began
    try:
        left = []
        for job in jobs:
            known = None if manifest is None else manifest.kept(job)
            if known is not None:
                yield known
            elif job.refused:
                result = JobResult(job, "failed", error=job.refused, attempts=0)
                if manifest is not None:
                    manifest.end(result)
                yield result
            else:
                left.append(job)
        if manifest is not None:
            record = manifest

            def began(job: Job, told: Callable[[Job], None] = watch.began) -> None:
                record.begin(job)
                told(job)

        flow = Flow(left, executor, replace(watch, began=began), split, may_split or _may_split)
        for result in flow.results():
            if manifest is not None:
                manifest.end(result)
            yield result
    finally:
        executor.close()


def _may_split(job: Job) -> bool:
    return can_be_split(job.options, find_inputs(job.options))


__all__ = ["CancelledError", "run"]
