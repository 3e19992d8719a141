"""Looks whether the conversations that we are busy with still go on: at the start, and from time to time.

Webhooks tell it sooner; this is for those that never came. Asks for nothing that has not changed (conditional
requests), only about threads with something left to do, and not when the hour's requests run low.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from app import letters
from app.engine import WakeUps
from app.forge_error import ForgeError
from app.forge_limits import ForgeLimits
from app.github import Client, GitHub, Standing
from app.queues import Queue
from app.store import backlog, inbox, messages, outbox, turns
from app.store.database import Database
from app.store.places import RepositoryRef
from handlers.effects import EffectAdapter, StartTurn, Trigger
from handlers.events import Leaving, SubjectFound
from handlers.on_subject_gone import gone_key
from handlers.view import TurnBrief
from harness.items import Failed

log = logging.getLogger(__name__)

LOST: Final = frozenset({"missing", "denied", "invalid"})
"""What the forge says of a repository that is gone, or that we may not see any more."""


SURE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Thread:
    """One conversation with something left to do."""

    id: str
    number: int
    place: RepositoryRef
    turns: tuple[TurnBrief, ...]
    triggers: tuple[tuple[str, Trigger], ...]
    """Of turns that were never begun, by their ids."""


class Reconciler:
    """Of several processes one looks: `is_my_turn` says which."""

    def __init__(
        self,
        database: Database,
        wake_ups: WakeUps,
        github: GitHub,
        limits: ForgeLimits,
        *,
        every: float,
        is_my_turn: Callable[[str, float], Awaitable[bool]],
        sure_after: float = SURE_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`every`: seconds; `sure_after`: for how long a repository must have been out of reach."""
        self._database = database
        self._wake_ups = wake_ups
        self._github = github
        self._limits = limits
        self._every = every
        self._is_my_turn = is_my_turn
        self._now = now
        self._sure_after = sure_after
        self._doubted: dict[int, float] = {}
        self._wanted = asyncio.Event()

    def look_soon(self) -> None:
        """Something of note was told: look now, whoever's turn it is."""
        self._wanted.set()

    async def watch(self) -> None:
        """For as long as the server runs."""
        while True:
            is_wanted = self._wanted.is_set()
            self._wanted.clear()
            try:
                if is_wanted or await self._is_my_turn("darner-reconcile", self._every / 2):
                    await self.look()
            except SQLAlchemyError as error:
                # The database is out of order: the next look is soon enough.
                log.warning("reconcile.not_looked", extra={"fields": {"error": type(error).__name__}})
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._wanted.wait()

    async def look(self) -> None:
        """Look at every conversation once; what the forge does not tell now is left to the next look."""
        for thread in await self._database.read(_busy):
            if self._limits.is_scarce(thread.place.installation):
                continue
            try:
                await self._look_at(thread)
            except ForgeError as error:
                fields = {"thread": thread.id, "error": str(error)}
                log.info("reconcile.not_told", extra={"fields": fields})

    async def _look_at(self, thread: _Thread) -> None:
        try:
            standing = await self._github.run(thread.place, lambda client: client.standing())
        except ForgeError as error:
            if error.fault not in LOST:
                raise
            if self._is_sure(thread.place.id):
                await self._lost(thread, f"the repository cannot be reached any more: {error}")
            return
        self._doubted.pop(thread.place.id, None)
        place = await self._renamed(thread, standing)
        if standing.is_archived:
            await self._lost(thread, "the repository was archived, and takes no writes")
            return
        found = await self._found(thread, place)
        if found is not None:
            await self._tell(thread, found)

    def _is_sure(self, repository: int) -> bool:
        """Whether it has been so for a while: one wrong answer must not end what people wait for."""
        now = self._now()
        since = self._doubted.setdefault(repository, now)
        if now - since >= self._sure_after:
            return True
        asyncio.get_running_loop().call_later(self._sure_after, self.look_soon)
        return False

    async def _renamed(self, thread: _Thread, standing: Standing) -> RepositoryRef:
        place = RepositoryRef(thread.place.id, standing.full_name, thread.place.installation)
        if place != thread.place:
            await self._database.write(lambda connection: inbox.rename_repository(connection, place))
        return place

    async def _found(self, thread: _Thread, place: RepositoryRef) -> SubjectFound | None:
        """What is over; None when all goes on."""
        if not thread.number:
            # A branch's: it is never closed.
            return None
        try:
            state = await self._github.run(place, lambda client: client.subject_state(thread.number))
        except ForgeError as error:
            # The repository was there a moment ago: it is the issue that is gone, or has moved.
            if error.fault != "missing":
                raise
            return SubjectFound(way="deleted")
        withdrawn = await self._withdrawn(thread, place)
        if not state.is_open:
            way: Leaving = "merged" if state.is_merged else "closed"
            return SubjectFound(way=way, by=state.closed_by, at=state.closed_at, withdrawn=withdrawn)
        return SubjectFound(way=None, withdrawn=withdrawn) if withdrawn else None

    async def _withdrawn(self, thread: _Thread, place: RepositoryRef) -> tuple[str, ...]:
        def gone(client: Client) -> tuple[str, ...]:
            return tuple(
                turn
                for turn, trigger in thread.triggers
                if trigger.kind != "subject"
                and not client.has_comment(trigger.id, in_review=trigger.kind == "review_comment")
            )

        return await self._github.run(place, gone) if thread.triggers else ()

    async def _tell(self, thread: _Thread, found: SubjectFound) -> None:
        """An event like any other, unless every turn that it is about has been told."""

        def store(connection: Connection) -> bool:
            untold = [
                turn
                for turn in thread.turns
                if turn.state != "ended" and not messages.is_known(connection, gone_key(turn.id))
            ]
            if not untold:
                return False
            letters.post(connection, self._wake_ups, thread.id, found, origin=None, now=self._now())
            return True

        if await self._database.write(store):
            self._wake_ups.nudge(Queue.EVENTS, thread.id)
            fields = {"thread": thread.id, "way": found.way or "", "withdrawn": len(found.withdrawn)}
            log.info("reconcile.found", extra={"fields": fields})

    async def _lost(self, thread: _Thread, why: str) -> None:
        """Nobody can be told, and nothing can be written: what waits ends here, and is not tried again."""

        def give_up(connection: Connection) -> None:
            now = self._now()
            outcome = Failed(cause=f"Ended: {why}.", reference="", retryable=True)
            turns.abandon(connection, thread.id, outcome, now=now)
            for turn in thread.turns:
                if turn.state == "running":
                    key = gone_key(turn.id)
                    messages.stop(connection, turn.id, author="the loss of access", key=key, now=now)
            outbox.give_up(connection, thread.id, error=why, now=now)
            inbox.give_up(connection, thread.id, reason=f"Given up: {why}.")

        await self._database.write(give_up)
        log.warning("reconcile.lost", extra={"fields": {"thread": thread.id, "why": why}})


def _busy(connection: Connection) -> list[_Thread]:
    return [_thread(connection, thread) for thread in backlog.unfinished(connection)]


def _thread(connection: Connection, thread: str) -> _Thread:
    return _Thread(
        thread,
        int(thread.split("-")[1]),
        inbox.place_of(connection, thread),
        tuple(turns.briefs_of(connection, thread)),
        tuple(
            (row.id, trigger)
            for row in turns.of_thread(connection, thread)
            if row.status == "queued" and (trigger := _trigger_of(row.start)) is not None
        ),
    )


def _trigger_of(start: str) -> Trigger | None:
    try:
        effect = EffectAdapter.validate_json(start)
    except ValidationError:
        return None
    return effect.trigger if isinstance(effect, StartTurn) else None
