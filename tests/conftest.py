"""What tests of several files share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.synthetic_checkpoint import write


@pytest.fixture(scope="session")
def released_files(tmp_path_factory) -> tuple[Path, Path]:
    """`GAGAvatar.pt` and `FLAME_with_eye.pt` in the released layout with deterministic weights; only to be read.

    Drawing the weights, 750 MB, takes ten seconds.
    """
    return write(tmp_path_factory.mktemp("assets"))
