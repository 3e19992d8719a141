"""go test, go build and go vet: failed tests with what they logged, panics, errors of the compiler.

https://pkg.go.dev/cmd/go#hdr-Test_packages
"""

import re
from dataclasses import dataclass, field
from typing import ClassVar, Final

from handlers.ci.logs.parsing import Excerpt, Found, Parser, failure, is_library

_RESULT: Final = re.compile(r"^\s*--- (FAIL|PASS|SKIP): (\S+)(?: \([\d.]+s\))?$")
_TURN: Final = re.compile(r"^=== (?:RUN|CONT|NAME|PAUSE)\s+(\S+)$")
_LOGGED: Final = re.compile(r"^\s+(\S+\.go):(\d+): ?(.*)$")
_PACKAGE: Final = re.compile(r"^FAIL\t(\S+)(?:\t[\d.]+s| \[([a-z ]+)\])$")
_COMPILER: Final = re.compile(r"^(?:vet: )?(\S+\.go):(\d+):(\d+): (.+)$")
_PANIC: Final = re.compile(r"^(?:panic|fatal error): (.*?)(?: \[recovered[^\]]*\])?$")
_FRAME: Final = re.compile(r"^\t(\S+\.go):(\d+)(?: \+0x[0-9a-f]+)?$")
_TEST_CALL: Final = re.compile(r"^\S+\.((?:Test|Fuzz|Example|Benchmark)\w*)\(")
_MOST_TESTS: Final = 500


@dataclass(slots=True)
class _Test:
    messages: list[str] = field(default_factory=list)
    file: str | None = None
    line: str | None = None
    details: Excerpt = field(default_factory=Excerpt)
    has_failed: bool = False


class Go(Parser):
    openers: ClassVar[tuple[bytes, ...]] = (
        b"=== ",
        b"--- ",
        b"panic: ",
        b"fatal error: ",
        b".go:",
        b"FAIL\t",
    )

    def __init__(self, found: Found) -> None:
        super().__init__(found)
        self._tests: dict[str, _Test] = {}
        self._current = ""
        self._is_panicking = False

    def line(self, text: str) -> bool:
        if text.startswith("FAIL\t"):
            return self._package(text)
        result = _RESULT.match(text)
        if result:
            return self._result(result[1], result[2])
        turn = _TURN.match(text)
        if turn:
            self._current = turn[1]
            return False
        if self._is_panicking:
            return self._panicking(text)
        panic = _PANIC.match(text)
        if panic:
            return self._panic(text, panic[1])
        compiler = _COMPILER.match(text)
        if compiler:
            self._compiler(compiler)
            return False
        return self._logged(text)

    def end(self) -> None:
        self._report(None)

    def _test(self, name: str) -> _Test:
        if name not in self._tests and len(self._tests) >= _MOST_TESTS:
            return _Test()
        return self._tests.setdefault(name, _Test())

    def _result(self, word: str, name: str) -> bool:
        if word != "FAIL":
            self._tests.pop(name, None)
            self._current = ""
            return False
        self._test(name).has_failed = True
        self._current = name
        return True

    def _logged(self, text: str) -> bool:
        if not self._current:
            return False
        logged = _LOGGED.match(text)
        test = self._test(self._current)
        if logged:
            test.messages.append(logged[3]) if len(test.messages) < _MOST_MESSAGES else None
            test.file, test.line = logged[1], logged[2]
            test.details.add(text)
            return True
        if text.startswith("    ") and test.messages:
            test.details.add(text)
            test.messages[-1] = f"{test.messages[-1]}\n{text.strip()}"[:_LONGEST]
            return True
        return False

    def _panic(self, text: str, message: str) -> bool:
        test = self._test(self._current)
        test.has_failed = True
        test.messages.append(f"panic: {message}")
        test.file = test.line = None
        test.details.add(text)
        self._is_panicking = True
        return True

    def _panicking(self, text: str) -> bool:
        test = self._test(self._current)
        test.details.add(text)
        frame = _FRAME.match(text)
        if frame and test.file is None and not is_library(frame[1]):
            test.file, test.line = frame[1], frame[2]
        call = _TEST_CALL.match(text)
        if call and not self._current:
            # A time-out says only in its stacks which test was at work.
            self._tests[call[1]] = self._tests.pop("", test)
            self._current = call[1]
        return True

    def _package(self, text: str) -> bool:
        package = _PACKAGE.match(text)
        if package and not package[2]:
            self._report(package[1])
        self._is_panicking = False
        return False

    def _compiler(self, match: re.Match[str]) -> None:
        file, line, column, message = match.groups()
        self.found(failure("go", "compile", message, file=file, line=line, column=column))

    def _report(self, package: str | None) -> None:
        failed = {name: test for name, test in self._tests.items() if test.has_failed}
        for name, test in failed.items():
            if not test.messages and any(other.startswith(f"{name}/") for other in failed):
                # It failed because of its subtests, which tell why.
                continue
            self.found(
                failure(
                    "go",
                    "test",
                    "\n".join(test.messages) or "failed without a message",
                    file=test.file,
                    line=test.line,
                    test=".".join(part for part in (package, name) if part) or None,
                    details=test.details.text,
                )
            )
        self._tests = {}
        self._current = ""
        self._is_panicking = False


_MOST_MESSAGES: Final = 10
_LONGEST: Final = 1_000
