"""Memory that a run has freed leaves the process."""

import ctypes
import gc
import os
import sys
from pathlib import Path

import pytest

from core.runtime.memory import all_loaded, collect_once_loaded, give_back_memory


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


def test_cycles_are_looked_for_once_all_is_loaded():
    before = gc.get_threshold()
    try:
        collect_once_loaded(30_000)
        assert not gc.isenabled()
        kept = gc.get_freeze_count()
        loaded = [[]]
        all_loaded()
        assert gc.isenabled()
        assert gc.get_threshold()[0] == 30_000
        assert gc.get_freeze_count() > kept
        assert not any(one is loaded for one in gc.get_objects())
        kept = gc.get_freeze_count()
        all_loaded()  # of a process that goes on: what it made since is looked through
        assert gc.get_freeze_count() <= kept, "more was put aside"  # less where a thread of an earlier test ended
    finally:
        gc.enable()
        gc.set_threshold(*before)
