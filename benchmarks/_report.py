"""How results are shown: aligned tables, requirements with their verdict, contact sheets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.evaluation.report import contact_sheet, error_image, number, table

__all__ = ["contact_sheet", "error_image", "number", "requirement", "requirements", "table"]


def requirement(name: str, value: float, limit: float, at_least: bool, digits: int = 2) -> list[str]:
    """A row of the table of requirements: what, reached, required, verdict."""
    if not np.isfinite(value):
        return [name, "-", f"{'>=' if at_least else '<='} {limit:g}", "not measured"]
    good = value >= limit if at_least else value <= limit
    return [
        name,
        number(value, digits),
        f"{'>=' if at_least else '<='} {limit:g}",
        "reached" if good else "NOT REACHED",
    ]


def requirements(rows: Sequence[Sequence[str]]) -> str:
    """The table of the rows that `requirement` makes."""
    return table(["requirement", "value", "limit", "verdict"], rows)
