"""The command line: `python inference.py -i PHOTO -d DRIVER`."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import UserError
from core.runtime.interrupt import Interruption, interruptible, leave
from core.runtime.memory import collect_once_loaded, share_heap
from core.runtime.submodules import import_numba, import_torch

_FINISHING = 30.0  # seconds that an interrupted run with --keep-partial has to finish its file


def main(arguments: list[str] | None = None, interruption: Interruption | None = None) -> int:
    """Run with the given arguments; returns the exit code.

    0: done. 2: something given is wrong, one line says what. 130, 143: interrupted, terminated; no half file is left.
    """
    left = "nothing was written"
    try:
        from core.command_line import load_options  # here, and not above: a signal is heeded from the first moment on

        options = load_options(arguments)
        if options.keep_partial:
            left = "what is kept is said above"
            if interruption is not None:
                interruption.allow(_FINISHING)
        # What a look at the names tells is told before the imports below, which take seconds.
        from core.preflight import choose_model, find_files

        find_files(options)
        name, _ = choose_model(options)
        if name == "lifted":  # the network's layers are made without values first
            import_torch()
            import_numba()
        from core.pipeline import animate

        with _warnings_shown(not options.quiet):
            report = animate(options)
        if not options.quiet:
            print(report)
        return 0
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted; {left}", file=sys.stderr)
        return 130


@contextmanager
def _warnings_shown(shown: bool) -> Iterator[None]:
    """Whether the program's warnings reach stderr."""
    logger = logging.getLogger("core")
    before = logger.level
    if not shown:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def run() -> int:
    """`main` as a process of its own: with the signals' handlers, and gone at once after one."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be text
    collect_once_loaded()
    share_heap()
    with interruptible() as interruption:
        try:
            return main(interruption=interruption)
        finally:
            if interruption.code is not None:
                sys.stderr.flush()
                leave(interruption.code)


if __name__ == "__main__":
    sys.exit(run())
