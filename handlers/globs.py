"""Patterns of paths as people write them: `docs/**`, `*.lock`, `src/*/generated/`. Linear in the path."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final


def matches(path: str, pattern: str) -> bool:
    """Whether the pattern names the path, or a directory that it lies in.

    `*` and `?` stay within one part of a path, `**` is any number of parts. A pattern without a slash is
    about the last part, wherever it lies, as in a `.gitignore`.
    """
    parts = path.split("/")
    wanted = pattern.strip("/").split("/")
    if len(wanted) == 1 and wanted[0] != "**" and not pattern.startswith("/"):
        return any(fnmatchcase(part, wanted[0]) for part in parts)
    return _matches(parts, wanted)


def names(path: str, pattern: str) -> bool:
    """`matches` for the path itself: what names a directory says nothing of what lies in it.

    So are patterns held in a `.gitattributes`, where one that ends in a slash names nothing.
    https://git-scm.com/docs/gitattributes#_description
    """
    wanted, literal = _taken_apart(pattern)
    parts = path.split("/")
    if not wanted or not literal.issubset(parts):
        return False
    if wanted[-1] != "**" and not fnmatchcase(parts[-1], wanted[-1]):
        return False
    if len(wanted) == 1 and not pattern.startswith("/"):
        return True
    return len(wanted) in _reached(parts, wanted)


@lru_cache(maxsize=1024)
def _taken_apart(pattern: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """The parts of a pattern for `names`, and those of them that stand for themselves."""
    if pattern.endswith("/"):
        return (), frozenset()
    wanted = tuple(pattern.lstrip("/").split("/"))
    if wanted[-1] == "**" and len(wanted) > 1:
        # All below a directory: not a file of the directory's name.
        wanted = (*wanted, "*")
    return wanted, frozenset(part for part in wanted if not _SIGNS.intersection(part))


_SIGNS: Final = frozenset("*?[")


def is_among(path: str, patterns: Iterable[str]) -> bool:
    return any(matches(path, pattern) for pattern in patterns)


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """By the set of places in the pattern that the parts so far can have led to."""
    places = _closed({0}, wanted)
    for part in parts:
        places = _closed(_stepped(part, places, wanted), wanted)
        if len(wanted) in places:
            # The pattern is used up: what lies below what it names is meant, too.
            return True
    return len(wanted) in places


def _reached(parts: Sequence[str], wanted: Sequence[str]) -> set[int]:
    """The places in the pattern that all of the parts together can have led to."""
    places = _closed({0}, wanted)
    for part in parts:
        places = _closed(_stepped(part, places, wanted), wanted)
        if not places:
            break
    return places


def _stepped(part: str, places: set[int], wanted: Sequence[str]) -> set[int]:
    stepped = {place for place in places if place < len(wanted) and wanted[place] == "**"}
    return stepped | {
        place + 1
        for place in places
        if place < len(wanted) and wanted[place] != "**" and fnmatchcase(part, wanted[place])
    }


def _closed(places: set[int], wanted: Sequence[str]) -> set[int]:
    """With the places that are reached because `**` may be no part at all."""
    found = set(places)
    for place in sorted(places):
        at = place
        while at < len(wanted) and wanted[at] == "**":
            at += 1
            found.add(at)
    return found
