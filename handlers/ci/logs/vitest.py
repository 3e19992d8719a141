"""Vitest: what its default reporter says below `Failed Tests` and `Failed Suites`. https://vitest.dev/guide/reporters"""

import re
from typing import ClassVar, Final

from handlers.ci.logs.parsing import Excerpt, Found, Parser, failure, is_library

_HEAD: Final = re.compile(r"^\s?FAIL {2}(?:\|[^|]+\| )?(\S+\.\w+)(?: \[ \S+ \]| > (.+))$")
_POINTER: Final = "\u276f"
_PLACE: Final = re.compile(rf"^ {_POINTER} (?:.* )?([^\s:]+):(\d+):(\d+)$")
_RULE: Final = "⎯⎯⎯"


class Vitest(Parser):
    openers: ClassVar[tuple[bytes, ...]] = (b"FAIL  ",)

    def __init__(self, found: Found) -> None:
        super().__init__(found)
        self._heads: list[tuple[str, str | None]] = []
        """Tests that failed in the same way are told of together."""
        self._message = ""
        self._place: tuple[str, str, str] | None = None
        self._details = Excerpt()

    def line(self, text: str) -> bool:
        head = _HEAD.match(text)
        if head:
            if self._message:
                self.end()
            if len(self._heads) < _MOST_HEADS:
                self._heads.append((head[1], head[2]))
            return True
        if not self._heads:
            return False
        if text.startswith(_RULE):
            self.end()
            return False
        if not self._message:
            self._message = text.strip()
        place = _PLACE.match(text)
        if place and self._place is None and not is_library(place[1]):
            self._place = place[1], place[2], place[3]
        self._details.add(text)
        return True

    def end(self) -> None:
        for head, test in self._heads:
            file, line, column = self._place or (head, None, None)
            self.found(
                failure(
                    "vitest",
                    "test",
                    self._message or "failed without a message",
                    file=file,
                    line=line,
                    column=column,
                    test=f"{head} > {test}" if test else head,
                    details=self._details.text,
                )
            )
        self._heads = []
        self._message = ""
        self._place = None
        self._details = Excerpt()


_MOST_HEADS: Final = 50
