"""A parser of one tool, and how it goes over a block: by its openers, line by line only where it must."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final

from handlers.ci.failures import DETAILS_LIMIT, MESSAGE_LIMIT, Failure, FailureKind, settled_path
from handlers.ci.logs.framing import LONGEST_LINE

Found = Callable[[Failure], None]


class Block:
    """Whole lines of a log, looked through for many words: what two parsers look for is looked for once."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._lacks = tuple(gate for gate in _GATES if gate not in text)
        self._first: dict[bytes, int] = {}

    def find(self, word: bytes, start: int) -> int:
        """Where `word` stands next; beyond every block where it does not."""
        if start:
            found = self.text.find(word, start)
            return _NEVER if found < 0 else found
        if word not in self._first:
            found = -1 if any(gate in word for gate in self._lacks) else self.text.find(word)
            self._first[word] = _NEVER if found < 0 else found
        return self._first[word]


_GATES: Final = (b"rror", b"rror: ", b"rror ", b"FAIL", b"ERROR", b"--", b"==", b".py", b"undefined ")
"""Parts of many openers: where one is not in a block, none of those is."""

_RUNNER: Final = re.compile(r"^##\[(?:error|warning|notice|debug)\]")
_NEVER: Final = 1 << 62
_NUL: Final = "\N{REPLACEMENT CHARACTER}"
"""In the place of NUL, which no database takes as text."""


class Parser(ABC):
    """Finds the failures of one tool. Sees lines in order; keeps what it must remember, bounded.

    While nothing of its tool is at hand it is shown only lines that contain one of `openers`; from then on,
    while `line` answers True, every line. Whatever it is shown may be hostile: its patterns are linear.
    """

    openers: ClassVar[tuple[bytes, ...]]
    wants_before: ClassVar[bool] = False
    """Whether the line before an opener's is shown too, as `self.before`."""

    def __init__(self, found: Found) -> None:
        self.found = found
        self.before = ""
        self.lines = 0
        """How many it was shown."""
        self._is_reading = False

    @abstractmethod
    def line(self, text: str) -> bool:
        """Take one line; True to be given the next one, whatever is in it."""

    def end(self) -> None:  # noqa: B027 - most parsers hold nothing back
        """The log is over: report what was still held back."""

    def scan(self, words: Block, at: Callable[[int], None]) -> None:
        """Go over a block. `at` is told where in it each line that is read begins."""
        position = 0
        block = words.text
        hits = [words.find(opener, 0) for opener in self.openers]
        while position < len(block):
            if not self._is_reading:
                for index, opener in enumerate(self.openers):
                    if hits[index] < position:
                        hits[index] = words.find(opener, position)
                hit = min(hits)
                if hit == _NEVER:
                    return
                position = block.rfind(b"\n", position, hit) + 1 or position
                if self.wants_before and position:
                    self.before = _text(block, block.rfind(b"\n", 0, position - 1) + 1, position - 1)
            end = block.find(b"\n", position)
            if end < 0:
                end = len(block)
            at(position)
            self.lines += 1
            self._is_reading = self.line(_text(block, position, end))
            position = end + 1


def _text(block: bytes, start: int, end: int) -> str:
    text = block[start : min(end, start + LONGEST_LINE)].decode(errors="replace").rstrip().replace("\0", _NUL)
    return _RUNNER.sub("", text, count=1) if text.startswith("##[") else text


class Excerpt:
    """Lines that belong together, as many as `Failure.details` may hold."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._length = 0

    def add(self, line: str) -> None:
        if self._length < DETAILS_LIMIT:
            self._lines.append(line)
            self._length += len(line) + 1

    @property
    def text(self) -> str:
        return "\n".join(self._lines).strip("\n")


def failure(
    tool: str,
    kind: FailureKind,
    message: str,
    *,
    file: str | None = None,
    line: str | int | None = None,
    column: str | int | None = None,
    test: str | None = None,
    details: str = "",
) -> Failure:
    """A failure within its bounds, from what a pattern matched."""
    return Failure(
        tool=tool,
        kind=kind,
        file=settled_path(file)[:_LONGEST_NAME] if file else None,
        line=_number(line),
        column=_number(column),
        test=test[:_LONGEST_NAME] if test else None,
        message=message.strip()[:MESSAGE_LIMIT],
        details=details[:DETAILS_LIMIT],
    )


_LONGEST_NAME: Final = 500
_LARGEST_NUMBER: Final = 10_000_000


def _number(text: str | int | None) -> int | None:
    """A line or column; None for what is none (a log may say anything)."""
    if text is None:
        return None
    digits = str(text)
    if len(digits) > len(str(_LARGEST_NUMBER)) or not digits.isascii() or not digits.isdecimal():
        return None
    return int(digits) or None


_LIBRARY: Final = re.compile(
    r"site-packages|dist-packages|/lib/python\d|<frozen|node_modules|node:internal|/rustc/|/usr/lib/go"
    r"|/hostedtoolcache/go|/src/(?:runtime|testing)/|_testmain\.go$|\.cargo/registry"
)


def is_library(path: str) -> bool:
    """Whether a frame's file belongs to a tool or a library, not to the repository."""
    return _LIBRARY.search(path.replace("\\", "/")) is not None
