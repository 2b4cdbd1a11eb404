"""Libraries without what they import beside what is used of them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def left_out(*names: str) -> Iterator[None]:
    """Within, importing one of these modules gives an empty one. Afterwards `sys.modules` is as before.

    For modules that a library runs for what they register and nobody here asks for. One that is there already stays.
    """
    missing = [name for name in names if name not in sys.modules]
    sys.modules.update({name: ModuleType(name) for name in missing})
    try:
        yield
    finally:
        for name in missing:
            sys.modules.pop(name, None)  # another thread may have left it out at the same time


def import_torch() -> None:
    """Import torch without what it knows of tensors that have no values (`meta`), a quarter of its time.

    For a command that compiles, exports and traces nothing. Where torch is there already, nothing is done.
    """
    if "torch" not in sys.modules:
        with left_out("torch._meta_registrations"):
            importlib.import_module("torch")


def import_numba() -> None:
    """Import numba's arrays without scipy's linear algebra, which they load to see whether it is there.

    Two thirds of their time. A kernel that multiplies matrices loads it when it is compiled or run. Where they are
    there already, nothing is done.
    """
    if "numba.np.arraymath" not in sys.modules:
        with left_out("scipy.linalg", "scipy.linalg.cython_blas"):
            importlib.import_module("numba.np.arraymath")
