"""Test reports that a run has left as an artifact: JUnit's XML in an archive that anybody may have made.

Nothing of it is written anywhere, and no name in it is used as one: members are read in memory, up to limits.
"""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final

from handlers.ci.failures import MOST_FAILURES, Failure, JobLog
from handlers.ci.logs import ReportRefused, read_report

NAMES: Final = ("*junit*", "*test-results*", "*test_results*", "*test-reports*", "*test_reports*")
"""What people call such artifacts; in lower case."""
MOST_ARCHIVES: Final = 10
"""Whose reports are read for one look at a head."""
PACKED_BYTES: Final = 10 * 1024 * 1024
"""Of one archive."""
_CHUNK: Final = 64 * 1024
_ENTRY: Final = b"PK\x01\x02"
"""Begins each entry of an archive's directory.

https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (4.3.12)
"""
_ENCRYPTED: Final = 1
_PACKINGS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""The others can take memory by the gigabyte."""
_UNREADABLE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OverflowError,
    OSError,
    ValueError,
    NotImplementedError,
)
"""What `zipfile` raises for archives that are broken, or made to break it."""


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """How much of an archive is read."""

    entries: int = 10_000
    """Of an archive, whatever they are: with more it is refused."""
    reports: int = 500
    """XML files that are read."""
    report_bytes: int = 20 * 1024 * 1024
    """Of one report, unpacked."""
    unpacked_bytes: int = 50 * 1024 * 1024
    """Of all reports together."""
    ratio: int = 200
    """Times that a report may be larger than it is packed: one trace over and over reaches 100."""
    small_bytes: int = 1024 * 1024
    """So much may be packed however well."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a workflow run has left. https://docs.github.com/en/rest/actions/artifacts"""

    id: int
    name: str
    size: int
    """Bytes, packed."""
    created_at: datetime | None
    is_expired: bool


def chosen(
    artifacts: Sequence[Artifact], patterns: Sequence[str], *, since: datetime | None
) -> list[Artifact]:
    """Those that may hold test reports, by name; of one name the newest.

    `since` is when the run's newest attempt began: what an earlier one has left tells of code that has failed
    or passed otherwise by now.
    """
    newest: dict[str, Artifact] = {}
    for one in sorted(artifacts, key=lambda each: each.id):
        is_old = since is not None and one.created_at is not None and one.created_at < since
        if not (is_old or one.is_expired or one.size > PACKED_BYTES) and _is_named(one.name, patterns):
            newest[one.name] = one
    return [newest[name] for name in sorted(newest)]


def _is_named(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name.casefold(), pattern.casefold()) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Reports:
    """What an archive's reports tell."""

    failures: tuple[Failure, ...] = ()
    """At most `MOST_FAILURES`, each fingerprint once."""
    refused: tuple[str, ...] = ()
    """Why some of it, or all, was not read: clauses, for the log."""


def read_archive(data: bytes, limits: ArchiveLimits = ArchiveLimits()) -> Reports:
    """The failures in the XML files of the zip archive `data`. Raises nothing: what is refused is told."""
    # Before anything is made of them: each entry takes half a kilobyte of memory, and 46 bytes here.
    if data.count(_ENTRY) > limits.entries:
        return Reports(refused=(f"it has more than {limits.entries} entries",))
    reader = _Reader(limits)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            reader.read(archive)
    except _UNREADABLE as error:
        reader.refused.append(f"it is no archive that can be read ({type(error).__name__})")
    return Reports(tuple(reader.failures.values()), tuple(dict.fromkeys(reader.refused)))


