"""A failure as data, and the fingerprint by which it is known again."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

FailureKind: TypeAlias = Literal["test", "lint", "type", "compile", "build", "other"]

MOST_FAILURES: Final = 200
"""As many as one log gives; the rest is counted."""
MESSAGE_LIMIT: Final = 1_000
DETAILS_LIMIT: Final = 6_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One thing that a tool found wrong, in the tool's own words: hostile text, bounded, of one encoding.

    What a tool does not say is None. `line` and `column` count from 1.
    """

    tool: str
    """The name of its parser: `pytest`, `go test`, `tsc`…"""
    kind: FailureKind
    file: str | None = None
    """As the tool wrote it, without the runner's own directories: `tests/test_money.py`."""
    line: int | None = None
    column: int | None = None
    test: str | None = None
    """The test's full name as the tool takes it, where the tool has one."""
    message: str
    """What is wrong, in one or a few lines of at most `MESSAGE_LIMIT` characters."""
    details: str = ""
    """The traceback or the excerpt that the tool printed, at most `DETAILS_LIMIT` characters."""

    @property
    def fingerprint(self) -> str:
        """Names the same failure in another run, at another line, in another directory: 16 hex digits.

        Other tests, other messages and other files have other fingerprints. Times, durations, addresses,
        seeds, ports, process ids and temporary paths make no difference.
        """
        parts = (self.tool, settled_path(self.file or ""), self.test or "", settled_text(self.message))
        return _digest(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLog:
    """What the log of one job says, read once from its beginning to its end; bounded however long it is."""

    failures: tuple[Failure, ...]
    """In the order of the log, each fingerprint and place once."""
    more_failures: int = 0
    """Found beyond `MOST_FAILURES`; some thousands at most are counted."""
    complaints: tuple[str, ...] = ()
    """What the runner itself called an error, in its words."""
    around: str = ""
    """The lines around the first failure; without one, those before the runner's first complaint."""
    tail: str = ""
    """The log's last lines."""
    read: int = 0
    """Bytes that were read."""
    unread: int = 0
    """Bytes beyond the caller's limit, which nobody looked at."""


def fingerprint_of(failures: Iterable[Failure]) -> str:
    """One name for all that failed together, whatever its order: what attempts at a repair are counted by."""
    return _digest(sorted({failure.fingerprint for failure in failures}))


def settled_path(path: str) -> str:
    """`path` as it is in the repository, whichever machine and directory it was checked out in."""
    path = path.replace("\\", "/")
    for home in _HOMES:
        path = home.sub("", path, count=1)
    return _TEMPORARY.sub("<tmp>", path).removeprefix("./")


def settled_text(text: str) -> str:
    """`text` without what differs between two runs of the same code."""
    for pattern, word in _PASSING:
        text = pattern.sub(word, text)
    return " ".join(text.split())


_HOMES: Final = (
    # GitHub's runners: hosted, self-hosted, in containers; macOS and Windows.
    re.compile(r"^(?:/home/[^/\s]+|/Users/[^/\s]+|/opt|[A-Za-z]:|/__w|/root)?(?:/actions-runner)?/_?work/[^/\s]+/[^/\s]+/"),
    re.compile(r"^/__w/[^/\s]+/[^/\s]+/"),
    re.compile(r"^[A-Za-z]:/a/[^/\s]+/[^/\s]+/"),
    re.compile(r"^/github/workspace/"),
)  # fmt: skip
_TEMPORARY: Final = re.compile(
    r"(?:/private)?(?:/tmp|/var/tmp|/var/folders|/dev/shm)/[^\s'\":,;()<>\]\[]*"
    r"|[A-Za-z]:[\\/][^\s'\":,;]*[\\/]Temp[\\/][^\s'\":,;]*",
    re.IGNORECASE,
)
_WORK: Final = re.compile(
    r"(?:(?:/home/[^/\s]+|/Users/[^/\s]+|/opt)(?:/actions-runner)?/_?work|/__w|[A-Za-z]:[/\\]a)"
    r"[/\\][^/\\\s]+[/\\][^/\\\s]+[/\\]"
)
_PASSING: Final = (
    (_TEMPORARY, "<tmp>"),
    (_WORK, ""),
    (re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?(?:Z| ?[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b\d{1,2}:\d\d:\d\d(?:[.,]\d+)?"), "<time>"),
    (
        re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE),
        "<uuid>",
    ),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<address>"),
    (re.compile(r"(?<=@)[0-9a-f]{5,16}\b"), "<address>"),
    # A commit or a digest: hex of both kinds, so that no word and no number is taken for one.
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{12,128}\b"), "<digest>"),
    (re.compile(r"(\bseed\b[\s=:]*)-?\d+", re.IGNORECASE), r"\1<seed>"),
    (re.compile(r"(\b(?:pid|process|goroutine|tid)\b[\s=:#]*)\d+", re.IGNORECASE), r"\1<id>"),
    (re.compile(r"\b(localhost|127\.0\.0\.1|\[::1\]|0\.0\.0\.0):\d+"), r"\1:<port>"),
    (
        re.compile(r"(?<![\w.])\d+(?:\.\d+)?\s?(?:ns|µs|us|ms|s|secs?|seconds?|m|min|minutes?)(?![\w.])"),
        "<duration>",
    ),
    (re.compile(r"(?<=\.[A-Za-z]{1})(:\d+(?::\d+)?)\b|(?<=\.[A-Za-z]{2})(:\d+(?::\d+)?)\b"), ":<line>"),
    (re.compile(r"(?<=\.[A-Za-z]{3})(:\d+(?::\d+)?)\b|(?<=\.[A-Za-z]{4})(:\d+(?::\d+)?)\b"), ":<line>"),
    (re.compile(r"\b(lines?) \d+", re.IGNORECASE), r"\1 <line>"),
)


def _digest(parts: Iterable[str]) -> str:
    # Each part by its length, so that no two sequences run together into one.
    told = b"".join(b"%d:%b" % (len(one), one) for one in (part.encode(errors="replace") for part in parts))
    return hashlib.sha256(told).hexdigest()[:16]
