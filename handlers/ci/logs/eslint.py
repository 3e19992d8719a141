"""ESLint's errors: formatters stylish (its default), unix and compact (packages of their own since 9).

https://eslint.org/docs/latest/use/formatters/
"""

import re
from typing import ClassVar, Final

from handlers.ci.logs.parsing import Found, Parser, failure

_ENTRY: Final = re.compile(r"^\s+(\d+):(\d+)\s+(error|warning)\s+(\S.*)$")
_COMPACT: Final = re.compile(r"^([^\s:][^:]*(?::\\[^:]*)?): line (\d+), col (\d+), Error - (.+)$")
_UNIX: Final = re.compile(r"^([^\s:][^:]*(?::\\[^:]*)?):(\d+):(\d+): (.+) \[Error(?:/(\S+))?\]$")
_RULE: Final = re.compile(r"^(?:@?[\w.-]+/)*[\w.-]+$")


class Eslint(Parser):
    openers: ClassVar[tuple[bytes, ...]] = (b"  error  ", b"  warning  ", b", Error - ", b" [Error")
    wants_before: ClassVar[bool] = True

    def __init__(self, found: Found) -> None:
        super().__init__(found)
        self._file: str | None = None

    def line(self, text: str) -> bool:
        entry = _ENTRY.match(text)
        if entry:
            if self._file is None and self.before and not self.before[0].isspace():
                self._file = self.before
            if entry[3] == "error" and self._file:
                self._report(self._file, entry[1], entry[2], *_told(entry[4]))
            return True
        self._file = None
        compact, unix = _COMPACT.match(text), _UNIX.match(text)
        if compact:
            message, _, rule = compact[4].rpartition(" (")
            named = rule.endswith(")") and bool(message)
            told = (message, rule[:-1]) if named else (compact[4], "")
            self._report(compact[1], compact[2], compact[3], *told)
        elif unix:
            self._report(unix[1], unix[2], unix[3], unix[4], unix[5] or "")
        return False

    def _report(self, file: str, line: str, column: str, message: str, rule: str) -> None:
        said = f"{message} ({rule})" if rule else message
        self.found(failure("eslint", "lint", said, file=file, line=line, column=column))


def _told(entry: str) -> tuple[str, str]:
    """Message and rule of a stylish entry, which pads the one and ends with the other."""
    message, gap, rule = entry.rpartition("  ")
    if gap and _RULE.match(rule):
        return message.rstrip(), rule
    return entry, ""