class _Reader:
    def __init__(self, limits: ArchiveLimits) -> None:
        self.failures: dict[str, Failure] = {}
        self.refused: list[str] = []
        self._limits = limits
        self._left = limits.unpacked_bytes

    def read(self, archive: zipfile.ZipFile) -> None:
        limits = self._limits
        reports = [one for one in archive.infolist() if _is_report(one)]
        if len(reports) > limits.reports:
            self.refused.append(f"it has more than {limits.reports} reports")
        for one in reports[: limits.reports]:
            if self._left <= 0:
                self.refused.append(f"its reports are longer than {limits.unpacked_bytes} bytes")
                return
            try:
                found = read_report(self._chunks(archive, one), limit=min(limits.report_bytes, self._left))
            except ReportRefused as error:
                self.refused.append(f"of a report, {error}")
            except _UNREADABLE as error:
                self.refused.append(f"a report cannot be unpacked ({type(error).__name__})")
            else:
                self._keep(found)

    def _keep(self, found: Sequence[Failure]) -> None:
        for failure in found:
            if len(self.failures) < MOST_FAILURES:
                self.failures.setdefault(failure.fingerprint, failure)

    def _chunks(self, archive: zipfile.ZipFile, one: zipfile.ZipInfo) -> Iterator[bytes]:
        most = max(self._limits.small_bytes, one.compress_size * self._limits.ratio)
        length = 0
        with archive.open(one) as member:
            while chunk := member.read(_CHUNK):
                length += len(chunk)
                self._left -= len(chunk)
                if length > most:
                    raise ReportRefused(f"it unpacks to more than {self._limits.ratio} times its size")
                yield chunk


def _is_report(one: zipfile.ZipInfo) -> bool:
    is_plain = not one.flag_bits & _ENCRYPTED and one.compress_type in _PACKINGS
    return is_plain and one.filename.casefold().endswith(".xml")


def shared_out(
    reported: Sequence[Failure], logs: Sequence[JobLog]
) -> tuple[tuple[JobLog, ...], tuple[Failure, ...]]:
    """The `logs` of a run's failed jobs, with what its reports tell besides; and what is none of theirs.

    A report does not say of which job it is: it is the only one's, or of the only one whose log tells of no
    test.
    """
    added = added_by(reported, [one for log in logs for one in log.failures])
    silent = [place for place, log in enumerate(logs) if not any(one.kind == "test" for one in log.failures)]
    theirs = list(range(len(logs))) if len(logs) == 1 else silent
    if not added or len(theirs) != 1:
        return tuple(logs), added
    return tuple(_with(log, added) if place == theirs[0] else log for place, log in enumerate(logs)), ()


def _with(log: JobLog, added: tuple[Failure, ...]) -> JobLog:
    every = (*log.failures, *added)
    more = log.more_failures + len(every[MOST_FAILURES:])
    return replace(log, failures=every[:MOST_FAILURES], more_failures=more)


def added_by(reported: Sequence[Failure], known: Sequence[Failure]) -> tuple[Failure, ...]:
    """The failures of reports without those that the logs tell as well (`known`): by name, or by place."""
    places = {(one.file, one.line) for one in known if one.file and one.line}
    names = [(_words_of(one), one) for one in known if one.test]
    return tuple(
        one
        for one in reported
        if (one.file, one.line) not in places
        and not any(_is_same_test(_words_of(one), words) and _may_be_of(one, other) for words, other in names)
    )


def _words_of(failure: Failure) -> tuple[str, ...]:
    """A test's name without the signs between its parts, which each tool sets in its own way."""
    return tuple(_WORD.findall(_EXTENSION.sub("", failure.test or "")))


def _is_same_test(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether the two are one name, of which one may lack the package or module before it."""
    shorter, longer = sorted((one, other), key=len)
    return bool(shorter) and longer[-len(shorter) :] == shorter


def _may_be_of(one: Failure, other: Failure) -> bool:
    """Tests of one name in two files are two tests."""
    if not one.file or not other.file:
        return True
    return one.file.rpartition("/")[2] == other.file.rpartition("/")[2]


_WORD: Final = re.compile(r"\w+")
_EXTENSION: Final = re.compile(r"(?<=\w)\.(?:py|[cm]?[jt]sx?|go|rs|java|kts?)(?=\W|$)")
