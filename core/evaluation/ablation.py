"""What each improvement gains, measured on one's own photo and clip.

    python -m core.evaluation.ablation -d DRIVER [-i SOURCE] [--out DIR] [--tracking-noise] [--poor-driver] [--stride N]
    python -m core.evaluation.ablation --pairs FILE.yaml ...

Runs the avatar with all improvements off, with each alone, with each left out and with all, and compares. Without a
photo, or with `-i first-frame`, the driver's own first frame is moved and the clip itself is the truth: self-
reenactment. With a photo it is cross-identity: there is no true picture, and what is compared is what the faces do; the
driver may then be a tracked folder as well, such as demos/drivers/obama.
`--tracking-noise`, `--poor-driver` and `--poor-photo` add the same again under a condition
(`core.evaluation.conditions`; `--poor-driver-parts dropped` is one with dropped frames alone), beside oracles: what
`off` gains where one group of the driver's parameters, or the photo, is that of the clean clip, which is the most that
an improvement of it can gain, and what the best filter of all gains, which was fitted to the truth. Options of a run
(`--model`, ...) may be added and are given to every variant.

Into the folder come table.md, table.csv, metrics.json, gains_*.png, time_*.png, sheet_*.png and off_all_*.mp4. A run
that is finished stays in runs/ and is not made again unless code, options or inputs change.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from core.errors import UserError
from core.evaluation import plots, sheets, tables
from core.evaluation.conditions import KINDS, PARTS, Condition
from core.evaluation.lpips import ALEXNET, LINEAR
from core.evaluation.runner import Opened, Run, open_experiment, plan, run_all
from core.evaluation.setting import Setting
from core.evaluation.statistics import BootstrapSettings
from core.evaluation.tables import Group, Row
from core.evaluation.variants import (
    ALL,
    FIRST_FRAME,
    OFF,
    TRUE_TRACK,
    Pair,
    Variant,
    make_pair,
    read_pairs,
    standard_variants,
    variants_under,
)

OUT = Path("render_results/ablation")
EACH = "each"  # part of a poor driver, one by one


def ablate(
    pairs: Sequence[Pair],
    out: Path = OUT,
    conditions: Sequence[Condition] = (),
    variants: Sequence[Variant] | None = None,
    *,
    stride: int = 4,
    frames: int | None = None,
    arguments: Sequence[str] = (),
    lpips_weights: Path | None = None,
    workers: int = 2,
    seed: int = 0,
    quiet: bool = False,
    oracles: bool = True,
    opener: Callable[..., Opened] = open_experiment,
) -> list[Row]:
    """Run an ablation and write everything into a folder.

    Args:
        pairs: what is rendered. out: the folder. conditions: under which all is measured again.
        variants: the standard ones by default; any others with `off` among them do as well.
        stride, frames: see `Setting`. arguments: options of the command line for every variant.
        lpips_weights: see `Setting`.
        workers: processes side by side. seed: of the bootstrap. quiet: without a progress bar.
        oracles: whether those of a condition are measured beside the variants.
        opener: gives the experiment of a setting, to measure with another tracker or other components.
    Returns:
        The comparisons, as they stand in table.csv.
    """
    variants = tuple(variants or standard_variants())
    if OFF not in (variant.name for variant in variants):
        raise UserError(f"nothing to compare with: keep {OFF!r} among the variants")
    settings = [
        Setting(pair, condition, stride, frames, tuple(arguments), lpips_weights)
        for condition in (None, *conditions)
        for pair in pairs
    ]
    runs = []
    for setting in settings:
        measured = variants_under(setting.condition, variants)
        runs += plan([setting], [one for one in measured if oracles or one in variants], out)
    _make_folder(out)
    run_all(runs, workers, quiet, opener)
    return show(runs, out, seed)


def show(runs: Sequence[Run], out: Path, seed: int = 0) -> list[Row]:
    """Write tables, plots, sheets and videos of finished runs; returns the comparisons."""
    groups = _groups(runs)
    rows = [row for group in groups for row in tables.compare_all(group, seed)]
    about = "Made by `python -m core.evaluation.ablation`, clips: " + ", ".join(
        dict.fromkeys(run.setting.pair.name for run in runs)
    )
    some = runs[0].setting
    about += f"; every {_ordinal(some.stride)} frame compared with the true picture, every frame tracked again."
    (out / "table.md").write_text(tables.markdown(groups, rows, about), encoding="utf-8")
    tables.write_csv(out / "table.csv", rows)
    settings = {"stride": some.stride, "frames": some.frames, "arguments": list(some.arguments), "seed": seed}
    tables.write_json(out / "metrics.json", groups, rows, settings)
    for group in groups:
        plots.plot_gains(out / f"gains_{group.title.replace(' ', '-').replace(',', '')}.png", group, rows)
    for name, members in _by_setting(runs).items():
        columns, folders = _columns(members), {run.variant.name: run.folder for run in members}
        plots.plot_time(out / f"time_{name}.png", name, columns, float(columns[OFF]["fps"]))
        sheets.contact_sheet(out / f"sheet_{name}.png", folders)
        if ALL in folders:
            sheets.side_by_side(out / f"off_all_{name}.mp4", folders[OFF], folders[ALL])
    return rows


def _groups(runs: Sequence[Run]) -> list[Group]:
    """Settings of one kind: self-reenactment or cross-identity, as they are or under a condition."""
    kinds: dict[str, list[Run]] = {}
    for run in runs:
        kind = "self-reenactment" if run.setting.pair.same_person else "cross-identity"
        kind += "" if run.setting.pair.head is None else " with a head of other people"
        condition = run.setting.condition
        kinds.setdefault(kind if condition is None else f"{kind}, {condition.title}", []).append(run)
    clean = {_whose(run): run for run in runs if run.setting.condition is None and run.variant.name == OFF}
    groups = []
    for title, members in kinds.items():
        results = {name: _columns(of_setting) for name, of_setting in _by_setting(members).items()}
        for run in members:  # without its noise a track is that of the clip as it is
            noisy = run.setting.condition is not None and run.setting.condition.kind == "tracking-noise"
            if noisy and TRUE_TRACK not in results[run.setting.name] and _whose(run) in clean:
                results[run.setting.name][TRUE_TRACK] = clean[_whose(run)].columns()
        blocks = {name: _block(runs[OFF]) for name, runs in results.items()}
        groups.append(Group(title, results, blocks, members[0].setting.pair.same_person))
    return groups


def _whose(run: Run) -> tuple[Pair, int, int | None]:
    """What two runs have in common that differ in condition and variant alone."""
    return run.setting.pair, run.setting.stride, run.setting.frames


def _block(columns: tables.Columns) -> int:
    """Frames that the bootstrap draws together."""
    return BootstrapSettings().block(len(columns["ms"]), float(columns["fps"]))


def _by_setting(runs: Sequence[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.setting.name, []).append(run)
    return found


def _columns(runs: Sequence[Run]) -> dict[str, tables.Columns]:
    return {run.variant.name: run.columns() for run in runs}


def _ordinal(n: int) -> str:
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return "single" if n == 1 else f"{n}{ending}"


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out} cannot be made ({error.strerror}): write somewhere else with --out") from error


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see --help)")


def build_parser() -> argparse.ArgumentParser:
    """The command line; what it does not know goes to the options of the runs."""
    parser = _Parser(
        prog="python -m core.evaluation.ablation",
        description=__doc__.split("\n")[0],
        allow_abbrev=False,
        epilog="Options of inference.py, such as --model, may be added; every variant gets them.",
    )
    parser.add_argument("-i", "--source", metavar="PHOTO", help=f"a photo, or {FIRST_FRAME} (default): the driver's")
    parser.add_argument(
        "-d", "--driver", type=Path, metavar="DRIVER", help="what moves it: a video, or a tracked folder"
    )
    parser.add_argument("--pairs", type=Path, metavar="FILE.yaml", help="several pairs: a list of driver, source, name")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"where to write (default: {OUT})")
    for kind, what in (
        ("tracking-noise", "with noise on the driver's track"),
        ("poor-driver", "with the clip as a poor camera gives it, tracked afresh"),
        ("poor-photo", "with a photo of a third of its size, blurred and strongly compressed"),
    ):
        parser.add_argument(
            f"--{kind}", type=int, nargs="?", const=0, metavar="SEED", help=f"also {what} (default seed: 0)"
        )
    parser.add_argument(
        "--poor-driver-parts",
        nargs="+",
        choices=[*PARTS, EACH],
        default=PARTS,
        metavar="PART",
        help=f"what makes that clip poor, of {', '.join(PARTS)} (default: all of them at once); {EACH}: one by one",
    )
    parser.add_argument(
        "--stride",
        type=_positive,
        default=4,
        metavar="N",
        help="compare every N-th picture with the true one (default: 4)",
    )
    parser.add_argument("--frames", type=_positive, metavar="N", help="only the first N frames of every driver")
    names = [variant.name for variant in standard_variants()]
    parser.add_argument(
        "--variants", nargs="+", choices=names, metavar="NAME", help=f"only some of: {', '.join(names)}"
    )
    parser.add_argument(
        "--lpips-weights", type=Path, metavar="FOLDER", help=f"measure LPIPS too, with {ALEXNET} and {LINEAR} there"
    )
    parser.add_argument("--workers", type=_positive, default=2, metavar="N", help="processes side by side (default: 2)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap (default: 0)")
    parser.add_argument("--no-oracles", action="store_true", help="only the variants, also under a condition")
    parser.add_argument("--quiet", action="store_true", help="print nothing but the table and errors")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _conditions(args: argparse.Namespace) -> list[Condition]:
    """What the command line asks for."""
    found = []
    for kind in KINDS:
        if (seed := getattr(args, kind.replace("-", "_"))) is None:
            continue
        if kind != "poor-driver":
            found.append(Condition(kind, seed))
        elif EACH in args.poor_driver_parts:
            found += [Condition(kind, seed, (part,)) for part in PARTS]
        else:
            found.append(Condition(kind, seed, tuple(args.poor_driver_parts)))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    try:
        args, rest = build_parser().parse_known_args(arguments)
        if (args.pairs is None) == (args.driver is None):
            raise UserError("give a driver with -d, or several pairs with --pairs FILE.yaml (see --help)")
        if args.pairs is not None and args.source is not None:
            raise UserError("-i goes with -d; in a file of pairs each pair names its own source")
        pairs = read_pairs(args.pairs) if args.pairs else [make_pair(args.source, args.driver)]
        variants = [v for v in standard_variants() if args.variants is None or v.name in args.variants]
        start = time.perf_counter()
        ablate(
            pairs,
            args.out,
            _conditions(args),
            variants,
            stride=args.stride,
            frames=args.frames,
            arguments=rest,
            lpips_weights=args.lpips_weights,
            workers=args.workers,
            seed=args.seed,
            quiet=args.quiet,
            oracles=not args.no_oracles,
        )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print((args.out / "table.md").read_text(encoding="utf-8"))
    print(f"{args.out}: written in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
