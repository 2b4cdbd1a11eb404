"""The Chinese documents say what the English ones say, as far as a machine can see.

Section by section the same levels of headings, code, flags and other inline code, numbers, shapes of tables, and links.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAIRS = [("README.md", "README.zh.md"), ("IMPROVEMENTS_README.md", "IMPROVEMENTS_README.zh.md")]
TRANSLATED = {name: other for pair in PAIRS for name, other in (pair, pair[::-1])}
_NUMBER = re.compile(r"(?<![A-Za-z0-9_.])[-+]?\d*\.?\d+(?:,\d{3})*")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass
class Section:
    """What stands between one heading and the next; comments in code are left out, as they are translated."""

    title: str = ""
    level: int = 0
    code: list[str] = field(default_factory=list)
    tables: list[list[int]] = field(default_factory=list)
    prose: str = ""

    @property
    def inline(self) -> Counter[str]:
        """Code within the prose, which may begin on one line and end on the next."""
        return Counter(re.findall(r"`([^`]+)`", self.prose))

    @property
    def links(self) -> set[str]:
        return {_target(link) for link in _LINK.findall(self.prose)}

    @property
    def numbers(self) -> Counter[str]:
        """Those that are neither in code nor in an address."""
        words = _LINK.sub("]", re.sub(r"`[^`]+`", " ", self.prose))
        return Counter(number.replace(",", "") for number in _NUMBER.findall(words))


def sections(text: str) -> list[Section]:
    """A document's sections."""
    found, fenced, table = [Section()], False, False
    for line in text.splitlines():
        here = found[-1]
        if line.startswith("```"):
            fenced = not fenced
            here.code.append(line)
        elif fenced or line.startswith("    "):
            here.code.append(re.sub(r"\s*#.*", "", line))
        elif match := re.match(r"(#+) (.*)", line):
            found.append(Section(match.group(2), len(match.group(1)), prose=match.group(2)))
        else:
            if line.startswith("|"):
                if not table:
                    here.tables.append([])
                here.tables[-1].append(len(re.findall(r"(?<!\\)\|", line)) - 1)
            here.prose += " " + re.sub(r"^\d+\. ", "", line)  # a list's own numbers are layout
        table = line.startswith("|")
    return found


def _target(link: str) -> str:
    """A link without the language of the page that it leads to; a heading's name is the language's own."""
    page, _, heading = link.partition("#")
    name = next((one for pair in PAIRS for one in pair if page.endswith(one)), None)
    if name is not None:
        page = page.removesuffix(name) + min(name, TRANSLATED[name], key=len)
    return page + ("#" if heading else "")


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_both_say_the_same(english, chinese):
    ours, theirs = (sections((ROOT / name).read_text(encoding="utf-8")) for name in (english, chinese))
    assert [part.level for part in theirs] == [part.level for part in ours]
    for mine, other in zip(ours, theirs, strict=True):
        where = f"{mine.title} / {other.title}"
        assert other.code == mine.code, where
        assert other.tables == mine.tables, where
        for kind in ("inline", "numbers", "links"):
            a, b = getattr(mine, kind), getattr(other, kind)
            assert a == b, f"{where}: {kind}: only in {english}: {a - b}; only in {chinese}: {b - a}"


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_each_leads_to_the_other(english, chinese):
    for name, other in ((english, chinese), (chinese, english)):
        assert other in (ROOT / name).read_text(encoding="utf-8").split("\n## ")[0]


@pytest.mark.parametrize("name", [*sorted(TRANSLATED), "docs/specification.md", "docs/coming-from-gagavatar.md"])
def test_links_lead_somewhere(name):
    document = ROOT / name
    for link in _LINK.findall(document.read_text(encoding="utf-8")):
        page, _, heading = link.partition("#")
        if page.startswith("http"):
            continue
        target = document.parent / page if page else document
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {_anchor(title) for title in titles}, link


def _anchor(title: str) -> str:
    """GitHub's name of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_a_number_a_flag_or_a_row_that_differs_is_seen():
    text = "# A\n\n`--flag` 3.5 [x](README.md#a)\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    one = sections(text)[1]
    assert one.numbers == Counter(["3.5", "1", "2"])
    assert one.tables == [[2, 2, 2]]
    assert one.links == {"README.md#"}
    assert sections(text.replace("3.5", "3.6"))[1].numbers != one.numbers
    assert sections(text.replace("--flag", "--flags"))[1].inline != one.inline
    assert sections(text.replace("| 1 | 2 |\n", ""))[1].tables != one.tables
    assert sections(text.replace("README.md#a", "README.zh.md#甲"))[1].links == one.links
