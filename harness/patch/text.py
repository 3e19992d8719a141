"""A file's bytes as lines and back, so that every byte no edit names survives. Knows nothing of patches."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

BYTE_ORDER_MARK: Final = "\ufeff"


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line that was not in the file: it gets the file's preferred ending."""

    text: str


@dataclass(frozen=True, slots=True)
class KeptLine:
    text: str
    ending: str
    """As in the file; empty where the file ends without one."""


@dataclass(frozen=True, slots=True)
class TextFile:
    """The lines of a file with their own endings. Bytes that are no UTF-8 travel as lone surrogates."""

    mark: str
    """The byte order mark, if the file begins with one: no part of its first line."""
    lines: tuple[KeptLine, ...]

    @classmethod
    def from_bytes(cls, data: bytes) -> "TextFile":
        text = data.decode("utf-8", "surrogateescape")
        mark = BYTE_ORDER_MARK if text.startswith(BYTE_ORDER_MARK) else ""
        return cls(mark, tuple(_split(text.removeprefix(mark))))

    def preferred_ending(self) -> str:
        """The ending most lines have; of equals, the one that comes first."""
        counts = Counter(line.ending for line in self.lines if line.ending)
        return counts.most_common(1)[0][0] if counts else "\n"

    def with_lines(self, lines: Sequence[KeptLine | NewLine]) -> bytes:
        """The file with these lines instead; whether it ends with a line ending stays as it is."""
        preferred = self.preferred_ending()
        pieces = [self.mark]
        for line in lines:
            ending = line.ending if isinstance(line, KeptLine) else ""
            pieces += (line.text, ending or preferred)
        if lines and self.lines and not self.lines[-1].ending:
            pieces.pop()
        return "".join(pieces).encode("utf-8", "surrogateescape")


def _split(text: str) -> list[KeptLine]:
    # Where lines end with LF, a lone CR is part of a line (as git has it); else it ends one, as on old Macs.
    parts = re.split("(\r?\n)" if "\n" in text else "(\r)", text)
    lines = [KeptLine(line, ending) for line, ending in zip(parts[0::2], parts[1::2], strict=False)]
    if parts[-1]:
        lines.append(KeptLine(parts[-1], ""))
    return lines
