"""Drives a thread's inbox and outbox: its letters are handled, its effects performed, until neither has more.

Effects of one thread are done in order; one that must wait (a rate limit) holds the later ones. What is given
up is an event of its own, so that whoever asked hears of it.
"""

from collections.abc import Callable
from typing import Final

from app.engine import WakeUps
from app.forge_limits import ForgeLimits
from app.github import GitHub
from app.handling import Handling
from app.outgoing import Outgoing
from app.perform import Performer
from app.queues import Queue
from app.spending import Spending
from app.store import inbox, outbox
from app.store.database import Database
from app.store.inbox import Letter
from app.store.outbox import Pending
from handlers.events import OperatorAsked
from handlers.view import Bot

LOOKS_AT_EFFECTS: Final = frozenset({"Retry", "Fork", "Undo", "Companion", "Forget", "retry", "rerequested"})
"""Commands, and buttons, that go by what was pushed before, or delete it: they come after all of it."""


class EventsWorker:
    """The `Queue.EVENTS` drive."""

    def __init__(
        self,
        database: Database,
        wake_ups: WakeUps,
        github: GitHub,
        performer: Performer,
        limits: ForgeLimits,
        *,
        bot: Callable[[], Bot],
        spending: Spending,
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._wake_ups = wake_ups
        self._handling = Handling(database, wake_ups, github, bot=bot, spending=spending, now=now)
        self._outgoing = Outgoing(database, wake_ups, github, performer, limits, now=now)
        self._now = now

    async def drive(self, thread: str) -> None:
        """Work until nothing is left that may be done now."""
        while True:
            place, pending, letter = await self._database.read(
                lambda connection: (
                    inbox.place_of(connection, thread),
                    outbox.next_pending(connection, thread),
                    inbox.next_letter(connection, thread, now=self._now()),
                )
            )
            is_free = pending is not None and pending.not_before <= self._now()
            if pending is not None and is_free and await self._outgoing.may_go(thread, place, pending):
                await self._outgoing.perform(thread, place, pending)
            elif letter is not None and self._is_due(letter, pending):
                await self._handling.handle(thread, place, letter)
            else:
                # Whoever postponed it has enqueued the wake-up for then.
                if pending is not None and not is_free and pending.slot is not None:
                    # Its time was moved back while it waited.
                    self._wake_ups.nudge(Queue.EVENTS, thread, after=pending.not_before - self._now())
                return

    def _is_due(self, letter: Letter, pending: Pending | None) -> bool:
        """Whether it is the letter's time, also while an effect waits for the forge's limits.

        What it is decided to do goes out behind what waits; but a turn is stopped, steered or answered at
        once. Only what looks at the effects themselves waits until they are done.
        """
        if letter.not_before > self._now():
            return False
        asks_operator = isinstance(letter.event, OperatorAsked)
        return pending is None or not (asks_operator or letter.command in LOOKS_AT_EFFECTS)
