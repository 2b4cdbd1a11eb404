"""Memory that a run has freed leaves the process."""

import ctypes
import os
import sys
from pathlib import Path

import pytest

from core.runtime.memory import give_back_memory


def held() -> float:
    """MiB of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc"
)
def test_free_memory_below_a_block_in_use_goes_back():
    """What free() alone cannot give back: 64 MiB of small blocks under one that stays."""
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    give_back_memory()  # or the blocks come to lie where other tests have left room
    before = held()
    blocks = [library.malloc(16384) for _ in range(4096)]
    for block in blocks:
        ctypes.memset(block, 1, 16384)
    assert held() - before > 60
    for block in blocks[:-1]:
        library.free(block)
    give_back_memory()
    assert held() - before < 16
    library.free(blocks[-1])


def test_it_can_be_called_where_there_is_nothing_to_give_back(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    give_back_memory()
