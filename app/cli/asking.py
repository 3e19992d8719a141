"""Asks the person at the terminal whether a turn may do what a rule wants to be asked about."""

import asyncio
import os
import sys
import termios
from typing import Final

from handlers.comments_requests import every_character
from harness.approvals import request_id
from harness.items import ApprovalRequest, TurnId
from harness.protocols import Decision

WHO: Final = "the person at the terminal"
LONGEST_ANSWER: Final = 4096
"""Bytes: what a terminal hands over as a line."""


def somebody_is_there() -> bool:
    """Whether questions can be seen, on standard error, and answered, on standard input."""
    return sys.stdin.isatty() and sys.stderr.isatty() and _is_in_front(sys.stdin.fileno())


def _is_in_front(terminal: int) -> bool:
    """A job in the background would be halted by its first look at the terminal."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        # Not the terminal that controls us: nobody halts us there.
        return True


async def ask(turn: TurnId, asked: ApprovalRequest) -> Decision:
    """Show all of it, and wait for a line. Nothing but a yes allows; other words are told to the agent."""
    terminal = sys.stdin.fileno()
    # What was typed before it was asked is no answer.
    termios.tcflush(terminal, termios.TCIFLUSH)
    sys.stderr.write(question(turn, asked))
    sys.stderr.flush()
    heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def hear() -> None:
        if not heard.done():
            heard.set_result(_line(terminal))

    loop = asyncio.get_running_loop()
    loop.add_reader(terminal, hear)
    try:
        return decision_of(await heard)
    finally:
        loop.remove_reader(terminal)


def _line(terminal: int) -> str:
    """Empty at the end of input, and when the terminal has gone."""
    try:
        return os.read(terminal, LONGEST_ANSWER).decode("utf-8", "replace")
    except OSError:
        return ""


def question(turn: TurnId, asked: ApprovalRequest) -> str:
    """What exactly is asked for, character by character, and why."""
    place = f", in {every_character(asked.place)}" if asked.place not in {"", "."} else ""
    what = "\n".join(f"    {line}" for line in every_character("\n".join(asked.wanted)).split("\n"))
    why = every_character(" ".join(asked.why.split()))
    return (
        f"\nThe agent asks for leave to run this command{place}:\n\n{what}\n\n"
        f"Why: {why}\n"
        f"Request {request_id(turn, asked.id)}, digest {asked.digest[:12]}.\n"
        "Allow exactly this, once? [y/N, or why not] "
    )


def decision_of(line: str) -> Decision:
    """`y` or `yes` allows; all else, an empty line and the end of input among it, does not."""
    first, _, rest = line.strip().partition(" ")
    word = first.casefold().rstrip(",.:;")
    if word in {"y", "yes"} and not rest.strip():
        return Decision("approved", WHO)
    words = rest.strip() if word in {"n", "no"} else line.strip()
    return Decision("denied", WHO, words)
