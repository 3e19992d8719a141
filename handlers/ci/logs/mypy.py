"""mypy, plain and `--pretty`. https://mypy.readthedocs.io/en/stable/command_line.html"""

import re
from typing import ClassVar, Final

from handlers.ci.logs.parsing import Excerpt, Found, Parser, failure

_ERROR: Final = re.compile(r"^([^\s:][^:]*(?::\\[^:]*)?\.pyi?):(\d+)(?::(\d+))?(?::\d+:\d+)?: error: (.*)$")
_CODE: Final = re.compile(r"\s*\[([a-z][a-z0-9-]*)\]$")


class Mypy(Parser):
    openers: ClassVar[tuple[bytes, ...]] = (b": error: ",)

    def __init__(self, found: Found) -> None:
        super().__init__(found)
        self._place: tuple[str | None, ...] | None = None
        self._message = ""
        self._is_told = False
        self._details = Excerpt()

    def line(self, text: str) -> bool:
        error = _ERROR.match(text)
        if error:
            self.end()
            self._place = error[1], error[2], error[3]
            self._message = error[4]
            self._is_told = _CODE.search(self._message) is not None
            return True
        if self._place is None:
            return False
        if text.startswith("    "):
            # The line of code and its mark, which `--pretty` shows below.
            self._is_told = True
            self._details.add(text)
            return True
        if self._is_told or not text or ": note: " in text or text.startswith("Found "):
            self.end()
            return False
        # A message that `--pretty` wrapped.
        self._message = f"{self._message.rstrip()} {text.strip()}"
        self._is_told = _CODE.search(self._message) is not None or len(self._message) > _LONGEST
        return True

    def end(self) -> None:
        if self._place:
            file, line, column = self._place
            code = _CODE.search(self._message)
            message = f"{_CODE.sub('', self._message)} [{code[1]}]" if code else self._message
            self.found(
                failure(
                    "mypy",
                    "type",
                    message,
                    file=file,
                    line=line,
                    column=column,
                    details=self._details.text,
                )
            )
        self._place = None
        self._details = Excerpt()


_LONGEST: Final = 1_000
