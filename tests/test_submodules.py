"""A library's part without the rest of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.runtime.submodules import packages_not_run

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


def test_what_is_not_there_is_said(library):
    with pytest.raises(ModuleNotFoundError, match="worse"), packages_not_run(library, "worse"):
        pass
    assert not [name for name in sys.modules if name.startswith(library)]


def test_the_matte_takes_its_part_of_pymatting_alone():
    program = """
import sys
from core.libs.tracker.matte import _matting
solve, precondition = _matting()
assert solve.__module__ == "pymatting.alpha.estimate_alpha_cf" and precondition.__name__ == "ichol"
assert not [name for name in sys.modules if name.startswith("pymatting")]
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
