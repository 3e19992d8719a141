"""Patterns of paths as people write them: `docs/**`, `*.lock`, `src/*/generated/`. Linear in the path."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase


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


def is_among(path: str, patterns: Iterable[str]) -> bool:
    return any(matches(path, pattern) for pattern in patterns)


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """By the set of places in the pattern that the parts so far can have led to."""
    places = _closed({0}, wanted)
    for part in parts:
        stepped = {place for place in places if place < len(wanted) and wanted[place] == "**"}
        stepped |= {
            place + 1
            for place in places
            if place < len(wanted) and wanted[place] != "**" and fnmatchcase(part, wanted[place])
        }
        places = _closed(stepped, wanted)
        if len(wanted) in places:
            # The pattern is used up: what lies below what it names is meant, too.
            return True
    return len(wanted) in places


def _closed(places: set[int], wanted: Sequence[str]) -> set[int]:
    """With the places that are reached because `**` may be no part at all."""
    found = set(places)
    for place in sorted(places):
        at = place
        while at < len(wanted) and wanted[at] == "**":
            at += 1
            found.add(at)
    return found
