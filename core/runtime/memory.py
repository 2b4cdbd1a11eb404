"""What a finished run held goes back to the system, and how often is looked for what nothing points to.

Threads of a run (decoder, tracker, encoder, BLAS) each get an arena of the C library's heap, and glibc gives back only
what is free at an arena's end: a process that does one run after another would grow by the gaps between, some MiB each,
and so does a long run. A command has fewer arenas, and gives their gaps back.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def collect_rarely(objects: int = 50_000) -> None:
    """Look for unreachable cycles only after so many new objects; a command calls it before it imports what is large.

    Python's own 700 look through everything a dozen times while torch, of which all objects stay, is imported: .3 s.
    """
    gc.set_threshold(objects)


def collect_once_loaded(objects: int = 50_000) -> None:
    """The same, and not at all before `all_loaded`: for a command that loads its libraries and runs once."""
    collect_rarely(objects)
    gc.disable()


def all_loaded() -> None:
    """What is there by now stays, and is not looked through again; from now on unreachable cycles are looked for.

    Where `collect_once_loaded` was not called before, nothing is done: a process that runs for long has made cycles
    already, which would stay with the rest.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def share_heap(arenas: int | None = None) -> None:
    """Let all threads share so many arenas, by mallopt(3): before there are more. Two a core where it is left out.

    glibc makes eight a core, and what is free in one is of no use to a thread of another. Where the environment says
    how many there are, or the C library has no such call, nothing is done.
    """
    if sys.platform.startswith("linux") and "MALLOC_ARENA_MAX" not in os.environ:
        option = getattr(ctypes.CDLL(None), "mallopt", None)
        if option is not None:
            option(-8, arenas or 2 * (os.cpu_count() or 1))  # M_ARENA_MAX of malloc.h


def give_back_memory() -> None:
    """Collect what is unreachable and return the free pages of all arenas."""
    gc.collect()
    give_back_heap()


def give_back_heap() -> None:
    """Return the free pages of all arenas, by malloc_trim(3), between stages of a run that work in other arrays.

    Where the C library has no such call, nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(ctypes.c_size_t(0))


def giving_back(items: Iterable[T], every: int = 100) -> Iterator[T]:
    """The same items; after every so many free pages go back, as what works on them leaves gaps."""
    for index, item in enumerate(items, 1):
        yield item
        if index % every == 0:
            give_back_heap()


def free_mib() -> int | None:
    """MiB that processes may still take: the machine's, or less where a control group (cgroup v2) allows less.

    None where the system does not say.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) >> 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    with suppress(OSError, ValueError):  # no such group, or one without a limit
        group = Path("/sys/fs/cgroup")
        most, taken = (int((group / name).read_text()) >> 20 for name in ("memory.max", "memory.current"))
        free = min(free, most - taken)
    return max(0, free)
