"""The command line: `python inference.py -i PHOTO -d DRIVER`."""

from __future__ import annotations

import signal
import sys

from core.errors import UserError
from core.options import load_options


def main(arguments: list[str] | None = None) -> int:
    """Run with the given arguments; returns the exit code.

    0: done. 2: something given is wrong, one line says what. 130, 143: interrupted, terminated; no half file is left.
    """
    try:
        options = load_options(arguments)
        from core.pipeline import animate  # after parsing: what it imports takes seconds

        report = animate(options)
        if not options.quiet:
            print(report)
        return 0
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130


def _terminate(*_: object) -> None:
    sys.exit(143)  # an exception, so that what is open is closed and removed


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main())
