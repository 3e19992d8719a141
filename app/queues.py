"""What a thread may have to be driven for; the engine has a queue of each."""

from enum import StrEnum


class Queue(StrEnum):
    """The two kinds of wake-up. A thread has one of each running at most."""

    EVENTS = "darner-events"
    """Handle the thread's inbox and perform its effects: short."""
    TURNS = "darner-turns"
    """Run the thread's next turn: long."""
