"""cargo test and rustc: failed tests with their panic, errors of the compiler and of its lints.

https://doc.rust-lang.org/book/ch11-01-writing-tests.html
"""

import re
from typing import ClassVar, Final

from handlers.ci.logs.parsing import Excerpt, Found, Parser, failure

_CASE: Final = re.compile(r"^---- (.+) (?:stdout|stderr) ----$")
_PANIC: Final = re.compile(r"^thread '[^']*'(?: \(\d+\))? panicked at ([^\s:']+\.rs):(\d+):(\d+):$")
_OLD_PANIC: Final = re.compile(r"^thread '[^']*' panicked at '(.*)', ([^\s:]+\.rs):(\d+):(\d+)$")
_NO_PANIC: Final = re.compile(r"^note: (test did not panic as expected) at ([^\s:]+\.rs):(\d+):(\d+)$")
_ERROR: Final = re.compile(r"^error(?:\[(E\d+)\])?: (.+)$")
_ARROW: Final = re.compile(r"^\s*--> ([^:]+\.rs):(\d+):(\d+)$")
_LINKING: Final = re.compile(r"^error: linking with .* failed")


class Cargo(Parser):
    openers: ClassVar[tuple[bytes, ...]] = (b"error[E", b"error: ", b" stdout ----", b" stderr ----")

    def __init__(self, found: Found) -> None:
        super().__init__(found)
        self._test = ""
        self._error = ""
        self._message: list[str] = []
        self._is_telling = False
        """Whether the lines at hand are the panic's message."""
        self._file: str | None = None
        self._line: str | None = None
        self._column: str | None = None
        self._details = Excerpt()
        self._lines = 0
        """Of the error at hand."""

    def line(self, text: str) -> bool:
        case = _CASE.match(text)
        error = None if case else _ERROR.match(text)
        if case or (error and not self._test):
            self.end()
            if case:
                self._test = case[1]
            elif error:
                self._error = f"{error[1]}: {error[2]}" if error[1] else error[2]
                self._details.add(text)
            return True
        if self._test:
            return self._in_test(text)
        return self._in_error(text) if self._error else False

    def end(self) -> None:
        if self._test:
            message = "\n".join(self._message) or "failed without a message"
            self._report("test", message, self._test)
        elif self._error and self._file:
            self._report("compile", self._error, None)
        elif _LINKING.match(f"error: {self._error}"):
            self._report("build", self._error, None)
        self._test = self._error = ""
        self._message = []
        self._is_telling = False
        self._file = self._line = self._column = None
        self._details = Excerpt()
        self._lines = 0

    def _report(self, kind: str, message: str, test: str | None) -> None:
        self.found(
            failure(
                "cargo",
                "test" if kind == "test" else "build" if kind == "build" else "compile",
                message,
                file=self._file,
                line=self._line,
                column=self._column,
                test=test,
                details=self._details.text,
            )
        )

    def _in_test(self, text: str) -> bool:
        if text == "failures:":
            self.end()
            return False
        if "/rustc/" not in text:
            self._details.add(text)
        panic, old, none = _PANIC.match(text), _OLD_PANIC.match(text), _NO_PANIC.match(text)
        if panic:
            self._file, self._line, self._column = panic.groups()
            self._is_telling, self._message = True, []
        elif old:
            self._message, self._is_telling = [old[1]], False
            self._file, self._line, self._column = old.groups()[1:]
        elif none:
            self._message, self._is_telling = [none[1]], False
            self._file, self._line, self._column = none.groups()[1:]
        elif text.startswith("Error: ") and not self._message:
            self._message = [text.removeprefix("Error: ")]
        elif self._is_telling:
            self._is_telling = not text.startswith(("stack backtrace:", "note: ")) and bool(text.strip())
            if self._is_telling and len(self._message) < _MOST_LINES:
                self._message.append(text)
        return True

    def _in_error(self, text: str) -> bool:
        self._lines += 1
        is_lost = self._file is None and self._lines > _ARROW_WITHIN
        if not text.strip() or is_lost or self._lines > _LONGEST_ERROR:
            self.end()
            return False
        arrow = _ARROW.match(text)
        if arrow and self._file is None:
            self._file, self._line, self._column = arrow.groups()
        self._details.add(text)
        return True


_MOST_LINES: Final = 12
_ARROW_WITHIN: Final = 3
_LONGEST_ERROR: Final = 200
