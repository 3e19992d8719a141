"""tsc, plain and `--pretty`. https://www.typescriptlang.org/docs/handbook/compiler-options.html"""

import re
from typing import ClassVar, Final

from handlers.ci.logs.parsing import Excerpt, Found, Parser, failure

_PLAIN: Final = re.compile(r"^(\S[^()]*)\((\d+),(\d+)\): error (TS\d+): (.*)$")
_PRETTY: Final = re.compile(r"^(\S[^:]*(?::\\[^:]*)?):(\d+):(\d+) - error (TS\d+): (.*)$")
_NOWHERE: Final = re.compile(r"^error (TS\d+): (.*)$")


class Tsc(Parser):
    openers: ClassVar[tuple[bytes, ...]] = (b"error TS",)

    def __init__(self, found: Found) -> None:
        super().__init__(found)
        self._place: tuple[str | None, ...] | None = None
        self._message = ""
        self._details = Excerpt()
        self._gaps = 0

    def line(self, text: str) -> bool:
        error = _PLAIN.match(text) or _PRETTY.match(text)
        nowhere = None if error else _NOWHERE.match(text)
        if error:
            self.end()
            self._place = error[1], error[2], error[3]
            self._message = f"{error[4]} {error[5]}"
            return True
        if nowhere:
            self.end()
            self._place = None, None, None
            self._message = f"{nowhere[1]} {nowhere[2]}"
            return True
        if self._place is None:
            return False
        if not text.strip():
            # `--pretty` has one empty line before the excerpt and one after it.
            self._gaps += 1
        elif not text[0].isspace() and not (text[0].isdecimal() and self._gaps == 1):
            self.end()
            return False
        self._details.add(text)
        if self._gaps > _MOST_GAPS:
            self.end()
            return False
        return True

    def end(self) -> None:
        if self._place:
            file, line, column = self._place
            self.found(
                failure(
                    "tsc",
                    "type",
                    self._message,
                    file=file,
                    line=line,
                    column=column,
                    details=self._details.text,
                )
            )
        self._place = None
        self._details = Excerpt()
        self._gaps = 0


_MOST_GAPS: Final = 3
