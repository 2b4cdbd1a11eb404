"""The network's checkpoint: names and shapes as released; what does not fit, or is none, is refused and not run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from core.errors import UserError
from core.models.GAGAvatar.checkpoint import fitting_weights, read_checkpoint
from core.models.GAGAvatar.models import GAGAvatar
from tests.synthetic_checkpoint import layout


def test_names_and_shapes_are_the_released_ones():
    with torch.device("meta"):
        state = GAGAvatar().state_dict()
    assert {name: list(value.shape) for name, value in state.items()} == {
        name: entry["shape"] for name, entry in layout()["keys"].items()
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head_base": None}, "1 missing (head_base)"),
        ({"head_base": torch.empty(5023, 255, device="meta")}, "(5023, 255), expected (5023, 256)"),
        ({"head_base": "text"}, "head_base: str"),
        ({"extra.weight": torch.empty(1, device="meta")}, "1 unexpected (extra.weight)"),
        ({"percep_loss.anything": "at all"}, None),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, message):
    with torch.device("meta"):
        expected = GAGAvatar().state_dict()
    stored = {name: value for name, value in ({**expected, **change}).items() if value is not None}
    if message is None:
        assert fitting_weights(stored, expected, Path("a.pt")).keys() == expected.keys()
        return
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        fitting_weights(stored, expected, Path("a.pt"))
    assert "\n" not in str(caught.value)


class _Hostile:
    ran: list[str] = []  # noqa: RUF012  what a pickle would have done

    def __reduce__(self):
        return (_Hostile.ran.append, ("ran",))


def test_files_that_are_no_checkpoint_are_refused_and_not_run(tmp_path):
    path = tmp_path / "GAGAvatar.pt"
    writers = {
        "is not there": lambda: None,
        "cannot be read|can be read": lambda: path.write_bytes(b"no checkpoint" * 100),
        "no entry 'model'": lambda: torch.save({"weights": {}}, path),
        "can be read": lambda: torch.save({"model": {}, "meta_cfg": _Hostile()}, path),
        "561 missing": lambda: torch.save({"model": {}, "meta_cfg": {}}, path),
        "POINT_PLANE_SIZE is 128": lambda: torch.save(
            {"model": {}, "meta_cfg": {"DATASET": {"POINT_PLANE_SIZE": 128}}}, path
        ),
    }
    for message, write_file in writers.items():
        write_file()
        with pytest.raises(UserError, match=message) as caught:
            GAGAvatar.from_checkpoint(path)
        assert "\n" not in str(caught.value)
    assert not _Hostile.ran


def test_the_older_file_format_is_read_too(tmp_path):
    path = tmp_path / "old.pt"
    torch.save({"model": {"a": torch.ones(2)}, "meta_cfg": {}}, path, _use_new_zipfile_serialization=False)
    assert torch.equal(read_checkpoint(path)[0]["a"], torch.ones(2))
