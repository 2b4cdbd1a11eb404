"""The figures of `benchmarks.looks` as text: a summary with limits, and every photo and driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks import _report as report
from benchmarks._looks_parts import AMPLITUDES, MOUTH, mean

Figures = Mapping[str, Mapping[str, Mapping[str, float]]]  # by side, what they are of, name

LIMITS: dict[str, tuple[float | None, float | None]] = {
    "contrast": (0.6, None),
    "flat": (None, 0.35),
    "lids": (0.85, 1.15),
    "gaze": (0.85, 1.15),
    "mouth, wide": (0.85, None),
    "lids, enhanced": (0.85, 1.15),
    "gaze, enhanced": (0.85, 1.15),
}
_PARTS = {
    "inside the lips": MOUTH,
    "amplitudes": AMPLITUDES,
    "amplitudes, enhanced": tuple(f"{name}, enhanced" for name in AMPLITUDES),
    "outline and matte": ("dark line", "dark line, rest", "stairs", "stairs, rest", "unconnected", "faint"),
    "flicker": ("flicker", "flicker, peak"),
}
_DIGITS = dict.fromkeys(("dark line", "dark line, rest", "stairs", "stairs, rest", "flicker, peak"), 1)
_DIGITS |= {"unconnected": 4, "faint": 4}


def text(figures: Figures, against: str | None, mirrored: Mapping[str, Mapping[str, float]] | None = None) -> str:
    """Every table, the summary first, at the end what a driver's own pictures are measured as when mirrored."""
    sides = list(figures)
    found = [[name for name in names if any(_values(figures, sides[-1], name))] for names in _PARTS.values()]
    heading = [f"{side} ({against})" if side == "before" and against else side for side in sides]
    summary = [row for names in found for name in names for row in [_summary(figures, sides, name)]]
    blocks = [report.table(["mean over all", *heading, "limit", "within, of all"], summary)]
    for title, names in zip(_PARTS, found, strict=True):
        if names:
            blocks.append(_details(figures, sides, title, names))
    if mirrored:
        rows = [
            [driver, *(report.number(values[name]) for name in ("lids", "gaze"))] for driver, values in mirrored.items()
        ]
        blocks.append(report.table(["a driver's own pictures, mirrored", "lids", "gaze"], rows))
    return "\n\n".join(blocks)


def _summary(figures: Figures, sides: Sequence[str], name: str) -> list[str]:
    values = {side: _values(figures, side, name) for side in sides}
    low, high = LIMITS.get(name, (None, None))
    limit = " ".join([*([f">= {low:g}"] if low is not None else []), *([f"<= {high:g}"] if high is not None else [])])
    inside = [(low is None or v >= low) and (high is None or v <= high) for v in values[sides[-1]]]
    share = f"{sum(inside)} of {len(inside)}" if limit else f"{len(inside)}"
    return [name, *(report.number(mean(values[s]), _digits(name)) for s in sides), limit or "-", share]


def _details(figures: Figures, sides: Sequence[str], title: str, names: Sequence[str]) -> str:
    rows = []
    for of in figures[sides[-1]]:
        if not any(name in figures[sides[-1]][of] for name in names):
            continue
        values = [figures[side].get(of, {}).get(name, float("nan")) for name in names for side in sides]
        digits = [_digits(name) for name in names for _ in sides]
        rows.append([of, *(report.number(v, d) for v, d in zip(values, digits, strict=True))])
    columns = [f"{name}{', before' if side != sides[-1] else ''}" for name in names for side in sides]
    return report.table([title, *columns], rows)


def _values(figures: Figures, side: str, name: str) -> list[float]:
    found = [of[name] for of in figures[side].values() if name in of]
    return [v for v in found if v == v]  # NaN: nothing to measure


def _digits(name: str) -> int:
    return _DIGITS.get(name, 2)
