"""Libraries without what they import beside what is used of them."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def packages_not_run(name: str, *subpackages: str) -> Iterator[None]:
    """Within, `from name.sub.module import x` runs that module, but no `__init__` of `name` nor of its subpackages.

    For a library whose `__init__` imports all of it, where one part is used and the others take long: each function
    that numba was told the types of is compiled, or loaded, when its module is imported. Afterwards `sys.modules` is
    as before, so that whoever imports the library itself gets all of it. Where it is there already, nothing is done.

    Raises:
        ModuleNotFoundError: the library is not installed, or has no such subpackage.
    """
    if name in sys.modules:
        yield
        return
    try:
        for package in (name, *(f"{name}.{one}" for one in subpackages)):
            spec = importlib.util.find_spec(package)
            if spec is None:
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)
            sys.modules[package] = importlib.util.module_from_spec(spec)
        yield
    finally:
        for module in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
            del sys.modules[module]


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
            del sys.modules[name]


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
