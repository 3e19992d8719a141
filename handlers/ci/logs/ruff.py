"""ruff check: its output formats full (the default) and concise. https://docs.astral.sh/ruff/settings/#output-format"""

import re
from typing import ClassVar, Final

from handlers.ci.logs.parsing import Excerpt, Found, Parser, failure

_CODE: Final = r"(?:([A-Z]{1,6}\d{2,5})(?: \[\*\])?|(?:invalid-syntax|SyntaxError):)"
_CONCISE: Final = re.compile(
    rf"^([^\s:][^:]*(?::\\[^:]*)?\.(?:pyi?|ipynb)):(?:cell \d+:)?(\d+):(\d+): {_CODE} (.+)$"
)
_HEAD: Final = re.compile(rf"^{_CODE} (.+)$")
_ARROW: Final = re.compile(r"^\s*--> (.+\.(?:pyi?|ipynb)):(?:cell \d+:)?(\d+):(\d+)$")


class Ruff(Parser):
    openers: ClassVar[tuple[bytes, ...]] = (b"--> ", b".py:", b".pyi:", b".ipynb:")
    wants_before: ClassVar[bool] = True

    def __init__(self, found: Found) -> None:
        super().__init__(found)
        self._head = ""
        self._place: tuple[str, str, str] | None = None
        self._details = Excerpt()

    def line(self, text: str) -> bool:
        if self._place:
            if text.strip():
                self._details.add(text)
                return True
            self.end()
            return False
        arrow = _ARROW.match(text)
        head = _HEAD.match(self.before) if arrow else None
        if arrow and head:
            self._head = _said(head[1], head[2])
            self._place = arrow[1], arrow[2], arrow[3]
            return True
        concise = _CONCISE.match(text)
        if concise:
            file, line, column, code, message = concise.groups()
            self.found(failure("ruff", "lint", _said(code, message), file=file, line=line, column=column))
        return False

    def end(self) -> None:
        if self._place:
            file, line, column = self._place
            self.found(
                failure(
                    "ruff",
                    "lint",
                    self._head,
                    file=file,
                    line=line,
                    column=column,
                    details=self._details.text,
                )
            )
        self._place = None
        self._details = Excerpt()


def _said(code: str | None, message: str) -> str:
    return f"{code or 'invalid-syntax'} {message}"
