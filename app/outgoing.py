"""Does the effects that were decided: when their time is, again after a fault, and given up in the end."""

import logging
import secrets
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from app import letters
from app.engine import WakeUps
from app.forge_error import ForgeError
from app.forge_limits import ForgeLimits
from app.github import GitHub
from app.moved import has_moved
from app.perform import Performed, Performer
from app.queues import Queue
from app.results import StoreAway
from app.retry import GIT_TRIES, PATIENT_TRIES, TRIES, Fault
from app.store import inbox, outbox
from app.store.database import Database
from app.store.outbox import Pending
from app.store.places import RepositoryRef
from handlers.effects import Effect, OpenPull, PostComment, PostReview, PushResult, StartTurn, UndoTurn
from handlers.events import (
    EffectFailed,
    InternalEvent,
    PlacedFinding,
    PushRefused,
    ResultPushed,
    ReviewPosted,
    SuggestionsPosted,
    TurnEnded,
    TurnEvent,
    UndoEnded,
    ended_of,
)
from harness.protocols import OwnershipLost
from sandbox.base import SandboxError
from sandbox.git import GitFailed

log = logging.getLogger(__name__)

_BASE_IS_GONE: Final = '"field": "base"'
"""In GitHub's refusal of a pull request. https://docs.github.com/en/rest/pulls/pulls#create-a-pull-request"""


class Outgoing:
    """The effects of all threads, on their way out."""

    def __init__(
        self,
        database: Database,
        wake_ups: WakeUps,
        github: GitHub,
        performer: Performer,
        limits: ForgeLimits,
        *,
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._wake_ups = wake_ups
        self._github = github
        self._performer = performer
        self._limits = limits
        self._now = now

    async def may_go(self, thread: str, place: RepositoryRef, pending: Pending) -> bool:
        """Whether the forge's limits let the effect go now: then its try is counted. Else it waits."""
        until = await self._database.write(lambda connection: self._limits.admit(connection, pending, place))
        wait = until - self._now()
        if wait > 0:
            # What waits longer than a nudge may is found by the engine's sweep.
            self._wake_ups.nudge(Queue.EVENTS, thread, after=wait)
        return wait <= 0

    async def perform(self, thread: str, place: RepositoryRef, pending: Pending) -> None:
        """Do an effect whose try is counted."""
        try:
            performed = await self._performer.perform(pending, thread, place)
        except ForgeError as error:
            if await has_moved(self._github, self._database, place, error):
                return
            fault = Fault(str(error), _worth(pending.effect, error), error.retry_after)
            await self._put_off(thread, pending, fault)
        except SandboxError as error:
            # Any other refusal than git's is about the result itself, and stays.
            tries = GIT_TRIES if isinstance(error, GitFailed | StoreAway) else 1
            await self._put_off(thread, pending, Fault(str(error), tries))
        except OwnershipLost:
            raise
        except Exception:
            # The border again: whatever an effect raises, the thread's others must not be stuck behind it.
            reference = secrets.token_hex(4)
            fields = {"reference": reference, "thread": thread, "key": pending.effect.key}
            log.exception("effect.crashed", extra={"fields": fields})
            fault = Fault(f"internal error, reference {reference}", TRIES)
            await self._put_off(thread, pending, fault)
        else:
            await self._finish(thread, pending, performed)

    async def _finish(self, thread: str, pending: Pending, performed: Performed) -> None:
        """The effect is done; what happened by it goes into the inbox in the same transaction."""

        def finish(connection: Connection) -> None:
            now = self._now()
            outbox.finish(connection, pending.id, performed.result, now=now)
            if performed.event is not None:
                origin = inbox.origin_of(connection, pending.cause)
                letters.post(connection, self._wake_ups, thread, performed.event, origin=origin, now=now)

        await self._database.write(finish)

    async def _put_off(self, thread: str, pending: Pending, fault: Fault) -> None:
        """Leave it for later; after too many tries it has failed, and that is an event."""
        gives_up = fault.is_final(pending.attempts)
        delay = fault.pause(pending.attempts)

        def record(connection: Connection) -> None:
            now = self._now()
            if not gives_up:
                outbox.postpone(connection, pending.id, error=fault.text, until=now + delay)
                wake = f"effect-{pending.id}-{pending.attempts + 1}"
                self._wake_ups.enqueue(connection, Queue.EVENTS, thread, wake=wake, delay=delay)
                return
            outbox.fail(connection, pending.id, error=fault.text, now=now)
            if failed := _failure(connection, pending, fault):
                origin = inbox.origin_of(connection, pending.cause)
                letters.post(connection, self._wake_ups, thread, failed, origin=origin, now=now)

        await self._database.write(record)
        self._wake_ups.nudge(Queue.EVENTS, thread, after=delay)
        fields = {"thread": thread, "key": pending.effect.key, "fault": fault.text, "delay": delay}
        log.warning("effect.given_up" if gives_up else "effect.postponed", extra={"fields": fields})


def _worth(effect: Effect, error: ForgeError) -> int:
    """How many tries."""
    match effect:
        case OpenPull() if not error.is_passing:
            # A branch that was pushed just now may not be known everywhere yet; the base was there before.
            return 1 if _BASE_IS_GONE in error.message else 4
        case PostComment() | PostReview() | PushResult() | UndoTurn() | OpenPull() | StartTurn() if (
            error.is_passing
        ):
            return PATIENT_TRIES
        case _:
            return TRIES if error.is_passing else 1


def _failure(connection: Connection, pending: Pending, fault: Fault) -> InternalEvent | None:
    """What the handlers must know of an effect that was given up: whether a turn's result hangs on it."""
    effect = pending.effect
    if isinstance(effect, UndoTurn):
        return UndoEnded(undo=effect, result="unavailable", detail=fault.text)
    cause = inbox.event_of(connection, pending.cause)
    if not isinstance(cause, TurnEvent):
        # An answer of its own, not a turn's.
        return None
    if isinstance(effect, PostReview) and effect.is_whole:
        push = cause if isinstance(cause, PushRefused | EffectFailed) else None
        return SuggestionsPosted(ended=ended_of(cause), refused=fault.text, push=push)
    if isinstance(effect, PostReview) and isinstance(cause, TurnEnded):
        # Nothing of it is lost: the summary has what could not stand on its lines.
        reason = f"the forge did not take it: {fault.text}"
        placed = [PlacedFinding(each.finding, "summary", None, "", reason) for each in effect.comments]
        return ReviewPosted(ended=cause, placed=tuple(placed))
    if not isinstance(effect, PushResult | OpenPull | PostComment):
        return None
    if ended_of(cause).start.kind == "review":
        # The next review brings its comments up to date.
        return None
    pushed = cause if isinstance(cause, ResultPushed) else None
    return EffectFailed(ended=ended_of(cause), effect=effect, detail=fault.text, pushed=pushed)
