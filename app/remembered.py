"""What the forge answered, kept to ask whether it is still so: "not modified" is not counted.

Never an answer without asking: what is given out was confirmed by the forge just now.
https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#use-conditional-requests-if-appropriate
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

MOST_CHARACTERS: Final = 16 * 1024 * 1024
"""Of all answers together; the least recently used go first."""
LONGEST: Final = 1024 * 1024
"""Of one answer; a longer one is asked for anew each time."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """One answer as it came."""

    etag: str
    link: str
    """The `Link` header: it belongs to a page."""
    text: str


class Answers:
    """The answers of one process. Safe to use from any thread."""

    def __init__(self, *, most: int = MOST_CHARACTERS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Remembered] = OrderedDict()
        self._size = 0

    def find(self, key: Hashable) -> Remembered | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def keep(self, key: Hashable, answer: Remembered) -> None:
        with self._lock:
            former = self._kept.pop(key, None)
            self._size -= len(former.text) if former else 0
            if len(answer.text) > min(LONGEST, self._most):
                return
            self._kept[key] = answer
            self._size += len(answer.text)
            while self._size > self._most:
                _, oldest = self._kept.popitem(last=False)
                self._size -= len(oldest.text)
