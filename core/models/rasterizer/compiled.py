"""How the kernels of this package are compiled, and when what numba keeps of them on disk is out of date.

All numbers of the kernels are float32. What they share is inlined, so that each is compiled as one function.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from numba import njit

# A set because numba takes no frozenset. No nnan or ninf: NaN must fail its comparison and be culled.
FASTMATH = {"contract", "reassoc", "arcp", "nsz"}


def kernel(*parts: ModuleType) -> Callable[[Callable[..., Any]], Any]:
    """Decorates a kernel: compiled by numba for all cores, and kept on disk.

    Numba compiles it again when the file that it stands in has changed; and, by this, when one of the `parts` has, the
    modules whose functions are inlined in it. A numba that has another cache inside keeps its own rule alone.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = njit(cache=True, parallel=True, nogil=True, fastmath=FASTMATH, error_model="numpy")(function)
        file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
        if hasattr(file, "_source_stamp"):
            file._source_stamp = (file._source_stamp, source_digest(*parts))
        return dispatcher

    return compiled


def source_digest(*modules: ModuleType) -> str:
    """SHA-256 of how kernels are compiled and of the modules' sources; of their names where they have none."""
    digest = hashlib.sha256(str(sorted(FASTMATH)).encode())
    for module in modules:
        path = Path(module.__file__ or "")
        digest.update(path.read_bytes() if path.is_file() else module.__name__.encode())
    return digest.hexdigest()
