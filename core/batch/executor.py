"""Who does the tasks of a batch: this process, or processes of this machine (`processes.py`), or a cluster's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from core.batch.job import Event, Task
from core.batch.models import LoadedModels
from core.batch.worker import perform
from core.pipeline import RenderedFrame
from core.runtime.progress import Progress


class Executor(Protocol):
    """Does tasks somewhere.

    Attributes:
        capacity: tasks that may be under way at once.
        alone: whether what one task tracked is there for the next without a task of its own.
    """

    @property
    def capacity(self) -> int: ...

    @property
    def alone(self) -> bool: ...

    def submit(self, task: Task) -> None:
        """Begin a task; called while fewer than `capacity` are under way."""
        ...

    def events(self) -> Iterator[Event]:
        """What has happened; waits a little where nothing has. `ended` comes with an `Outcome`, `lost` with a line."""
        ...

    def close(self) -> None:
        """End at once; what is under way leaves no file."""
        ...


class Here:
    """Does one task after the other in this process and thread.

    Args:
        models: of the runs. progress: is told of their stages. shown: is called with every picture of a run.
    """

    capacity, alone = 1, True

    def __init__(
        self,
        models: LoadedModels,
        progress: Progress | None = None,
        shown: Callable[[RenderedFrame], None] | None = None,
    ) -> None:
        self._models, self._progress, self._shown = models, progress or Progress(quiet=True), shown
        self._task: Task | None = None

    def submit(self, task: Task) -> None:
        self._task = task

    def events(self) -> Iterator[Event]:
        assert self._task is not None  # one was submitted
        yield Event(self._task.key, "ended", perform(self._task, self._models, self._progress, self._shown))

    def close(self) -> None:
        self._task = None
