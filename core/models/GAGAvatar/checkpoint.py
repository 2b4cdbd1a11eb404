"""The released checkpoint as data: read without running anything in it, every tensor checked by name and shape."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import UserError

IGNORED = ("percep_loss.",)  # networks of a training loss that the release carries along
_AGAIN = "fetch it again with python -m core.assets"
_log = logging.getLogger(__name__)


def read_checkpoint(path: Path) -> tuple[dict[str, Any], Any]:
    """The state dict and the configuration of a checkpoint, mapped from the file. UserError where it is not one."""
    if not path.is_file():
        raise UserError(f"{path}: the published checkpoint is not there; {_AGAIN}, or name it with -r")
    try:
        try:
            stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # only zip archives can be mapped; the older format is read whole
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, zipfile and pickle each raise their own for a damaged file
        reason = str(error).strip().split("\n")[0].split(". ")[0]
        raise UserError(
            f"{path}: not a checkpoint that can be read ({type(error).__name__}: {reason}); {_AGAIN}"
        ) from None
    if not isinstance(stored, dict) or not isinstance(stored.get("model"), dict):
        raise UserError(f"{path}: not the published checkpoint (it has no entry 'model'); {_AGAIN}")
    if not all(isinstance(name, str) for name in stored["model"]):
        raise UserError(f"{path}: not the published checkpoint (its weights have no names); {_AGAIN}")
    return stored["model"], stored.get("meta_cfg")


def fitting_weights(stored: Mapping[str, Any], expected: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The weights that the network needs, as float32. UserError where one is missing, unknown or of another shape.

    What only training reads (`percep_loss.`) is left out by its name.
    """
    kept = {name: value for name, value in stored.items() if not name.startswith(IGNORED)}
    wrong = [
        ("missing", [name for name in expected if name not in kept]),
        ("unexpected", [name for name in kept if name not in expected]),
        ("of another shape or kind", [n for n in kept if n in expected and _difference(kept[n], expected[n])]),
    ]
    found = [f"{len(names)} {what} ({_describe(names[0], kept, expected)})" for what, names in wrong if names]
    if found:
        raise UserError(f"{path}: not the weights of this network: {', '.join(found)}; {_AGAIN}")
    return {name: kept[name].to(torch.float32) for name in expected}


def log_noise_strengths(strengths: list[float]) -> None:
    """How much fixed noise each layer of the upsampler adds: the release does not say, the weights do."""
    _log.info("noise strengths of the upsampler: %s", " ".join(f"{value:.4f}" for value in strengths))


def _difference(value: Any, expected: Tensor) -> bool:
    return not isinstance(value, Tensor) or not value.is_floating_point() or value.shape != expected.shape


def _describe(name: str, kept: Mapping[str, Any], expected: Mapping[str, Tensor]) -> str:
    if name in kept and name in expected:
        came = kept[name]
        came = f"{came.dtype} {tuple(came.shape)}" if isinstance(came, Tensor) else type(came).__name__
        return f"{name}: {came}, expected {tuple(expected[name].shape)}"
    return name
