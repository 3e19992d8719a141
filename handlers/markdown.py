"""Where code ends and prose begins in GitHub's Markdown. Never renders, never rewrites.

The block structure comes from a CommonMark parser, never from patterns over lines: a bot that disagrees with
GitHub on what is code or a quote can be made to obey, or to say, what nobody sees.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token


class RegionKind(StrEnum):
    PROSE = "prose"
    TABLE = "table"
    CODE = "code"
    HTML = "html"
    DEFINITION = "definition"
    """A link definition: never shown."""
    BLANK = "blank"


@dataclass(frozen=True, slots=True)
class Region:
    """Whole source lines of one kind; prose is one block (a code span cannot reach beyond it)."""

    kind: RegionKind
    text: str


@dataclass(frozen=True, slots=True)
class CodeSpan:
    start: int
    end: int


def normalised(text: str) -> str:
    """`text` with the line ends that a CommonMark parser sees."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_blocks(text: str) -> Sequence[Token]:
    """The block tokens of normalised text, as GitHub structures it; inline tokens hold their source."""
    return _parser().parse(text)


def split_regions(text: str) -> list[Region]:
    """Normalised `text` as regions; their texts joined by newlines are `text` again."""
    lines = text.split("\n")
    owners = _owners(text, len(lines))
    found: list[Region] = []
    start = 0
    for index in range(1, len(lines) + 1):
        if index < len(lines) and owners[index] == owners[start]:
            continue
        block = "\n".join(lines[start:index])
        found.append(Region(owners[start][0], block))
        start = index
    return found


def code_spans(prose: str) -> list[CodeSpan]:
    """The inline code of one prose region, by CommonMark's rule of equal backtick runs."""
    runs = [
        (match.start(), match.end())
        for match in _TICKS_OR_ESCAPE.finditer(prose)
        if not match.group().startswith("\\")
    ]
    spans: list[CodeSpan] = []
    # A backslash does not escape inside code, so closing runs are looked for among all runs.
    closers: dict[int, list[int]] = {}
    for match in _TICKS.finditer(prose):
        closers.setdefault(len(match.group()), []).append(match.start())
    position = 0
    for start, end in runs:
        if start < position:
            continue
        waiting = closers.get(end - start, [])
        while waiting and waiting[0] < end:
            waiting.pop(0)
        if waiting:
            position = waiting[0] + end - start
            spans.append(CodeSpan(start, position))
    return spans


def without_comments(html: str, *, openers: Mapping[str, str] = MappingProxyType({"<!--": "-->"})) -> str:
    """`html` without comments (or whatever else `openers` open and close); an open end is left alone."""
    kept: list[str] = []
    position = 0
    # Found by hand: a pattern looks for the end anew from every beginning that has none.
    never_closed: set[str] = set()
    for match in re.finditer("|".join(re.escape(opener) for opener in openers), html):
        opener = match.group()
        if match.start() < position or opener in never_closed:
            continue
        end = html.find(openers[opener], match.start() + len(opener) - _OVERLAP.get(opener, 0))
        if end < 0:
            never_closed.add(opener)
            continue
        kept.append(html[position : match.start()])
        position = end + len(openers[opener])
    return "".join([*kept, html[position:]])


# `<!-->` and `<!--->` are whole comments.
_OVERLAP: Final = {"<!--": 2}


def open_fence(text: str) -> str:
    """The fence that `text` leaves open, so that it would swallow what comes next; else empty."""
    following = split_regions(f"{normalised(text)}\n\nnext")[-1]
    if following.kind is not RegionKind.CODE:
        return ""
    fences = [token.markup for token in parse_blocks(normalised(text)) if token.type == "fence"]
    return fences[-1] if fences else ""


def fence_for(text: str, *, at_least: int = 3) -> str:
    """A run of backticks that nothing in `text` can close."""
    longest = max((len(match.group()) for match in _TICKS.finditer(text)), default=0)
    return "`" * max(at_least, longest + 1)


_TICKS: Final = re.compile(r"`+")
_TICKS_OR_ESCAPE: Final = re.compile(r"\\[\\`]|`+")

_Owner = tuple[RegionKind, int]


def _owners(text: str, count: int) -> list[_Owner]:
    """For each line, the kind and the number of the block that it belongs to."""
    owners: list[_Owner | None] = [None] * count
    for number, token in enumerate(parse_blocks(text)):
        kind = _LEAVES.get(token.type)
        if kind is None or token.map is None:
            continue
        for line in range(token.map[0], min(token.map[1], count)):
            owners[line] = owners[line] or (kind, number)
    lines = text.split("\n")
    return [
        owner if owner is not None else _owner_of_gap(line) for owner, line in zip(owners, lines, strict=True)
    ]


_LEAVES: Final = {
    "fence": RegionKind.CODE,
    "code_block": RegionKind.CODE,
    "html_block": RegionKind.HTML,
    "table_open": RegionKind.TABLE,
    "inline": RegionKind.PROSE,
}


def _owner_of_gap(line: str) -> _Owner:
    """A line that holds no text of a block: blank, a rule, a bare marker, or a definition (shown nowhere)."""
    if not line.strip(" \t>") or _MARKS_ONLY.fullmatch(line):
        return (RegionKind.BLANK, -1)
    return (RegionKind.DEFINITION, -2)


_MARKS_ONLY: Final = re.compile(r"[ \t>]*(?:\d{1,9}[.)]|[^\w\[])*[ \t]*")


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    # Blocks only: inline tokens have no source positions, and cost 30 times as much (measured).
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser
