"""What a turn that repairs failed checks is given: kept in its `StartTurn`."""

from dataclasses import dataclass
from typing import Final

LOGS: Final = "ci-logs"
"""The directory below `~/.cache` where the sandbox has the logs."""
LOGS_INSIDE: Final = f"/home/agent/.cache/{LOGS}"


@dataclass(frozen=True, slots=True)
class CiJob:
    """A failed job whose log the agent can read."""

    id: int
    name: str
    file: str
    """Below `LOGS`: a name that we made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CiTask:
    fingerprint: str
    """Of all that failed together."""
    attempt: int
    """From 1."""
    of: int
    excerpt: str
    """What the failed jobs say: hostile text."""
    jobs: tuple[CiJob, ...]
    by_itself: bool
    """Nobody asked for it: the requester is the bot."""


def log_name(position: int, name: str) -> str:
    """A plain file name for the log of the job `name`, the `position`-th that failed."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name).strip("-")
    return f"{position}-{plain[:60] or 'job'}.log"
