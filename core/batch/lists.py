"""Lists of jobs: a row of a CSV file, or an entry of a YAML file, is a photo, a driver and what is its own."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from core.batch.settings import BatchSettings
from core.data.yaml_file import YamlSettings, read_yaml
from core.errors import UserError
from core.option_values import checked_values, from_text
from core.options import Options

_SETTINGS = BatchSettings()
_ALIASES = {"photo": "image_path", "image": "image_path", "driver": "driver_path"}


@dataclass(frozen=True)
class Row:
    """A job as a list has it: where it stands, for messages, and its options by name."""

    where: str
    values: dict[str, Any]


def read_list(path: Path, settings: BatchSettings = _SETTINGS) -> list[Row]:
    """The jobs of a list, told from its ending: `.csv`, `.yaml` or `.yml`.

    Columns, or names, are `photo` and `driver`, and any option of `inference.py`; paths count from the current folder.
    UserError where a column is unknown, a value is not what its option takes, a photo or driver is missing, or the same
    photo, driver and options stand there twice.
    """
    if path.suffix.lower() == ".csv":
        entries = _csv(path, settings)
    elif path.suffix.lower() in (".yaml", ".yml"):
        entries = _yaml(path, settings)
    else:
        raise UserError(f"{path} is no list of jobs: give a file that ends in .csv, .yaml or .yml")
    hints = get_type_hints(Options)
    rows = []
    for number, (where, entry) in enumerate(entries):
        if number >= settings.list_rows:
            raise UserError(f"{path} holds more than {settings.list_rows} jobs: cut it up")
        rows.append(_row(where, entry, hints, path.suffix.lower() == ".csv"))
    if not rows:
        raise UserError(f"{path} holds no jobs: write one photo and one driver for each")
    _refuse_twice(rows)
    return rows


def _row(where: str, entry: Mapping[Any, Any], hints: dict[str, Any], texts: bool) -> Row:
    named: dict[Any, Any] = {}
    for key, value in entry.items():
        name = str(key).strip().replace("-", "_")
        name = _ALIASES.get(name, name)
        if name in named:
            raise UserError(f"{where}: {key} is there twice")
        if texts:
            value = value.strip()
            if not value:
                continue  # an empty cell: as if the column were not there
            value = from_text(value, hints[name]) if name in hints else value
        named[name] = value
    values = checked_values(named, hints, where)
    for name, word in (("image_path", "photo"), ("driver_path", "driver")):
        if values.get(name) is None:
            raise UserError(f"{where}: no {word} is given")
    try:
        Options(**values)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return Row(where, values)


def _csv(path: Path, settings: BatchSettings) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            comma = ";" if first.count(";") > first.count(",") else ","
            reader = csv.reader(file, delimiter=comma, strict=True)
            names = [name.strip() for name in next(reader, [])]
            known = {*get_type_hints(Options), *_ALIASES}
            _check_columns(path, names, known)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                where = f"{path}, line {reader.line_num}"
                if len(cells) != len(names):
                    raise UserError(f"{where}: {len(cells)} values for {len(names)} columns")
                yield where, dict(zip(names, cells, strict=True))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({getattr(error, 'strerror', None) or 'not a text file'})") from error
    except csv.Error as error:
        raise UserError(f"{path} is not CSV ({error})") from error


def _check_columns(path: Path, names: list[str], known: Iterable[str]) -> None:
    """UserError where there is no header, or one of its names is no option."""
    plain = [name.replace("-", "_") for name in names]
    for name in ("photo", "driver"):
        if not any(_ALIASES.get(one, one) == _ALIASES[name] for one in plain):
            raise UserError(
                f"{path} has no column {name}: its first line names the columns, of which two are photo, driver"
            )
    twice = next((name for name in plain if plain.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path} has the column {twice} twice")
    wrong = {name: "" for name in plain if _ALIASES.get(name, name) not in set(known)}
    checked_values(wrong, dict.fromkeys(known, str), f"{path}, its columns")


def _yaml(path: Path, settings: BatchSettings) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    content = read_yaml(path, YamlSettings(max_characters=settings.list_characters))
    if not isinstance(content, list):
        raise UserError(f"{path} holds no list: write '- photo: FILE' and '  driver: FILE' for each job")
    for number, entry in enumerate(content, 1):
        where = f"{path}, job {number}"
        if not isinstance(entry, dict):
            raise UserError(f"{where}: this is no 'name: value'")
        yield where, entry


def _refuse_twice(rows: list[Row]) -> None:
    seen: dict[str, str] = {}
    for row in rows:
        same = {**row.values, **{name: Path(row.values[name]).resolve() for name in ("image_path", "driver_path")}}
        key = repr(sorted((name, value) for name, value in same.items() if name != "output"))
        if key in seen:
            raise UserError(f"{row.where}: the same photo, driver and options as {seen[key]}; leave one of the two")
        seen[key] = row.where
