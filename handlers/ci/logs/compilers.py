"""gcc, clang and their linkers: errors, not warnings. https://gcc.gnu.org/onlinedocs/gcc/Diagnostic-Message-Formatting-Options.html"""

import re
from typing import ClassVar, Final

from handlers.ci.logs.parsing import Excerpt, Found, Parser, failure

_ERROR: Final = re.compile(r"^([^\s:][^:]*(?::\\[^:]*)?):(?:(\d+):)?(?:(\d+):)? (?:fatal )?error: (.+)$")
_OTHERS: Final = (
    ".py",
    ".pyi",
    ".java",
    ".kt",
    ".kts",
    ".groovy",
    ".scala",
    ".go",
    ".rs",
    ".ts",
    ".tsx",
    ".js",
    ".swift",
)
"""Files that other compilers and checkers, which write in the same form, have a parser of their own for."""
_UNDEFINED: Final = re.compile(r"(?:^|[\s/:])([^\s/:()]+):\([^()]*\): (undefined reference to .+)$")
_LLD: Final = re.compile(
    r"^ld(?:\.lld|64\.lld)?: (?:error: )?(undefined symbol: .+|symbol\(s\) not found .+)$"
)


class Compilers(Parser):
    openers: ClassVar[tuple[bytes, ...]] = (b"error: ", b": undefined reference to ", b"undefined symbol: ")

    def __init__(self, found: Found) -> None:
        super().__init__(found)
        self._at: tuple[str | None, ...] | None = None
        self._message = ""
        self._details = Excerpt()

    def line(self, text: str) -> bool:
        error = _ERROR.match(text)
        if error and not error[1].endswith(_OTHERS) and (error[2] or error[1].startswith("<")):
            self.end()
            self._at = error[1], error[2], error[3]
            self._message = error[4]
            return True
        undefined, symbol = _UNDEFINED.search(text), _LLD.match(text)
        if undefined:
            self.found(failure("cc", "build", undefined[2], file=undefined[1]))
        elif symbol:
            self.found(failure("cc", "build", symbol[1]))
        if self._at and text[:1].isspace():
            self._details.add(text)
            return True
        self.end()
        return False

    def end(self) -> None:
        if self._at:
            file, line, column = self._at
            self.found(
                failure(
                    "cc",
                    "compile",
                    self._message,
                    file=file,
                    line=line,
                    column=column,
                    details=self._details.text,
                )
            )
        self._at = None
        self._details = Excerpt()
