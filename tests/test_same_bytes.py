"""The first run on a machine, which compiles the kernels, gives the bytes of every later one, which loads them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# What sharpens a face, on noise; the sum of the bytes is printed.
PROGRAM = """
import hashlib
import numpy as np
from core.models.modules.detail_enhancer import DetailEnhancer

picture = np.random.default_rng(0).random((160, 160, 3)).astype(np.float32)
mask = np.zeros((160, 160), np.uint8)
mask[20:140, 30:130] = 255
DetailEnhancer().enhance_face(picture, mask, 1.0)
print(hashlib.sha256(picture.tobytes()).hexdigest())
"""


def test_a_run_that_compiles_gives_the_bytes_of_one_that_does_not(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])}

    def run() -> str:
        command = [sys.executable, "-c", PROGRAM]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    compiled = run()
    assert list(tmp_path.rglob("*.nbc"))
    assert run() == compiled
