"""The floors of `ARCHITECTURE.md`, held against what the modules import; and how many loose numbers they have."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| (\d+) \| ((?:`[\w.]+` ?)+)\|", re.M)


def modules() -> dict[str, Path]:
    """Every module of `core` by its name."""
    found = sorted((ROOT / "core").rglob("*.py"))
    return {".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f for f in found}


def imported(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The modules among `known` that a module imports anywhere, those for type checkers alone left out."""

    def names(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert not child.level, f"{name}: imports are absolute here"
                for alias in child.names:
                    whole = f"{child.module}.{alias.name}"
                    yield whole if whole in known else str(child.module)
            yield from names(child)

    return {found for found in names(ast.parse(path.read_text(encoding="utf-8"))) if found in known} - {name}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: imported(name, path, known) for name, path in known.items()}


@pytest.fixture(scope="module")
def floors() -> dict[str, int]:
    """The floor of every package in the table."""
    rows = ROW.findall((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    return {package: int(floor) for floor, packages in rows for package in re.findall(r"`([\w.]+)`", packages)}


def floor_of(module: str, floors: dict[str, int]) -> int:
    """That of the longest package in the table that holds a module; 0 for the packages above these, which are empty."""
    holders = [package for package in floors if f"{module}.".startswith(f"{package}.")]
    if not holders:
        assert module in ("core", "core.libs"), f"{module} is on no floor of ARCHITECTURE.md"
        return 0
    return floors[max(holders, key=len)]


def test_every_package_of_the_table_is_there(floors):
    assert len(floors) > 20
    assert not [package for package in floors if package not in modules()]


def test_nothing_is_imported_from_a_higher_floor(graph, floors):
    upwards = [
        f"{name} ({floor_of(name, floors)}) imports {other} ({floor_of(other, floors)})"
        for name, others in graph.items()
        for other in others
        if floor_of(other, floors) > floor_of(name, floors)
    ]
    assert not upwards


def test_no_two_modules_import_each_other(graph):
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names them


def test_only_the_top_is_above(graph):
    """Nothing in `core` imports the command line, the benchmarks, the demos, the tools or the tests."""
    above = ("inference", "benchmarks", "demos", "examples", "tools", "tests")
    for name, path in modules().items():
        roots = {
            (alias.name if isinstance(node, ast.Import) else str(node.module)).partition(".")[0]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        }
        assert not roots & set(above), name


def test_the_reader_of_imports_sees_what_it_is_for(tmp_path):
    """A planted fault of each kind is found: inside a function, by `from` and by name."""
    source = tmp_path / "x.py"
    source.write_text(
        "def f():\n    from core.libs import b\n    import core.c\nif TYPE_CHECKING:\n    import core.d\n"
    )
    known = {"core.libs.b": source, "core.c": source, "core.d": source}
    assert imported("core.a", source, known) == {"core.libs.b", "core.c"}
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()
    assert floor_of("core.data.video", {"core": 9, "core.data": 2}) == 2


MOST_LOOSE = 100  # fewer than this in all of core


def loose_numbers(path: Path) -> list[str]:
    """The names in capitals that a module assigns a value with a number in it.

    Instances of a `...Settings` class do not count, and neither do tables of indices: four or more whole numbers.
    """
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        value = node.value
        numbers = [
            part.value
            for part in ast.walk(value)
            if isinstance(part, ast.Constant) and type(part.value) in (int, float)
        ]
        is_table = len(numbers) >= 4 and all(type(number) is int for number in numbers)
        is_settings = isinstance(value, ast.Call) and ast.unparse(value.func).endswith("Settings")
        if not numbers or is_table or is_settings:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        found += [t.id for t in targets if isinstance(t, ast.Name) and t.id.lstrip("_").isupper()]
    return found


def test_numbers_are_in_settings():
    """What can be tuned is a field of a frozen `...Settings`, with its unit and where it comes from."""
    loose = {name: found for name, path in modules().items() if (found := loose_numbers(path))}
    most_first = sorted(loose.items(), key=lambda item: -len(item[1]))
    assert sum(map(len, loose.values())) < MOST_LOOSE, "\n".join(f"{name}: {', '.join(n)}" for name, n in most_first)


def test_the_counter_of_loose_numbers_sees_what_it_is_for(tmp_path):
    source = tmp_path / "x.py"
    source.write_text(
        "A = 1\n_B: float = 0.5\nC = {'a': (1, 2.5)}\nD = E = -1\n"  # five loose ones
        "TABLE = (1, 2, 3, 4)\nNAME = 'x'\n_SETTINGS = BlinkSettings(limit=0.2)\nlower = 1\nNONE: int\n"
        "def f():\n    G = 1\n"
    )
    assert loose_numbers(source) == ["A", "_B", "C", "D", "E"]
