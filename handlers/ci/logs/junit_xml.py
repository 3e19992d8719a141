"""JUnit's XML report, as pytest, surefire, Vitest and others write it. Hostile: no DTD, no entities, bounded.

The form has no one owner; what is read here: https://github.com/testmoapp/junitxml
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from xml.parsers import expat

from handlers.ci.failures import DETAILS_LIMIT, MOST_FAILURES, Failure
from handlers.ci.logs.jvm import frame_of
from handlers.ci.logs.parsing import failure, is_library

LIMIT: Final = 50 * 1024 * 1024
"""Bytes of one report."""
DEEPEST: Final = 50
_FILE: Final = re.compile(r"^[^\s:]*/[^\s:]*\.[A-Za-z]{1,5}$")
_PLACE: Final = re.compile(r"(?<![\w./\\$@-])([\w./\\$@-]{1,300}\.[A-Za-z]{1,5}):(\d{1,7})\b")


class ReportRefused(Exception):
    """The report is not one that is read; the message is a clause that says why."""


def read_report(chunks: Iterable[bytes], *, limit: int = LIMIT) -> tuple[Failure, ...]:
    """The failed and broken test cases of one report, at most `MOST_FAILURES` of them.

    Raises `ReportRefused` for what is too long, too deep, declares a document type or entities, or is no XML.
    """
    report = _Report()
    length = 0
    try:
        for chunk in chunks:
            length += len(chunk)
            if length > limit:
                raise ReportRefused(f"it is longer than {limit} bytes")
            report.feed(chunk)
        report.close()
    except expat.ExpatError as error:
        raise ReportRefused(f"it is no XML: {error}") from error
    return tuple(report.failures)


class _Report:
    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self._case: Mapping[str, str] = {}
        self._problem: Mapping[str, str] | None = None
        self._text: list[str] = []
        self._length = 0
        self._depth = 0
        self._parser = expat.ParserCreate()
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._finish
        self._parser.CharacterDataHandler = self._told

    def feed(self, chunk: bytes) -> None:
        self._parser.Parse(chunk, False)

    def close(self) -> None:
        self._parser.Parse(b"", True)

    def _refuse(self, *_: object) -> None:
        raise ReportRefused("it declares a document type or entities, which no report needs")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ReportRefused(f"it is nested deeper than {DEEPEST} elements")
        if name == "testcase":
            self._case = attributes
        elif name in ("failure", "error"):
            self._problem = attributes
            self._text, self._length = [], 0

    def _told(self, text: str) -> None:
        if self._problem is not None and self._length < DETAILS_LIMIT:
            self._text.append(text)
            self._length += len(text)

    def _finish(self, name: str) -> None:
        self._depth -= 1
        if name in ("failure", "error") and self._problem is not None:
            if len(self.failures) < MOST_FAILURES:
                self.failures.append(_failure(self._case, self._problem, "".join(self._text).strip("\n ")))
            self._problem = None


_LONGEST: Final = 1_000


def _failure(case: Mapping[str, str], problem: Mapping[str, str], text: str) -> Failure:
    first = next((line for line in text.splitlines() if line.strip()), "")
    file, line = _place(case, text)
    return failure(
        "junit",
        "test",
        problem.get("message") or first or problem.get("type") or "failed without a message",
        file=file,
        line=line,
        test=_name(case.get("classname", ""), case.get("name", "")),
        details=text,
    )


def _name(classname: str, name: str) -> str:
    if not classname or classname == name:
        return name
    return f"{classname} > {name}" if "/" in classname else f"{classname}.{name}"


def _place(case: Mapping[str, str], text: str) -> tuple[str | None, str | None]:
    if case.get("file"):
        return case["file"], case.get("line")
    for line in text.splitlines():
        frame = frame_of(line)
        if frame:
            return frame
        place = _PLACE.search(line[:_LONGEST])
        if place and not is_library(place[1]) and "\tat " not in line:
            return place[1], place[2]
    classname = case.get("classname", "")
    return (classname, None) if _FILE.match(classname) else (None, None)
