"""The eight gains that the project was specified with, beside what an ablation measured of them.

    python -m core.evaluation.specification_table FOLDER [FOLDER ...] [--poor] [--into IMPROVEMENTS_README.md]

Reads the table.csv of one or more ablations: all four improvements against none, the mean over clips. Where an ablation
has an oracle, what that gains stands beside as `at most`: with the clean clip's track or photo in place of the poor
one, and `filtered`: with the poor one through the best filter that the clean one can tell. What an oracle does not
reach is out of reach. `--poor` shows what was measured with poor drivers and
photos, without it all else is shown. `--into` puts the table between the marks `<!-- specification table -->` and
`<!-- end of specification table -->` of a document, with `--poor` between those of the `poor table`.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import UserError
from core.evaluation.report import table
from core.evaluation.variants import ALL, FITTED, ORACLES

BEGIN, END = "<!-- specification table -->", "<!-- end of specification table -->"
POOR_BEGIN, POOR_END = "<!-- poor table -->", "<!-- end of poor table -->"


@dataclass(frozen=True)
class SpecifiedGain:
    """What was specified: a gain of `metric` (a key of `statistics.METRICS`), in its unit or in percent of off.

    A negative gain of the speed is a price: it is kept where it costs no more.
    """

    label: str
    metric: str
    gain: float
    percent: bool

    def shown(self, value: float) -> str:
        """A gain in its own unit."""
        return f"{value:+.1f} %" if self.percent else f"{value:+.2f} dB"


SPECIFIED = (
    SpecifiedGain("PSNR", "psnr", 1.5, False),
    SpecifiedGain("SSIM", "ssim", 3.5, True),
    SpecifiedGain("LPIPS, lower", "lpips", 17.9, True),
    SpecifiedGain("temporal stability", "stability", 9.1, True),
    SpecifiedGain("detail fidelity", "detail", 19.4, True),
    SpecifiedGain("expression accuracy (error, lower)", "expression", 15.1, True),
    SpecifiedGain("PSNR of the eyes", "eye_psnr", 2.7, False),
    SpecifiedGain("frames per second", "speed", -26.2, True),
)


def specification_table(*paths: Path, poor: bool = False) -> str:
    """The table as Markdown, from the table.csv of ablations. UserError where one is none.

    `poor`: of the groups with poor drivers and photos, else of all others.
    """
    rows = [row for path in paths for row in _read(path) if row["clip"] == "all" and (" poor " in row["group"]) == poor]
    groups = list(dict.fromkeys(row["group"] for row in rows))
    found = {(row["group"], row["comparison"], row["metric"]): row for row in rows}
    oracles = {row["group"]: row["comparison"] for row in rows if row["comparison"] in ORACLES}
    fitted = {row["group"]: row["comparison"] for row in rows if row["comparison"] in FITTED}
    header = ["", "specified"]
    for group in groups:
        header += [_title(group), "", *(["at most"] if group in oracles else [])]
        header += ["filtered"] if group in fitted else []
    lines = []
    for specified in SPECIFIED:
        cells = [specified.label, specified.shown(specified.gain)]
        for group in groups:
            best = [found.get((group, names[group], specified.metric)) for names in (oracles, fitted) if group in names]
            cells += _measured(specified, found.get((group, ALL, specified.metric)), best)
            cells += [_at_most(specified, row) for row in best]
        lines.append(cells)
    return table(header, lines)


def put_into(document: Path, text: str, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Replace what stands between the marks of a document."""
    content = document.read_text(encoding="utf-8")
    first, last = marks
    before, begin, rest = content.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise UserError(f"{document} has no place for the table: it needs a line {first} and a line {last}")
    document.write_text(f"{before}{first}\n\n{text}\n\n{last}{after}", encoding="utf-8")


def _read(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): run the ablation first") from error
    if not rows or not {"group", "clip", "metric", "comparison", "gain", "low", "high", "base_value"} <= set(rows[0]):
        raise UserError(f"{path} is no table of an ablation")
    return rows


def _title(group: str) -> str:
    return group.replace("tracking noise 0", "with tracking noise").removesuffix(" 0")


def _measured(
    specified: SpecifiedGain, row: dict[str, str] | None, oracles: Sequence[dict[str, str] | None] = ()
) -> tuple[str, str]:
    """A gain with its interval, and whether it reaches what was specified, or could.

    `oracles`: what the clean track or photo would gain, then what the best filter would.
    """
    numbers = _gains(specified, row)
    if numbers is None:
        return "not available", "cannot be measured here"
    gain, low, high = numbers
    text = f"{specified.shown(gain)} [{specified.shown(low)}, {specified.shown(high)}]"
    if gain >= specified.gain:
        return text, "reached"
    for name, oracle in zip(("out of reach", "out of a filter's reach"), oracles, strict=False):
        most = _gains(specified, oracle)
        if most is not None and most[0] < specified.gain and specified.metric != "speed":
            return text, name
    return text, "not reached"


def _at_most(specified: SpecifiedGain, row: dict[str, str] | None) -> str:
    """What an oracle gains: a true track or photo in place of the poor one, without improvements."""
    numbers = _gains(specified, row)
    return "-" if numbers is None or specified.metric == "speed" else specified.shown(numbers[0])


def _gains(specified: SpecifiedGain, row: dict[str, str] | None) -> tuple[float, float, float] | None:
    """Gain and interval in the unit of what was specified; None where they were not measured."""
    numbers = [np.nan] * 4 if row is None else [float(row[name]) for name in ("gain", "low", "high", "base_value")]
    if not np.isfinite(numbers).all():
        return None
    gain, low, high, base = numbers
    scale = 100 / abs(base) if specified.percent else 1.0
    return scale * gain, scale * low, scale * high


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, and put it into a document where one is named."""
    parser = argparse.ArgumentParser(
        prog="python -m core.evaluation.specification_table", description=__doc__.split("\n")[0]
    )
    parser.add_argument("folder", type=Path, nargs="+", help="an ablation's folder")
    parser.add_argument("--into", type=Path, metavar="DOCUMENT", help="a Markdown file that has the marks")
    parser.add_argument("--poor", action="store_true", help="with poor drivers and photos, in place of all else")
    args = parser.parse_args(arguments)
    try:
        text = specification_table(*(folder / "table.csv" for folder in args.folder), poor=args.poor)
        if args.into is not None:
            put_into(args.into, text, (POOR_BEGIN, POOR_END) if args.poor else (BEGIN, END))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
