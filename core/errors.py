"""Errors a user can cause."""

from __future__ import annotations

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user gave is wrong: one line that says what came and what to do.

    The command line prints it without a traceback and exits with code 2. Everything else that is raised is a bug
    and keeps its traceback.
    """


def command(main: Callable[[], object]) -> int:
    """Run a command; returns its exit code: what `main` returned where that is a number, else 0.

    A UserError is printed as one line, and the code is 2.
    """
    try:
        code = main()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return code if isinstance(code, int) else 0
