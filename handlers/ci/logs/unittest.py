"""unittest: the blocks between its double rules. https://docs.python.org/3/library/unittest.html"""

import re
from typing import ClassVar, Final

from handlers.ci.logs.parsing import Excerpt, Found, Parser, failure
from handlers.ci.logs.python_traceback import Traceback

_DOUBLE: Final = "=" * 70
_SINGLE: Final = "-" * 70
_HEAD: Final = re.compile(r"^(?:FAIL|ERROR): (\S+) \(([^()]+)\)(.*)$")


class Unittest(Parser):
    openers: ClassVar[tuple[bytes, ...]] = (_DOUBLE.encode(),)

    def __init__(self, found: Found) -> None:
        super().__init__(found)
        self._expects_head = False
        self._test = ""
        self._details = Excerpt()
        self._traceback = Traceback()

    def line(self, text: str) -> bool:
        if text == _DOUBLE:
            self.end()
            self._expects_head = True
            return True
        if self._expects_head:
            self._expects_head = False
            head = _HEAD.match(text)
            if not head:
                return False
            self._test = _name(head[1], head[2]) + head[3]
            return True
        if text == _SINGLE:
            return True
        if not self._test:
            return False
        if text.startswith("Ran ") and " test" in text:
            self.end()
            return False
        self._details.add(text)
        self._traceback.feed(text)
        return True

    def end(self) -> None:
        if self._test:
            self.found(
                failure(
                    "unittest",
                    "test",
                    self._traceback.raised or "failed without a message",
                    file=self._traceback.file,
                    line=self._traceback.line,
                    test=self._test,
                    details=self._details.text,
                )
            )
        self._test = ""
        self._details = Excerpt()
        self._traceback = Traceback()


def _name(method: str, place: str) -> str:
    """`module.Class.method`: in the brackets since Python 3.11, before that without the method."""
    name = place if place.endswith(f".{method}") else f"{place}.{method}"
    # A module that could not be imported is told of as a test of the loader.
    return name.removeprefix("unittest.loader._FailedTest.")
