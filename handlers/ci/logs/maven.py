"""Maven: tests by surefire and failsafe (2 and 3), errors of its compiler plugin, else the goal that failed.

https://maven.apache.org/surefire/maven-surefire-plugin/
"""

import re
from typing import ClassVar, Final

from handlers.ci.logs.jvm import frame_of
from handlers.ci.logs.parsing import Excerpt, Found, Parser, failure

_OLD: Final = re.compile(
    r"^(?:\[ERROR\] )?([\w$]+(?:\[[^\]]*\])?)\(([\w.$]+)\)\s+Time elapsed: .*<<< (?:FAILURE|ERROR)!$"
)
_NEW: Final = re.compile(
    r"^(?:\[ERROR\] )?([\w.$]+)\.([\w$]+(?:[\[({].*?)?) (?:--\s+)?Time elapsed: .*<<< (?:FAILURE|ERROR)!$"
)
_COMPILER: Final = re.compile(r"^\[ERROR\] (\S.*\.(?:java|kt|scala|groovy)):\[(\d+),(\d+)\] (.+)$")
_GOAL: Final = re.compile(r"^\[ERROR\] Failed to execute goal (.+?)(?: -> \[Help \d+\])?$")
_SECONDARY: Final = ("There are test failures", "There was a timeout", "Compilation failure")


class Maven(Parser):
    openers: ClassVar[tuple[bytes, ...]] = (b"[ERROR] ", b" <<< FAILURE!", b" <<< ERROR!")

    def __init__(self, found: Found) -> None:
        super().__init__(found)
        self._test = ""
        self._message = ""
        self._place: tuple[str, str] | None = None
        self._details = Excerpt()
        self._has_told = False

    def line(self, text: str) -> bool:
        head = _OLD.match(text)
        test = f"{head[2]}.{head[1]}" if head else ""
        if not head:
            head = _NEW.match(text)
            test = f"{head[1]}.{head[2]}" if head else ""
        if head:
            self.end()
            self._test = test
            return True
        if self._test and text.strip() and not text.startswith("["):
            self._read(text)
            return True
        self.end()
        compiler = _COMPILER.match(text)
        goal = None if compiler else _GOAL.match(text)
        if compiler:
            file, line, column, message = compiler.groups()
            self.found(failure("maven", "compile", message, file=file, line=line, column=column))
            self._has_told = True
        elif goal and not self._has_told and not any(word in goal[1] for word in _SECONDARY):
            self.found(failure("maven", "build", goal[1]))
        return False

    def end(self) -> None:
        if self._test:
            file, line = self._place or (None, None)
            self.found(
                failure(
                    "maven",
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

    def _read(self, text: str) -> None:
        self._message = self._message or text.strip()
        self._details.add(text)
        self._place = self._place or frame_of(text)
