"""The traceback as Python itself prints it: its last frame in the repository, and what was raised."""

import re
from typing import Final

from handlers.ci.logs.parsing import is_library

_FRAME: Final = re.compile(r'^\s*File "([^"]+)", line (\d+)')
_RAISED: Final = re.compile(r"^[A-Za-z_][\w.]*(?::|$)")


class Traceback:
    """Fed line by line. Of chained exceptions the last one counts, as it is the one that was not caught."""

    def __init__(self) -> None:
        self.file: str | None = None
        self.line: str | None = None
        self.raised = ""
        self._is_in_frames = False

    def feed(self, text: str) -> None:
        if text.startswith("Traceback (most recent call last)"):
            self._is_in_frames = True
            return
        frame = _FRAME.match(text)
        if frame:
            self._is_in_frames = True
            if not is_library(frame[1]):
                self.file, self.line = frame[1], frame[2]
        elif self._is_in_frames and _RAISED.match(text):
            self.raised = text
            self._is_in_frames = False
