"""Shows a running turn on its progress comment: the header is ours, the checklist the agent's plan.

Best effort and outside the outbox: an edit that fails is made up for by the next one, and the last state is
written by an effect.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from sqlalchemy import Connection

from app.forge_error import ForgeError
from app.forge_limits import ForgeLimits
from app.perform import Performer
from app.spending import Purse
from app.store import messages, outbox, requests
from app.store.database import Database
from app.store.places import RepositoryRef
from app.store.turns import TurnRow
from handlers import comments
from handlers.effects import StartTurn
from harness.budget import Allowance
from harness.items import Item, Life, PlanStep, PlanUpdate
from harness.protocols import Decision, Steering

log = logging.getLogger(__name__)

EDIT_SECONDS: Final = 10.0
"""Between two edits: a comment is a content-creating write, and they are counted."""

STOP_SECONDS: Final = 0.5
"""Between two looks for a request to stop: it takes effect within two seconds."""

Watcher = Callable[[str, Life, Item], None]
"""Called with the turn's id; must not block."""

Keeper = Callable[[], Awaitable[str | None]]
"""Keeps the turn's work tree; see `Session.snapshot`."""


class Progress:
    """Makes the session of a turn, and keeps its comment in step."""

    def __init__(
        self,
        database: Database,
        performer: Performer,
        limits: ForgeLimits,
        *,
        watcher: Watcher | None = None,
    ) -> None:
        self._database = database
        self._limits = limits
        self._performer = performer
        self._watcher = watcher

    @asynccontextmanager
    async def follow(
        self, row: TurnRow, start: StartTurn, place: RepositoryRef, *, snapshot: Keeper, purse: Purse
    ) -> AsyncIterator["TurnSession"]:
        """The session of one turn; its comment is edited until the context ends."""
        session = TurnSession(row.id, self._database, self._watcher, snapshot, purse)
        editing = asyncio.create_task(self._keep_edited(session, start, place))
        try:
            yield session
        finally:
            editing.cancel()
            with suppress(asyncio.CancelledError):
                await editing

    async def _keep_edited(self, session: "TurnSession", start: StartTurn, place: RepositoryRef) -> None:
        shown = ""
        begun = time.monotonic()
        while True:
            await asyncio.sleep(EDIT_SECONDS)
            posted = await self._database.read(
                lambda connection: outbox.result_of(connection, start.progress_key)
            )
            # What changes by itself (the clock, what was spent) is no reason to edit.
            state = comments.progress(comments.Progress(phase="working", start=start, plan=session.plan))
            if "comment" not in posted or state == shown:
                continue
            # Whatever else has to be written goes first: this one is dropped, the next one tells the same.
            if not await self._limits.may_show(place.installation):
                continue
            seconds = time.monotonic() - begun
            body = comments.progress(
                comments.Progress(
                    phase="working",
                    start=start,
                    plan=session.plan,
                    seconds=seconds,
                    allowances=await session.purse.standing(),
                )
            )
            try:
                await self._performer.edit_progress(place, start, posted, body)
            except ForgeError as error:
                log.info("progress.not_shown", extra={"fields": {"turn": start.turn_id, "error": str(error)}})
            else:
                shown = state


class TurnSession:
    """`harness.protocols.Session` of a turn that a comment asked for."""

    def __init__(
        self, turn: str, database: Database, watcher: Watcher | None, keeper: Keeper, purse: Purse
    ) -> None:
        self._turn = turn
        self._database = database
        self._asked_at = -STOP_SECONDS
        self._stopped_by: str | None = None
        self._watcher = watcher
        self._keeper = keeper
        self.purse: Final = purse
        self.plan: tuple[PlanStep, ...] = ()

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def steering(self, after: int) -> Sequence[Steering]:
        said = await self._database.read(
            lambda connection: messages.steering(connection, self._turn, after=after)
        )
        return [
            Steering(message.number, message.text, "compact" if message.kind == "compact" else "say")
            for message in said
        ]

    async def stop_requested(self) -> str | None:
        """Asked many times a second while a command or the model works: looked up less often."""
        if self._stopped_by is None and time.monotonic() - self._asked_at >= STOP_SECONDS:
            self._asked_at = time.monotonic()
            self._stopped_by = await self._database.read(
                lambda connection: messages.stopped_by(connection, self._turn)
            )
        return self._stopped_by

    async def decision(self, request: str, *, is_due: bool) -> Decision | None:
        def look(connection: Connection) -> Decision | None:
            return requests.decision_of(connection, request, turn=self._turn, is_due=is_due, now=self.now())

        return await (self._database.write(look) if is_due else self._database.read(look))

    async def allowances(self) -> Sequence[Allowance]:
        return await self.purse.allowances()

    async def pause_requested(self) -> str | None:
        return await self._database.read(lambda connection: messages.paused_by(connection, self._turn))

    async def snapshot(self) -> str | None:
        return await self._keeper()

    def emit(self, life: Life, item: Item) -> None:
        if isinstance(item, PlanUpdate) and life is Life.COMPLETED:
            self.plan = item.plan
        if self._watcher is not None:
            self._watcher(self._turn, life, item)
