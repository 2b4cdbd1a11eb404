"""Says that kernels are being compiled, where that takes long: a first run stands still for a minute otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def kernels_at_once() -> bool:
    """Whether numba runs kernels of several threads at once; where no kernel has run yet it is not known: False.

    With OpenMP and TBB it does, without either it would end the program.
    """
    import numba

    try:
        return numba.threading_layer() in ("omp", "tbb")
    except ValueError:
        return False


@contextmanager
def told_when_compiling(say: Callable[[str], None], patience: float = 2.0) -> Iterator[None]:
    """Say it once, when numba has compiled for so many seconds within; what it finds in its cache is not compiled."""
    from numba.core import event  # it takes a third of a second

    class Listener(event.Listener):
        spent, began, told = 0.0, 0.0, False

        def on_start(self, event: event.Event) -> None:
            self.began = time.perf_counter()

        def on_end(self, event: event.Event) -> None:
            self.spent += time.perf_counter() - self.began
            self.began = time.perf_counter()  # compiling one kernel may end within that of another
            if self.spent >= patience and not self.told:
                self.told = True
                say("compiling kernels: slow only the first time")

    with event.install_listener("numba:compile", Listener()):
        yield
