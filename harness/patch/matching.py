"""Finds the lines of a chunk in a file: exactly, else by ever more forgiving comparison. Changes nothing."""

from collections.abc import Callable, Sequence
from typing import Final

# Models write typographic characters where the file has plain ones, and the other way round.
PLAIN: Final = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u2018\u2019\u201a\u201b", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f", '"')
    | dict.fromkeys("\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " ")
)


def _exact(line: str) -> str:
    return line


def _plain(line: str) -> str:
    return line.strip().translate(PLAIN)


LEVELS: Final[tuple[Callable[[str], str], ...]] = (_exact, str.rstrip, str.strip, _plain)
"""How two lines are compared, strictest first. Each level looks through the whole file before the next."""


class Haystack:
    """The lines of one file, ready to be searched at every level. Each level is made when first needed."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._levels: dict[int, list[str]] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> str:
        return self._lines[index]

    def find(self, wanted: Sequence[str], *, start: int, at_end: bool = False) -> int | None:
        """Where `wanted` (not empty) stands at or after `start`; with `at_end`, as the last lines only."""
        for number, level in enumerate(LEVELS):
            lines = self._at(number)
            needle = [level(line) for line in wanted]
            earliest = max(start, len(lines) - len(needle)) if at_end else start
            position, count = _longest_beginning(lines, needle, earliest)
            if count == len(needle):
                return position
        return None

    def longest_beginning(self, wanted: Sequence[str]) -> tuple[int, int]:
        """Where most of the first lines of `wanted` stand, and how many of them: for messages to people."""
        return _longest_beginning(self._at(len(LEVELS) - 1), [_plain(line) for line in wanted], 0)

    def _at(self, number: int) -> list[str]:
        if number not in self._levels:
            level = LEVELS[number]
            self._levels[number] = [level(line) for line in self._lines]
        return self._levels[number]


def _longest_beginning(lines: Sequence[str], needle: Sequence[str], start: int) -> tuple[int, int]:
    """Knuth, Morris, Pratt: linear also where a patch of a thousand equal lines meets a file of a million."""
    fallbacks = _fallbacks(needle)
    position, longest, count = start, 0, 0
    for index in range(start, len(lines)):
        while count and lines[index] != needle[count]:
            count = fallbacks[count]
        if lines[index] == needle[count]:
            count += 1
        if count > longest:
            position, longest = index - count + 1, count
        if count == len(needle):
            break
    return position, longest


def _fallbacks(needle: Sequence[str]) -> list[int]:
    """For each number of matched lines: how many still match when the beginning moves on."""
    fallbacks = [0] * (len(needle) + 1)
    count = 0
    for index in range(1, len(needle)):
        while count and needle[index] != needle[count]:
            count = fallbacks[count]
        if needle[index] == needle[count]:
            count += 1
        fallbacks[index + 1] = count
    return fallbacks
