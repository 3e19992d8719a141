"""How often what could not be done is tried again, and after which pauses: letters, effects and turns alike.

A request to the model has a rule of its own: `harness/retry.py`.
"""

from dataclasses import dataclass
from typing import Final

from app.forge_error import ForgeError

TRIES: Final = 8
"""Tries before a fault of our own, or something merely nice to have, is given up: two minutes."""
PATIENT_TRIES: Final = 300
"""Tries while the forge is out of order: with the longest pause, about a day."""
GIT_TRIES: Final = 30
"""Tries of a git that could not: hours. It may be the network, or a disk that an operator must look after."""
TAKES: Final = 8
"""Times that a turn is taken up without getting as far as an end or a wait."""

LONGEST_PAUSE: Final = 300.0
LONGEST_OBEYED: Final = 3600.0
"""Of a `Retry-After`."""
LONGEST_FORGE_PAUSE: Final = 60.0
"""Of a turn, when the forge names no time; the first pauses are shorter: mostly it was one bad answer."""
PATIENCE_SECONDS: Final = 24 * 3600.0
"""How long a turn waits for a forge that is out of order."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why something was not done, and how often it is worth trying."""

    text: str
    tries: int
    retry_after: float | None = None
    """Seconds that the forge asked for."""

    def is_final(self, tried: int) -> bool:
        """Whether it is given up now; `tried` tries came before this one."""
        return tried + 1 >= self.tries

    def pause(self, tried: int) -> float:
        """Seconds until the next try: what the forge asked for, else 1, 2, 4 …"""
        if self.retry_after is not None:
            return _obeyed(self.retry_after)
        return min(LONGEST_PAUSE, 2.0 ** min(tried, 20))


def forge_pause(error: ForgeError, *, age: float) -> float | None:
    """Seconds until a turn that is `age` seconds old asks the forge again; None when it gives up."""
    if not error.is_passing or age >= PATIENCE_SECONDS:
        return None
    return _obeyed(error.retry_after or min(age / 2, LONGEST_FORGE_PAUSE))


def _obeyed(seconds: float) -> float:
    return min(max(seconds, 1.0), LONGEST_OBEYED)
