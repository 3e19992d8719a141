"""One limiter an installation, for all processes on one database: when a write may go to the forge, and when
nothing may be asked. The store holds the truth (`app.store.throttles`); here is what GitHub's rules are.

https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, assert_never

from sqlalchemy import Connection

from app.forge_error import ForgeError
from app.store import outbox, throttles
from app.store.database import Database
from app.store.outbox import Pending
from app.store.places import RepositoryRef
from handlers.effects import (
    AskApproval,
    CompactThread,
    Decide,
    EditComment,
    Effect,
    ForgetThread,
    HoldThread,
    Ignore,
    LiftBudget,
    LookAtChecks,
    NoteChecks,
    OpenPull,
    PauseTurn,
    PostComment,
    PostReview,
    PushResult,
    React,
    RecordReview,
    RerunJobs,
    ResumeTurn,
    SetBudget,
    SettleThread,
    StartTurn,
    SteerTurn,
    StopTurn,
    UndoTurn,
    WriteCheckRun,
)

log = logging.getLogger(__name__)

RESERVE: Final = 0.1
"""Of an hour's requests, kept for what people ask: what is merely nice to have stops there."""
LOOK_SECONDS: Final = 1.0
"""How old what is known of a block may be: another process may have heard of one."""
NOTE_SECONDS: Final = 60.0
"""Between two notes of a budget that is not scarce."""


class Weight(Enum):
    """What a write is to the forge's limits."""

    NOTHING = "nothing"
    """It asks the forge for nothing."""
    GIT = "git"
    """A push: not counted with requests, but held back with them."""
    ACKNOWLEDGEMENT = "acknowledgement"
    """Somebody waits to see that they were heard: goes before what waits."""
    CHANGE = "change"
    CONTENT = "content"
    """Tells people of itself: GitHub counts these apart."""


def weight_of(effect: Effect) -> Weight:
    match effect:
        case (
            StartTurn()
            | SteerTurn()
            | StopTurn()
            | PauseTurn()
            | ResumeTurn()
            | HoldThread()
            | ForgetThread()
            | CompactThread()
            | AskApproval()
            | Decide()
            | SetBudget()
            | LiftBudget()
            | RecordReview()
            | LookAtChecks()
            | NoteChecks()
            | Ignore()
        ):
            return Weight.NOTHING
        case PushResult() | UndoTurn():
            return Weight.GIT
        case React():
            return Weight.ACKNOWLEDGEMENT
        case EditComment() | WriteCheckRun() | SettleThread() | RerunJobs():
            return Weight.CHANGE
        case PostComment() | PostReview() | OpenPull():
            return Weight.CONTENT
        case _:
            assert_never(effect)


@dataclass(frozen=True, slots=True)
class Budget:
    """What an answer told of the hour's requests."""

    remaining: int
    limit: int
    resets_at: float

    def is_scarce(self, now: float) -> bool:
        return self.remaining < RESERVE * self.limit and self.resets_at > now


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store said of a limit a moment ago."""

    closed_until: float
    looked_at: float


class ForgeLimits:
    """The limits of every installation. Shared by all that asks the forge."""

    def __init__(self, database: Database, *, spacing: float, now: Callable[[], float] = time.time) -> None:
        """`spacing`: seconds between two writes; 0 for a forge that does not count them."""
        self._database = database
        self._spacing = spacing
        self._now = now
        self._known: dict[str, _Known] = {}
        self._budgets: dict[str, Budget] = {}
        self._noted_at: dict[str, float] = {}

    def admit(self, connection: Connection, pending: Pending, place: RepositoryRef) -> float:
        """Until when the effect has to wait; it may go when that is not later than now.

        When it may, the try is counted; when not, the effect keeps the time that it was given.
        """
        now, name = self._now(), throttles.github(place.installation)
        weight = weight_of(pending.effect)
        until, slot = 0.0, None
        if weight is not Weight.NOTHING:
            until = throttles.find(connection, name).writes_from
        if until <= now and weight not in {Weight.NOTHING, Weight.GIT} and self._spacing > 0:
            slot = pending.slot
            if slot is None:
                slot = self._book(connection, name, place, weight)
            until = slot
        if until <= now:
            outbox.begin(connection, pending.id)
        else:
            outbox.hold_back(connection, pending.id, until=until, slot=slot)
        return until

    def _book(self, connection: Connection, name: str, place: RepositoryRef, weight: Weight) -> float:
        return throttles.book(
            connection,
            name,
            spacing=self._spacing,
            is_creating=weight is Weight.CONTENT,
            is_urgent=weight is Weight.ACKNOWLEDGEMENT,
            installation=place.installation,
            now=self._now(),
        )

    async def may_show(self, installation: int | None) -> bool:
        """Whether a write that is better dropped than late may go now; if so, it has the moment to itself."""
        name = throttles.github(installation)
        if self.is_scarce(installation):
            return False
        return await self._database.write(
            lambda connection: throttles.book_if_free(
                connection, name, spacing=self._spacing, now=self._now()
            )
        )

    def is_scarce(self, installation: int | None) -> bool:
        """Whether what remains of the hour's requests is kept for what people ask."""
        budget = self._budgets.get(throttles.github(installation))
        return budget is not None and budget.is_scarce(self._now())

    async def check(self, installation: int | None) -> None:
        """Raises `ForgeError` (limited) while nothing may be asked: without asking."""
        now, name = self._now(), throttles.github(installation)
        known = self._known.get(name)
        if known is None or not 0 <= now - known.looked_at < LOOK_SECONDS:
            found = await self._database.read(lambda connection: throttles.find(connection, name))
            known = self._known[name] = _Known(found.closed_until, now)
        if known.closed_until > now:
            msg = "the forge has limited us, and is not asked before it said so"
            raise ForgeError("limited", msg, status=0, retry_after=known.closed_until - now)

    async def heard(self, installation: int | None, error: ForgeError, *, by_write: bool) -> None:
        """The forge limits us. A write that was too much leaves reading free; anything else closes all."""
        if error.fault != "limited" or error.status == 0:
            return
        name = throttles.github(installation)
        wait = error.retry_after if error.is_told else None
        is_all = error.is_exhausted or not by_write
        until = await self._database.write(
            lambda connection: throttles.block(connection, name, wait=wait, is_all=is_all, now=self._now())
        )
        self._known.pop(name, None)
        fields = {"limit": name, "seconds": round(until - self._now(), 1), "all": is_all, "said": str(error)}
        log.warning("forge.limited", extra={"fields": fields})

    async def told(self, installation: int | None, budget: Budget) -> None:
        """What an answer's headers said. Stored when it matters to others: scarce, or long not noted."""
        now, name = self._now(), throttles.github(installation)
        was_scarce = self.is_scarce(installation)
        self._budgets[name] = budget
        is_news = budget.remaining <= 0 or budget.is_scarce(now) != was_scarce
        if not is_news and now - self._noted_at.get(name, 0.0) < NOTE_SECONDS:
            return
        self._noted_at[name] = now
        await self._database.write(
            lambda connection: throttles.note_budget(
                connection,
                name,
                remaining=budget.remaining,
                budget=budget.limit,
                resets_at=min(budget.resets_at, now + throttles.LONGEST_TOLD),
            )
        )
        if budget.is_scarce(now):
            fields = {"limit": name, "remaining": budget.remaining, "of": budget.limit}
            log.warning("forge.scarce", extra={"fields": fields})
