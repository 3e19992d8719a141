"""pytest: its sections FAILURES and ERRORS in any traceback style, with the full names of its summary.

https://docs.pytest.org/en/stable/how-to/output.html
"""

import re
from dataclasses import dataclass, field
from typing import ClassVar, Final

from handlers.ci.logs.parsing import Excerpt, Found, Parser, failure, is_library
from handlers.ci.logs.python_traceback import Traceback

_RULE: Final = re.compile(r"^=+ (.+?) =+$")
_TITLE: Final = re.compile(r"^_+ ([^_].*|_[^ ].*) _+$")
_PLACE: Final = re.compile(r"^((?:[A-Za-z]:)?[^\s:][^:]*\.py):(\d+): ?")
_SUMMARY: Final = re.compile(r"^(?:FAILED|ERROR) (\S.*)$")
_NAMED: Final = re.compile(r"^([^\[\s]+(?:\[.*?\])?)(?: - (.*))?$")
_OTHER_SUMMARY: Final = ("SKIPPED", "XFAIL", "XPASS", "PASSED", "SUBFAIL", "SUBPASS", "RERUN")
_MOST_HELD: Final = 500


@dataclass(slots=True)
class _Case:
    title: str
    message: str = ""
    file: str | None = None
    line: str | None = None
    details: Excerpt = field(default_factory=Excerpt)
    traceback: Traceback = field(default_factory=Traceback)
    is_captured: bool = False
    was_raised: bool = False
    """Whether the line before was one of what was raised (`E   …`)."""


class Pytest(Parser):
    openers: ClassVar[tuple[bytes, ...]] = (b"= FAILURES =", b"= ERRORS =", b"short test summary info")

    def __init__(self, found: Found) -> None:
        super().__init__(found)
        self._section = ""
        self._case: _Case | None = None
        self._cases: list[_Case] = []

    def line(self, text: str) -> bool:
        rule = _RULE.match(text) if text.startswith("=") else None
        if rule:
            return self._open(rule[1])
        if self._section == "summary":
            return self._summary(text)
        if not self._section:
            return False
        title = _TITLE.match(text) if text.startswith("_") else None
        if title and not title[1].startswith("_ "):
            self._hold()
            self._case = _Case(title[1])
        elif self._case:
            _read(self._case, text)
        return True

    def end(self) -> None:
        self._hold()
        for case in self._cases:
            self._report(case, None, "")
        self._cases = []

    def _open(self, title: str) -> bool:
        self._hold()
        if title in ("FAILURES", "ERRORS"):
            if self._section == "summary":
                self.end()
            self._section = "cases"
        elif title == "short test summary info":
            self._section = "summary"
        elif self._section == "summary":
            self._section = ""
            self.end()
        else:
            # Warnings, durations, coverage: the summary is still to come, by its own opener.
            self._section = ""
        return bool(self._section)

    def _hold(self) -> None:
        if self._case and len(self._cases) < _MOST_HELD:
            self._cases.append(self._case)
        self._case = None

    def _summary(self, text: str) -> bool:
        found = _SUMMARY.match(text)
        if not found:
            if text.startswith(_OTHER_SUMMARY):
                return True
            self._section = ""
            self.end()
            return False
        for case in self._cases:
            name = _full_name(found[1], case.title)
            if name:
                self._cases.remove(case)
                self._report(case, name, "")
                return True
        named = _NAMED.match(found[1])
        if named:
            self._report(_Case(named[1]), named[1], named[2] or "")
        return True

    def _report(self, case: _Case, name: str | None, said: str) -> None:
        test = name or case.title.removeprefix("ERROR collecting ")
        message = case.message or case.traceback.raised or said
        file, line = case.file, case.line
        if file is None:
            file, line = case.traceback.file, case.traceback.line
        if file is None and "::" in test:
            file = test.partition("::")[0]
        self.found(
            failure(
                "pytest",
                "test",
                message or "failed without a message",
                file=file,
                line=line,
                test=test,
                details=case.details.text,
            )
        )


def _read(case: _Case, text: str) -> None:
    case.details.add(text)
    if text.startswith("-") and " Captured " in text:
        case.is_captured = True
    if case.is_captured:
        return
    if text == "E" or text.startswith("E  "):
        if not case.was_raised:
            case.message = text[1:].strip()
        case.was_raised = True
        return
    case.was_raised = False
    place = _PLACE.match(text)
    if place:
        if not is_library(place[1]):
            case.file, case.line = place[1], place[2]
    else:
        case.traceback.feed(text)


def _full_name(summary: str, title: str) -> str | None:
    """The name in `a/b.py::C::t[x - y] - why`, a line of the summary, if it is that of `C.t[x - y]`."""
    if title.startswith("ERROR collecting "):
        file = title.removeprefix("ERROR collecting ")
        return file if summary == file or summary.startswith(f"{file} - ") else None
    for prefix in ("ERROR at setup of ", "ERROR at teardown of "):
        title = title.removeprefix(prefix)
    stem, bracket, parameters = title.partition("[")
    inner = stem.replace(".", "::") + bracket + parameters
    file, _, rest = summary.partition("::")
    if rest == inner or rest.startswith(f"{inner} - "):
        return f"{file}::{inner}"
    return None
