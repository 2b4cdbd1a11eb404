"""The rows of docs/specification.md, who tries them, and the driver that they are tried with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from core.data.records import TrackedSequence
from core.evaluation.setting import first_frames

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs/specification.md"
_ROW = re.compile(r"^\| ([A-Z]\d\d) \| (.*) \| (.*) \| (.*) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """A row: its id, what was said, what holds here, and by what it is tried."""

    id: str
    said: str
    holds: str
    tried: str

    @property
    def code(self) -> str:
        """The first code in what was said, without the backslashes of a command's lines."""
        return re.search(r"`([^`]+)`", self.said).group(1).replace(" \\ ", " ")


def rows() -> dict[str, Row]:
    """All rows by id."""
    found = [Row(*match) for match in _ROW.findall(DOCUMENT.read_text(encoding="utf-8"))]
    return {row.id: row for row in found}


def ids_of(test: str) -> list[str]:
    """The rows that a test of tests/test_specification.py tries."""
    return [row.id for row in rows().values() if row.tried == test]


def short_driver(frames: int) -> TrackedSequence:
    """The first frames of the demo's driver."""
    return first_frames(TrackedSequence.load(ROOT / "demos/drivers/obama"), frames)
