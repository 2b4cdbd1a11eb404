"""`python -m core.batch`: see `core.batch.command`."""

from __future__ import annotations

import sys

from core.batch.command import main
from core.errors import command
from core.runtime.interrupt import interruptible, leave

if __name__ == "__main__":  # a worker's process imports this module too
    with interruptible() as interruption:
        try:
            sys.exit(command(lambda: main(interruption=interruption)))
        except KeyboardInterrupt:
            print("interrupted; what is done is kept, and the same command goes on", file=sys.stderr)
            sys.exit(130)
        finally:
            if interruption.code is not None:
                sys.stderr.flush()
                leave(interruption.code)
