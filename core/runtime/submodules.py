"""Submodules of a library without what the library's own packages import beside them."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
