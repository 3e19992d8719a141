"""What a repository's `.gitattributes` say of files that nobody wrote by hand, or whose diff nobody shows.

Of https://git-scm.com/docs/gitattributes only `diff`, `binary` and, by
https://github.com/github-linguist/linguist/blob/main/docs/overrides.md, `linguist-generated` and
`linguist-vendored` are read. In patterns a backslash stands for itself.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from handlers.globs import names

FILE: Final = ".gitattributes"
MOST_RULES: Final = 500
"""Of one file: the last ones, which outweigh those before."""

Mark: TypeAlias = Literal["generated", "vendored", "no diff", "by hand"]
"""`by hand`: it is read whatever its name looks like."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A line that says something of interest."""

    folder: str
    """Where the file lies: paths are taken from there; empty at the top."""
    pattern: str
    says: tuple[tuple[str, bool | None], ...]
    """Attributes that are set, unset, or None: as if nothing had been said of them."""


def parse_attributes(text: str, folder: str = "") -> list[Rule]:
    """The rules of one file. What cannot be read says nothing: git passes it over as well."""
    rules = []
    for line in text.splitlines():
        pattern, rest = _pattern_of(line.strip())
        says = tuple(found for word in rest.split() if (found := _said(word)) is not None)
        if says and pattern and not pattern.startswith("!"):
            rules.append(Rule(folder, pattern, says))
    return rules[-MOST_RULES:]


def _pattern_of(line: str) -> tuple[str, str]:
    """A line's pattern and its attributes; empty for a comment and for the definition of a macro."""
    if line.startswith(("#", "[attr]")):
        return "", ""
    if (quoted := _QUOTED.match(line)) is not None:
        return re.sub(r'\\(["\\])', r"\1", quoted[1]), line[quoted.end() :]
    pattern, *rest = line.split(maxsplit=1) or [""]
    return pattern, rest[0] if rest else ""


_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"(?=\s)')


def _said(word: str) -> tuple[str, bool | None] | None:
    """What one word says of an attribute that is read here."""
    name, is_valued, value = word.lstrip("-!").partition("=")
    if name == "binary" and name == word:
        # Git's own macro: `-diff -merge -text`.
        return "diff", False
    if name not in _READ:
        return None
    if word.startswith("!"):
        return name, None
    is_off = word.startswith("-") or (name != "diff" and bool(is_valued) and value.casefold() == "false")
    return name, not is_off


_READ: Final = frozenset(("linguist-generated", "linguist-vendored", "diff"))


def marks_of(paths: Iterable[str], rules: Sequence[Rule]) -> dict[str, Mark]:
    """What the `rules` say of each of `paths`, of which they say something.

    The last rule outweighs those before it, and one in a folder those above it.
    """
    nearest_last = sorted(rules, key=lambda rule: rule.folder.count("/") + bool(rule.folder))
    marks: dict[str, Mark] = {}
    for path in paths:
        said: dict[str, bool | None] = {}
        for rule in nearest_last:
            if _is_meant(path, rule):
                said |= dict(rule.says)
        mark = _mark(said)
        if mark is not None:
            marks[path] = mark
    return marks


def _is_meant(path: str, rule: Rule) -> bool:
    if not rule.folder:
        return names(path, rule.pattern)
    inside = path.removeprefix(f"{rule.folder}/")
    return inside != path and names(inside, rule.pattern)


def _mark(said: dict[str, bool | None]) -> Mark | None:
    if said.get("linguist-generated"):
        return "generated"
    if said.get("linguist-vendored"):
        return "vendored"
    if said.get("diff") is False:
        return "no diff"
    is_said = said.get("linguist-generated") is False or said.get("linguist-vendored") is False
    return "by hand" if is_said else None


def governing(found: Iterable[str], paths: Iterable[str]) -> list[str]:
    """Those of the attribute files `found` that stand above one of `paths`."""
    folders = {path[:end] for path in paths for end in _slashes(path)} | {""}
    return [file for file in found if file.rpartition("/")[0] in folders]


def _slashes(path: str) -> list[int]:
    return [at for at, letter in enumerate(path) if letter == "/"]
