"""A job's log, read once as it streams by: failures, the runner's complaints, the lines that show them."""

from collections.abc import Iterable
from typing import Final

from handlers.ci.failures import MOST_FAILURES, Failure, JobLog
from handlers.ci.logs.framing import LONGEST_LINE, Framing
from handlers.ci.logs.parsing import Block
from handlers.ci.logs.registry import PARSERS

LIMIT: Final = 200 * 1024 * 1024
"""Bytes of one log that are read when the caller says nothing else."""
TAIL: Final = 16 * 1024
"""Bytes of the log's end that are kept."""
_BEFORE: Final = 2 * 1024
_AFTER: Final = 6 * 1024
_MOST_TOLD: Final = 2_000
"""Failures of one tool that are looked at, repeats included."""
_MOST_LINES: Final = 1_000_000
"""Lines that one parser is shown, some seconds of work."""
_COMPLAINT: Final = b"##[error]"
_MOST_COMPLAINTS: Final = 20


class LogReader:
    """Give it the log's bytes as they come, cut anywhere; then `close`. Memory does not grow with the log."""

    def __init__(self, *, limit: int = LIMIT) -> None:
        self._limit = limit
        self._read = 0
        self._unread = 0
        self._framing = Framing()
        self._parsers = {parser(self._found): 0 for parser in PARSERS}
        """Each with how many failures it told."""
        self._told = 0
        """What the parser at work told."""
        self._failures: dict[tuple[str, int | None, int | None], tuple[int, Failure]] = {}
        self._more: set[str] = set()
        self._complaints: dict[str, None] = {}
        self._clean = 0
        """Clean bytes before the current block: with a position in it, the place in the whole."""
        self._block = b""
        self._line = 0
        self._opened: tuple[int, str] | None = None
        """Place and surroundings of the failure that stands first."""
        self._complained = ""
        self._tail = b""

    def feed(self, chunk: bytes) -> None:
        """Read on. What lies beyond the limit is counted and not looked at."""
        kept = chunk[: max(self._limit - self._read, 0)]
        self._read += len(kept)
        self._unread += len(chunk) - len(kept)
        for block in self._framing.feed(kept):
            self._scan(block)

    def close(self) -> JobLog:
        """What was found. The reader is of no use afterwards."""
        last = self._framing.close()
        if last:
            self._scan(last)
        for parser, told in self._parsers.items():
            self._told = told
            parser.end()
        in_order = sorted(self._failures.values(), key=lambda one: one[0])
        return JobLog(
            failures=tuple(failure for _, failure in in_order),
            more_failures=len(self._more),
            complaints=tuple(self._complaints),
            around=self._opened[1] if self._opened else self._complained,
            tail=_shown(self._tail[self._tail.find(b"\n") + 1 :] if len(self._tail) == TAIL else self._tail),
            read=self._read,
            unread=self._unread,
        )

    def _scan(self, block: bytes) -> None:
        self._block = block
        words = Block(block)
        for parser, told in self._parsers.items():
            self._told = told
            parser.scan(words, self._at)
            self._parsers[parser] = self._told
        self._retire()
        if _COMPLAINT in block:
            self._complain(block)
        self._tail = (self._tail + block[-TAIL:])[-TAIL:]
        self._clean += len(block)

    def _retire(self) -> None:
        """Let go of parsers that were shown more than a tool writes of failures: it may go on for ever."""
        done = [
            parser
            for parser, told in self._parsers.items()
            if told > _MOST_TOLD or parser.lines > _MOST_LINES
        ]
        for parser in done:
            self._told = self._parsers.pop(parser)
            parser.end()

    def _at(self, position: int) -> None:
        self._line = position

    def _found(self, failure: Failure) -> None:
        self._told += 1
        if self._told > _MOST_TOLD:
            return
        key = (failure.fingerprint, failure.line, failure.column)
        place = self._clean + self._line
        if key in self._failures:
            # Told twice: once as it happened and once in a summary. The one that shows more is kept.
            first, known = self._failures[key]
            if len(failure.details) > len(known.details):
                self._failures[key] = first, failure
            return
        if len(self._failures) >= MOST_FAILURES:
            self._more.add(failure.fingerprint)
            return
        self._failures[key] = place, failure
        if self._opened is None or place < self._opened[0]:
            self._opened = place, _shown(self._block[max(self._line - _BEFORE, 0) : self._line + _AFTER])

    def _complain(self, block: bytes) -> None:
        start = 0
        while len(self._complaints) < _MOST_COMPLAINTS:
            start = block.find(_COMPLAINT, start)
            if start < 0:
                return
            if not self._complained:
                # What the runner complains of stands above its complaint.
                self._complained = _shown((self._tail + block[:start])[-(_BEFORE + _AFTER) :])
            begin = start + len(_COMPLAINT)
            end = block.find(b"\n", start)
            said = _shown(block[begin : min(end if end >= 0 else len(block), begin + LONGEST_LINE)])
            self._complaints[said[:_LONGEST_COMPLAINT]] = None
            start = begin


_LONGEST_COMPLAINT: Final = 500


def _shown(text: bytes) -> str:
    # No database takes NUL as text.
    return text.decode(errors="replace").strip("\n").replace("\0", "\N{REPLACEMENT CHARACTER}")


def read_log(chunks: Iterable[bytes], *, limit: int = LIMIT) -> JobLog:
    """The whole of a log that is at hand already."""
    reader = LogReader(limit=limit)
    for chunk in chunks:
        reader.feed(chunk)
    return reader.close()
