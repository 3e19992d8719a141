"""A journal and a session that live in this process only: nothing of them is durable."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.budget import Allowance
from harness.items import Item, Life
from harness.protocols import Decision, Entry, Steering


@dataclass
class MemoryJournal:
    """For turns that nobody resumes. Another turn of the thread takes `past=journal.thread()`."""

    past: Sequence[Entry] = ()
    entries: list[Entry] = field(default_factory=list)

    async def load(self) -> Sequence[Entry]:
        return tuple(self.entries)

    async def earlier(self) -> Sequence[Entry]:
        return self.past

    async def append(self, life: Life, item: Item) -> None:
        self.entries.append(Entry(len(self.past) + len(self.entries), life, item))

    def thread(self) -> Sequence[Entry]:
        """The earlier turns and this one."""
        return (*self.past, *self.entries)


def ignore(life: Life, item: Item) -> None:
    """Nobody watches."""


@dataclass
class PlainSession:
    """The world of a turn that runs in the process of the person who asked: real time, no store."""

    show: Callable[[Life, Item], None] = ignore
    _messages: list[Steering] = field(default_factory=list)
    _stopped_by: str | None = None

    def steer(self, text: str) -> None:
        """Tell the model something before its next step."""
        self._messages.append(Steering(len(self._messages) + 1, text))

    def stop(self, by: str) -> None:
        """End the turn, also in the middle of a step."""
        self._stopped_by = by

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def steering(self, after: int) -> Sequence[Steering]:
        return self._messages[after:]

    async def stop_requested(self) -> str | None:
        return self._stopped_by

    async def decision(self, request: str, *, is_due: bool) -> Decision | None:
        """There is nobody to answer by comment."""
        del request
        return Decision("expired") if is_due else None

    async def allowances(self) -> Sequence[Allowance]:
        return ()

    async def pause_requested(self) -> str | None:
        return None

    async def snapshot(self) -> str | None:
        return None

    def emit(self, life: Life, item: Item) -> None:
        self.show(life, item)
