"""Linear algebra runs on one thread beside ours, whoever imported numpy first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COUNT = """
import threadpoolctl
print({pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"})
"""


@pytest.mark.parametrize(
    ("program", "asked", "threads"),
    [
        ("import core, numpy, scipy.linalg", None, "{1}"),
        ("import numpy, core, scipy.linalg", None, "{1}"),
        ("import numpy, core, scipy.linalg", "2", "{2}"),  # who asked for a number gets it
    ],
    ids=["core first", "numpy first", "asked for"],
)
def test_threads_of_linear_algebra(program, asked, threads):
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    if asked is not None:
        environment["OPENBLAS_NUM_THREADS"] = asked
    command = [sys.executable, "-c", f"{program}\n{COUNT}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == threads
