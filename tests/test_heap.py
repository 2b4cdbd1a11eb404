"""Memory that a run has freed leaves the process."""

import ctypes
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.runtime.memory import all_loaded, collect_once_loaded, give_back_memory, giving_back, share_heap


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


ARENAS = """
import ctypes, threading
from core.runtime.memory import share_heap
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
share_heap({count}) if {count} else None
ready, places = threading.Barrier(12), []
def take():  # all at once, so that no thread has the arena of one that ended
    ready.wait()
    places.append(library.malloc(100) >> 26)
    ready.wait()
threads = [threading.Thread(target=take) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(set(places)))
"""


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="no mallopt")
@pytest.mark.parametrize("count", [0, 3])
def test_threads_share_as_many_arenas_as_are_said(count):
    """glibc's arenas lie in 64 MiB each; threads that take memory at once get one each up to eight a core."""
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    done = subprocess.run(
        [sys.executable, "-c", ARENAS.format(count=count)],
        cwd=Path(__file__).parents[1], env=environment, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert (int(done.stdout) <= 3) == (count == 3)


def test_items_are_the_same_and_free_pages_go_back_between_them(monkeypatch):
    from core.runtime import memory

    given = []
    monkeypatch.setattr(memory, "give_back_heap", lambda: given.append(len(taken)))
    taken: list[int] = []
    for item in giving_back(range(25), every=10):
        taken.append(item)
    assert taken == list(range(25))
    assert given == [10, 20]


def test_it_can_be_called_where_there_is_nothing_to_give_back(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    give_back_memory()
    share_heap()


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
