"""A library's part without the rest of it."""

from __future__ import annotations

import importlib
import json  # noqa: F401
import subprocess
import sys
from pathlib import Path

import pytest

from core.runtime.submodules import left_out

ROOT = Path(__file__).parents[1]


def test_a_module_is_left_out_for_a_while():
    with left_out("slow_module_of_nobody", "json"):
        import slow_module_of_nobody

        assert not hasattr(slow_module_of_nobody, "__file__")
        import json

        assert json.loads("1") == 1  # it was there before
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("slow_module_of_nobody")


def test_torch_without_meta_draws_and_meta_comes_when_it_is_asked_for():
    program = """
from core.runtime.submodules import import_torch
import_torch()
import sys, torch
assert "torch._meta_registrations" not in sys.modules
print(torch.einsum("ij,jk->ik", torch.ones(2, 2), torch.ones(2, 2)).sum().item())
import torch._meta_registrations
print(torch.ones(2, 2, device="meta").sum().shape)
"""
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout.split("\n")[:2] == ["8.0", "torch.Size([])"]


def test_the_tracker_loads_no_plots_and_whoever_wants_them_gets_them():
    program = """
import sys
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
MediaPipeTracker().close()
assert not [name for name in sys.modules if name.startswith("matplotlib")]
import matplotlib.pyplot
print(matplotlib.pyplot.figure.__name__)
"""
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "figure"


def test_numba_without_linear_algebra_multiplies_matrices():
    program = """
import numpy as np
from core.runtime.submodules import import_numba
import_numba()
import sys, numba
assert not [name for name in sys.modules if name.startswith("scipy.linalg")]
product = numba.njit(lambda a, b: np.dot(a, b))
print(product(np.ones((2, 2)), np.ones((2, 2))).sum(), numba.njit(lambda a: np.linalg.inv(a))(2 * np.eye(2)).sum())
import scipy.linalg
print(scipy.linalg.norm(np.ones(4)))
"""
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout.split() == ["8.0", "1.0", "2.0"]


def test_what_is_loaded_for_every_run_leaves_out_what_few_runs_need():
    program = """
import sys
from pathlib import Path
from core.components import default_components
from core.options import Options
default_components(Options(Path("a.jpg"), Path("a.mp4"), enhanced=True))
few = {"scipy.spatial", "scipy.ndimage", "scipy.optimize", "scipy.interpolate", "mediapipe", "matplotlib"}
print(few & set(sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "set()"
