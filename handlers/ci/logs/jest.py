"""Jest: the blocks that begin with its bullet. https://jestjs.io/docs/cli"""

import re
from typing import ClassVar, Final

from handlers.ci.logs.parsing import Excerpt, Found, Parser, failure, is_library

_FILE: Final = re.compile(r"^\s?FAIL\s+(?:\S+ )?(\S+\.\w+)(?: \([\d.]+ m?s\))?$")
_BULLET: Final = re.compile(r"^  ● (.+)$")
_FRAME: Final = re.compile(r"^\s+at (?:.* )?\(?([^\s()]+):(\d+):(\d+)\)?$")
_NOT_A_TEST: Final = frozenset(
    {"Console", "Cannot log after tests are done. Did you forget to wait for something?"}
)
_SUITE: Final = "Test suite failed to run"


class Jest(Parser):
    openers: ClassVar[tuple[bytes, ...]] = ("  ● ".encode(), b"FAIL ")

    def __init__(self, found: Found) -> None:
        super().__init__(found)
        self._in_file: str | None = None
        self._title = ""
        self._paragraphs = 0
        self._message: list[str] = []
        self._place: tuple[str, str, str] | None = None
        self._details = Excerpt()

    def line(self, text: str) -> bool:
        bullet = _BULLET.match(text)
        if bullet:
            self.end()
            self._title = "" if bullet[1] in _NOT_A_TEST else bullet[1]
            return True
        if text and not text[0].isspace():
            self.end()
        file = _FILE.match(text)
        if file:
            self.end()
            self._in_file = file[1]
        if not self._title:
            return False
        self._read(text)
        return True

    def end(self) -> None:
        if self._title:
            is_suite = self._title == _SUITE
            file, line, column = self._place or (self._in_file, None, None)
            self.found(
                failure(
                    "jest",
                    "test",
                    "\n".join(self._message) or "failed without a message",
                    file=file,
                    line=line,
                    column=column,
                    test=self._in_file if is_suite else self._title,
                    details=self._details.text,
                )
            )
        self._title = ""
        self._paragraphs = 0
        self._message = []
        self._place = None
        self._details = Excerpt()

    def _read(self, text: str) -> None:
        self._details.add(text.removeprefix("    "))
        said = text.strip()
        frame = _FRAME.match(text)
        if frame:
            if self._place is None and not is_library(frame[1]):
                self._place = frame[1], frame[2], frame[3]
        elif not said:
            self._paragraphs += bool(self._message)
        elif len(self._message) < _MOST_LINES and (
            self._paragraphs == 0 or said.startswith(("Expected", "Received", "- ", "+ "))
        ):
            self._message.append(said)


_MOST_LINES: Final = 8
