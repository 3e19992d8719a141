"""Drives a thread's inbox: claims a letter, fetches the view, asks the handlers, stores and performs effects.

Effects of one thread are done in order; one that must wait (a rate limit) holds the later ones.
"""

import logging
import secrets
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from app.engine import Queue, WakeUps
from app.github import ForgeError, GitHub
from app.perform import Performed, Performer
from app.store import deliveries, inbox, outbox, turns
from app.store.database import Database
from app.store.inbox import Letter
from app.store.outbox import Pending
from app.view import fetch_view
from handlers.dispatch import dispatch
from handlers.effects import Effect, Ignore, StartTurn
from handlers.events import Event
from handlers.ingest import parse
from handlers.view import Bot

log = logging.getLogger(__name__)

ATTEMPTS: Final = 8
"""Tries before a letter or an effect is given up; with the delays below, about half an hour."""


class EventsWorker:
    """The `Queue.EVENTS` drive."""

    def __init__(
        self,
        database: Database,
        wake_ups: WakeUps,
        github: GitHub,
        performer: Performer,
        *,
        bot: Callable[[], Bot],
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._wake_ups = wake_ups
        self._github = github
        self._performer = performer
        self._bot = bot
        self._now = now

    async def drive(self, thread: str) -> None:
        """Work until nothing is left that may be done now."""
        while True:
            pending, letter = await self._database.read(
                lambda connection: (
                    outbox.next_pending(connection, thread),
                    inbox.next_letter(connection, thread),
                )
            )
            waiting = pending or letter
            # Whoever postponed it has enqueued the wake-up for then.
            if waiting is None or waiting.not_before > self._now():
                return
            if pending is not None:
                goes_on = await self._perform(thread, pending)
            else:
                goes_on = letter is not None and await self._handle(thread, letter)
            if not goes_on:
                return

    async def _handle(self, thread: str, letter: Letter) -> bool:
        """One event: view, decision, effects. The handler border: a fault is recorded and tried again."""
        try:
            event = await self._event(letter)
            place = await self._database.read(lambda connection: inbox.place_of(connection, thread))
            running = await self._database.read(lambda connection: turns.next_unfinished(connection, thread))
            view = await fetch_view(
                event,
                github=self._github,
                place=place,
                bot=self._bot(),
                running_turn=running.id if running else None,
            )
            chosen = dispatch(event, view)
        except ForgeError as error:
            return await self._postpone_letter(thread, letter, str(error), after=error.retry_after)
        except Exception:
            reference = secrets.token_hex(4)
            log.exception(
                "event.handler_failed", extra={"fields": {"reference": reference, "thread": thread}}
            )
            return await self._postpone_letter(thread, letter, f"internal error {reference}", after=None)
        await self._database.write(lambda connection: self._decide(connection, thread, letter, chosen))
        return True

    async def _event(self, letter: Letter) -> Event:
        if letter.event is not None:
            return letter.event
        if letter.delivery is None:
            msg = f"letter {letter.id} has neither a delivery nor an event"
            raise ValueError(msg)
        delivery = letter.delivery
        _, name, body = await self._database.read(lambda connection: deliveries.read(connection, delivery))
        return parse(name, body)

    def _decide(self, connection: Connection, thread: str, letter: Letter, chosen: list[Effect]) -> None:
        """Effects, the letter and the delivery's decision: one transaction."""
        now = self._now()
        outbox.put(connection, thread, chosen, cause=letter.id, now=now)
        inbox.mark(connection, letter.id, "handled")
        if letter.delivery is not None:
            reasons = [effect.reason for effect in chosen if isinstance(effect, Ignore)]
            started = [effect.turn_id for effect in chosen if isinstance(effect, StartTurn)]
            reason = "; ".join(reasons) or (f"Started turn {started[0]}." if started else "Answered.")
            deliveries.decide(connection, letter.delivery, state="handled", reason=reason)

    async def _postpone_letter(self, thread: str, letter: Letter, fault: str, *, after: float | None) -> bool:
        delay = after if after is not None else _backoff(letter.attempts)
        until = self._now() + delay
        gives_up = letter.attempts + 1 >= ATTEMPTS

        def postpone(connection: Connection) -> None:
            inbox.postpone(connection, letter.id, until=until)
            if gives_up:
                inbox.mark(connection, letter.id, "failed")
                if letter.delivery is not None:
                    reason = f"Given up after {ATTEMPTS} tries: {fault}"
                    deliveries.decide(connection, letter.delivery, state="failed", reason=reason)
                return
            wake = f"letter-{letter.id}-{letter.attempts + 1}"
            self._wake_ups.enqueue(connection, Queue.EVENTS, thread, wake=wake, delay=delay)

        await self._database.write(postpone)
        log.warning(
            "event.postponed",
            extra={"fields": {"thread": thread, "letter": letter.id, "fault": fault, "delay": delay}},
        )
        return gives_up

    async def _perform(self, thread: str, pending: Pending) -> bool:
        await self._database.write(lambda connection: outbox.begin(connection, pending.id))
        place = await self._database.read(lambda connection: inbox.place_of(connection, thread))
        try:
            performed = await self._performer.perform(pending, thread, place)
        except ForgeError as error:
            gives_up = not error.is_passing or pending.attempts + 1 >= ATTEMPTS
            return await self._put_off(
                thread, pending, str(error), after=error.retry_after, gives_up=gives_up
            )
        except Exception as error:
            # The border again: whatever an effect raises, the thread's others must not be stuck behind it.
            reference = secrets.token_hex(4)
            log.exception("effect.crashed", extra={"fields": {"reference": reference, "thread": thread}})
            fault = f"{type(error).__name__} (reference {reference})"
            gives_up = pending.attempts + 1 >= ATTEMPTS
            return await self._put_off(thread, pending, fault, after=None, gives_up=gives_up)
        woken = await self._database.write(
            lambda connection: self._finish(connection, thread, pending, performed)
        )
        if woken is not None:
            self._wake_ups.nudge(woken, thread)
        return True

    def _finish(
        self, connection: Connection, thread: str, pending: Pending, performed: Performed
    ) -> Queue | None:
        """The effect is done; what happened by it goes into the inbox in the same transaction."""
        now = self._now()
        outbox.finish(connection, pending.id, performed.result, now=now)
        if performed.event is not None:
            letter = inbox.put_event(connection, thread, performed.event, now=now)
            self._wake_ups.enqueue(connection, Queue.EVENTS, thread, wake=f"letter-{letter}")
        if performed.wake is not None:
            self._wake_ups.enqueue(connection, performed.wake, thread, wake=f"effect-{pending.id}")
        return performed.wake

    async def _put_off(
        self, thread: str, pending: Pending, fault: str, *, after: float | None, gives_up: bool
    ) -> bool:
        delay = after if after is not None else _backoff(pending.attempts)
        now = self._now()

        def record(connection: Connection) -> None:
            if gives_up:
                outbox.fail(connection, pending.id, error=fault, now=now)
                return
            outbox.postpone(connection, pending.id, error=fault, until=now + delay)
            wake = f"effect-{pending.id}-{pending.attempts + 1}"
            self._wake_ups.enqueue(connection, Queue.EVENTS, thread, wake=wake, delay=delay)

        await self._database.write(record)
        log.warning(
            "effect.failed" if gives_up else "effect.postponed",
            extra={"fields": {"thread": thread, "key": pending.effect.key, "fault": fault, "delay": delay}},
        )
        return gives_up


def _backoff(attempts: int) -> float:
    """1, 2, 4 … seconds, at most five minutes."""
    return min(300.0, 2.0**attempts)
