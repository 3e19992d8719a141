"""Gradle: failed tests, errors of javac and kotlinc, else the task that failed.

https://docs.gradle.org/current/userguide/java_testing.html
"""

import re
from typing import ClassVar, Final

from handlers.ci.logs.jvm import frame_of
from handlers.ci.logs.parsing import Excerpt, Found, Parser, failure

_TEST: Final = re.compile(r"^(\S[^>]*?) > (.+) FAILED$")
_BRIEF: Final = re.compile(r"^    (\S+) at ([\w$]+\.\w+):(\d+)$")
_JAVAC: Final = re.compile(r"^(?::\w+)?([^\s:]*\.(?:java|groovy|scala)):(\d+): error: (.+)$")
_KOTLIN: Final = re.compile(r"^e: (?:file://)?(\S+\.kts?):(?: \()?(\d+)(?::|, )(\d+)\)?:? (.+)$")
_WRONG: Final = "* What went wrong:"
_SECONDARY: Final = ("There were failing tests", "Compilation failed", "Compilation error")


class Gradle(Parser):
    openers: ClassVar[tuple[bytes, ...]] = (b" FAILED", b": error: ", b"e: file://", b"* What went wrong:")

    def __init__(self, found: Found) -> None:
        super().__init__(found)
        self._test = ""
        self._message = ""
        self._place: tuple[str, str] | None = None
        self._details = Excerpt()
        self._wrong: list[str] | None = None
        self._has_told = False

    def line(self, text: str) -> bool:
        if self._wrong is not None:
            return self._went_wrong(text)
        test = _TEST.match(text)
        if test:
            self.end()
            self._test = f"{test[1]} > {test[2]}"
            return True
        if self._test:
            if not text.strip() and not self._message:
                return True
            if text.startswith(" "):
                self._read(text)
                return True
            self.end()
            return False
        if text == _WRONG:
            self._wrong = []
            return True
        compiler = _JAVAC.match(text)
        kotlin = None if compiler else _KOTLIN.match(text)
        if compiler:
            self.found(failure("gradle", "compile", compiler[3], file=compiler[1], line=compiler[2]))
            self._has_told = True
        elif kotlin:
            file, line, column, message = kotlin.groups()
            self.found(failure("gradle", "compile", message, file=file, line=line, column=column))
            self._has_told = True
        return False

    def end(self) -> None:
        if self._test:
            file, line = self._place or (None, None)
            self.found(
                failure(
                    "gradle",
                    "test",
                    self._message or "failed without a message",
                    file=file,
                    line=line,
                    test=self._test,
                    details=self._details.text,
                )
            )
            self._has_told = True
        self._test = self._message = ""
        self._place = None
        self._details = Excerpt()
        self._wrong = None

    def _read(self, text: str) -> None:
        self._details.add(text.removeprefix("    "))
        brief = _BRIEF.match(text)
        if brief and not self._message:
            self._message = brief[1]
            self._place = brief[2], brief[3]
            return
        self._message = self._message or text.strip()
        self._place = self._place or frame_of(text)

    def _went_wrong(self, text: str) -> bool:
        told = self._wrong or []
        if text.strip() and len(told) < _MOST_LINES:
            self._wrong = [*told, text.strip()]
            return True
        message = "\n".join(told)
        if message and not self._has_told and not any(word in message for word in _SECONDARY):
            self.found(failure("gradle", "build", message))
        self._wrong = None
        return False


_MOST_LINES: Final = 8
