"""What an ablation runs: pairs of a photo and a driver, and variants of the options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from core.data.image import kind_of
from core.data.loader_track import DriverData
from core.data.upstream_folder import is_upstream
from core.errors import UserError
from core.evaluation.conditions import PARTS, Condition
from core.libs.flame_model import HEAD_TYPES, FlameHead
from core.options import IMPROVEMENTS, Options, short

FIRST_FRAME = "first-frame"  # instead of a photo: the driver's own first frame
OFF, ALL = "off", "all"
ORACLES = TRUE_TRACK, TRUE_PHOTO = "true all", "true photo"  # variants, see `variants_under`
BEST_SMOOTHING, BEST_FILTER = "best smoothing", "best filter"  # oracles too: see `core.evaluation.oracles`
FITTED = (BEST_SMOOTHING, BEST_FILTER)


@dataclass(frozen=True)
class Pair:
    """A photo and the clip that moves it.

    Attributes:
        name: of its files. driver: a video, or a folder that the tracker saved.
        source: a photo; None for the driver's own first frame, which makes it self-reenactment and needs a video.
        head: a file of `tools.build_open_head` in place of the built-in head, such as one made without the driver.
    """

    name: str
    driver: Path
    source: Path | None = None
    head: Path | None = None

    @property
    def same_person(self) -> bool:
        """Whether the clip itself is the truth that the result is compared with."""
        return self.source is None


@dataclass(frozen=True)
class Variant:
    """Options that are changed, under a name.

    Attributes:
        changes: values of `Options` by name.
        true_parameters: what of the driver's track is taken from the clean clip, fields of `TrackedSequence`: an
            oracle, which says how much there is to be had at most. true_photo: the same for the photo.
        fitted: one of `FITTED`: the track or the photo through the filter that is best, as the clean one says.
    """

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    true_parameters: tuple[str, ...] = ()
    true_photo: bool = False
    fitted: str | None = None

    def applied(self, options: Options) -> Options:
        """The options of this variant: all improvements off but for what it changes."""
        everything_off = dict.fromkeys(IMPROVEMENTS, False)
        return replace(options, enhanced=False, **{**everything_off, **self.changes})


def standard_variants() -> tuple[Variant, ...]:
    """Off, each improvement alone, all but each, all."""
    alone = [Variant(short(flag), {flag: True}) for flag in IMPROVEMENTS]
    without = [
        Variant(f"without {short(flag)}", {other: other != flag for other in IMPROVEMENTS}) for flag in IMPROVEMENTS
    ]
    return Variant(OFF), *alone, *without, Variant(ALL, dict.fromkeys(IMPROVEMENTS, True))


_TRUE = {
    "pose": ("transform_matrix", "torso_motion"),
    "expression": ("shapecode", "static_offset", "expcode", "posecode", "mouth_interior"),
    "gaze": ("eyecode",),
}


def variants_under(condition: Condition | None, variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """The variants that a condition is measured with; of a poor driver or photo, oracles of the clean one beside them.

    Under a condition each improvement is tried alone and all together; without, also with each left out.
    """
    if condition is None:
        return tuple(variants)
    kept = [variant for variant in variants if not variant.name.startswith("without ")]
    if condition.kind == "tracking-noise":  # what it adds is known: without it the result is that of the clip as it is
        return tuple(kept)
    if condition.kind == "poor-photo":
        return *kept, Variant(TRUE_PHOTO, true_photo=True), Variant(BEST_FILTER, fitted=BEST_FILTER)
    everything = tuple(name for fields in _TRUE.values() for name in fields)
    whole = Variant(TRUE_TRACK, true_parameters=everything)
    if set(condition.parts) != set(PARTS):
        return *kept, whole
    oracles = [Variant(f"true {name}", true_parameters=fields) for name, fields in _TRUE.items()]
    return *kept, *oracles, whole, Variant(BEST_SMOOTHING, fitted=BEST_SMOOTHING)


def comparisons(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """(label, base, variant) of the differences worth showing among these variants.

    All against off, every other against off; and for each variant `without x`, what x adds when it comes last: all
    against it. Without the variant off there is none.
    """
    pairs = [(ALL, OFF, ALL)] if ALL in names else []
    pairs += [(name, OFF, name) for name in names if name not in (OFF, ALL) and not name.startswith("without ")]
    if ALL in names:
        last = [name for name in names if name.startswith("without ")]
        pairs += [(f"{name.removeprefix('without ')} last", name, ALL) for name in last]
    return [pair for pair in pairs if pair[1] in names]


def make_pair(source: Path | str | None, driver: Path, name: str | None = None) -> Pair:
    """A pair as a user names it; self-reenactment without a photo or with `first-frame`. UserError for wrong files."""
    kind, photo = kind_of(driver), None if source is None or str(source) == FIRST_FRAME else Path(source)
    if kind not in ("video", "folder"):
        raise UserError(f"{driver}: the ablation needs a video as driver, or a tracked folder and a photo")
    if kind == "folder":
        _check_folder(driver)
        if photo is None:
            raise UserError(
                f"{driver} is a tracked folder, without the pictures that self-reenactment is compared with: name a "
                "photo with -i, or give the video"
            )
    if photo is None:
        return Pair(name or driver.stem, driver)
    if kind_of(photo) != "image":
        raise UserError(f"{photo}: give a picture, or {FIRST_FRAME}")
    return Pair(name or f"{photo.stem}-{driver.stem}", driver, photo)


def _check_folder(folder: Path) -> None:
    """UserError where the driver's points cannot be had from a tracked folder."""
    head = FlameHead.kind if is_upstream(folder) else DriverData.from_folder(folder).track.head
    if not HEAD_TYPES[head].has_tracker_mesh:
        raise UserError(
            f"{folder} was tracked for the {head} head, which has too few points to compare: give the video, or a "
            "folder that `python -m core.libs.tracker --save FOLDER VIDEO` makes"
        )


def read_pairs(path: Path) -> list[Pair]:
    """Pairs of a yaml file: a list of `{driver: clip.mp4, source: photo.jpg, name: word, head: head.npz}`, only the
    driver needed.

    Paths in it count from the current folder. UserError where the file cannot be read or is something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read as yaml ({' '.join(str(error).split())})") from error
    if not isinstance(content, list) or not content:
        raise UserError(f"{path}: write a list with one '- driver: clip.mp4' for every pair")
    pairs = []
    for entry in content:
        if not isinstance(entry, dict) or "driver" not in entry or set(entry) - {"driver", "source", "name", "head"}:
            raise UserError(f"{path}: {entry!r} is no pair: it takes driver and, if wanted, source, name and head")
        name, head = (None if entry.get(key) is None else str(entry[key]) for key in ("name", "head"))
        if head is not None and not Path(head).is_file():
            raise UserError(f"{path}: {head} is not there: make it with `python -m tools.build_open_head --out {head}`")
        pair = make_pair(entry.get("source"), Path(str(entry["driver"])), name)
        pairs.append(pair if head is None else replace(pair, head=Path(head)))
    names = [pair.name for pair in pairs]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{path}: two pairs are called {doubled[0]}: give them a name each")
    return pairs
