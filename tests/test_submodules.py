"""A library's part without the rest of it."""

from __future__ import annotations

import importlib
import json  # noqa: F401
import subprocess
import sys
from pathlib import Path

import pytest

from core.runtime.submodules import left_out, packages_not_run

ROOT = Path(__file__).parents[1]


@pytest.fixture
def library(tmp_path, monkeypatch) -> str:
    """A package whose `__init__`s import everything, of which one part breaks."""
    root = tmp_path / "heavy_library"
    for folder in (root, root / "good", root / "bad"):
        folder.mkdir()
    (root / "__init__.py").write_text("from heavy_library.good import *\nfrom heavy_library.bad import *\n")
    (root / "good" / "__init__.py").write_text("from heavy_library.good.part import answer\n")
    (root / "good" / "part.py").write_text("from heavy_library.good.help import base\ndef answer(): return base + 2\n")
    (root / "good" / "help.py").write_text("base = 40\n")
    (root / "bad" / "__init__.py").write_text("raise RuntimeError('all of it was imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "heavy_library"


def test_a_part_runs_without_the_whole(library):
    with packages_not_run(library, "good"):
        from heavy_library.good.part import answer
    assert answer() == 42
    assert not [name for name in sys.modules if name.startswith(library)]
    with pytest.raises(RuntimeError, match="all of it"):
        import heavy_library  # noqa: F401


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


def test_what_is_not_there_is_said(library):
    with pytest.raises(ModuleNotFoundError, match="worse"), packages_not_run(library, "worse"):
        pass
    assert not [name for name in sys.modules if name.startswith(library)]


def test_the_matte_takes_its_part_of_pymatting_alone():
    program = """
import sys
from core.libs.tracker.matting import _matting
laplacian, precondition, solve = _matting()
assert laplacian.__module__ == "pymatting.laplacian.cf_laplacian" and solve.__module__ == "pymatting.solver.cg"
assert precondition.__name__ == "ichol"
assert not [name for name in sys.modules if name.startswith("pymatting")]
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


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
few = {"scipy.spatial", "scipy.ndimage", "scipy.optimize", "scipy.interpolate", "mediapipe", "matplotlib", "pymatting"}
print(few & set(sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "set()"
