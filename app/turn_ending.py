"""Ends a turn, or parks it: its result is taken out of the checkout, its outcome stored and told."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from app import letters
from app.ci_logs import TurnLogs
from app.engine import WakeUps
from app.fork_results import NO_OFFER, Offered, offered
from app.queues import Queue
from app.runtime import Runtime, payer_of
from app.store import inbox, messages, requests, turns
from app.store.turns import TurnRow
from app.turn_opening import Ready
from app.turn_report import last_plan, open_request, tests_run
from app.workspaces import PendingWorkspace
from handlers.broker import protected_among
from handlers.ci.weakening import Weakening, find_weakening
from handlers.effects import StartTurn
from handlers.events import ProposedChange, TurnEnded
from handlers.review.result import ReviewResult
from harness.items import WITHOUT_END, Compaction, Completed, Notice, TurnResult, UserMessage, Waiting
from harness.protocols import Entry
from sandbox.git.mirror import Mirror
from sandbox.result import ChangedFile

log = logging.getLogger(__name__)

JUDGED_DIFF: Final = 1_000_000
"""Characters of a repair that are judged; a longer one is for a person as a whole."""
PATCH_LIMIT: Final = 60_000
"""Characters of a held-back patch that a comment may show."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a turn left in its checkout, already in the mirror."""

    changes: tuple[ProposedChange, ...] = ()
    snapshot: str | None = None
    protected_patch: str = ""
    patch: str = ""
    offered: Offered = NO_OFFER
    protected: tuple[str, ...] = ()
    approved_paths: tuple[str, ...] = ()
    weakened: tuple[Weakening, ...] = ()


NOTHING: Final = Left()


class Ending:
    """Ends turns."""

    def __init__(self, runtime: Runtime, wake_ups: WakeUps, logs: TurnLogs) -> None:
        self._runtime = runtime
        self._wake_ups = wake_ups
        self._logs = logs

    async def collected(
        self,
        row: TurnRow,
        start: StartTurn,
        ready: Ready,
        workspace: PendingWorkspace,
        *,
        is_stopped: bool,
    ) -> Left:
        """The result as data, kept in the mirror: from here on the checkout is not needed."""
        checkout, sandbox = await workspace.checkout(), await workspace.sandbox()
        changed = await checkout.changes(sandbox.tree)
        proposed = tuple(_proposed(change) for change in changed)
        sound = [change for change in changed if change.problem is None]
        if not sound:
            return Left(proposed, approved_paths=ready.approved_paths)
        mirror = ready.mirror
        snapshot = await self._runtime.results.keep(row, mirror, start.base_sha, sound)
        to_hold = protected_among(proposed, ready.policy.protected_paths)
        weakened = await _weakened(start, mirror, sound)
        weak = {one.path for one in weakened}
        held = [change for change in sound if change.path in to_hold or change.path in weak or "" in weak]
        # Where nothing is pushed, the work is offered as a patch.
        shown = sound if start.is_fork or is_stopped or start.ci is not None else []
        is_for_fork = start.is_fork and not is_stopped
        if is_for_fork:
            kept_back = {change.path for change in held}
            shown = [change for change in sound if change.path not in kept_back]
        patch = await mirror.diff_of(start.base_sha, shown, limit=PATCH_LIMIT) if shown else ""
        return Left(
            proposed,
            snapshot,
            protected_patch=await mirror.diff_of(start.base_sha, held, limit=PATCH_LIMIT) if held else "",
            patch=patch,
            offered=(
                await offered(mirror, start, shown, patch, protected=ready.policy.protected_paths)
                if is_for_fork
                else NO_OFFER
            ),
            protected=tuple(change.path for change in held),
            approved_paths=ready.approved_paths,
            weakened=weakened,
        )

    async def end(
        self,
        row: TurnRow,
        start: StartTurn,
        owner: str,
        result: TurnResult,
        left: Left = NOTHING,
        entries: Sequence[Entry] = (),
        *,
        reviewed: ReviewResult | None = None,
    ) -> bool:
        """Outcome (or parking), event and wake-up in one transaction: stored before anything is posted.

        False, and nothing stored, when a turn that is done has been told something it has not heard.
        """
        allowances = await self._runtime.database.read(
            lambda connection: self._runtime.spending.standing(
                connection, payer_of(row, start, inbox.place_of(connection, row.thread))
            )
        )
        ended = TurnEnded(
            start=start,
            outcome=result.outcome,
            usage=result.usage,
            steps=result.steps,
            seconds=result.seconds,
            changes=left.changes,
            protected_patch=left.protected_patch,
            patch=left.patch,
            suggestions=left.offered.suggestions,
            head_touches=left.offered.head_touches,
            snapshot=left.snapshot or "",
            plan=last_plan(entries),
            commands_run=tests_run(entries),
            asked=open_request(entries) if isinstance(result.outcome, Waiting) else None,
            protected=left.protected,
            approved_paths=left.approved_paths,
            weakened=left.weakened,
            allowances=allowances,
            review=reviewed,
        )
        now = self._runtime.now()

        def store(connection: Connection) -> None:
            if isinstance(result.outcome, Waiting):
                until, why = result.outcome.until, result.outcome.reason
                turns.park(connection, row.id, until=until, owner=owner, why=why)
                if _is_called_back(connection, row.id, until):
                    turns.unpark(connection, row.id)
                    until = now
                if until < WITHOUT_END:
                    wake = f"turn-{row.id}-{owner}"
                    delay = max(0.0, until - now)
                    self._wake_ups.enqueue(connection, Queue.TURNS, row.thread, wake=wake, delay=delay)
            else:
                turns.end(connection, row.id, result, snapshot=left.snapshot, owner=owner, now=now)
                is_done = isinstance(result.outcome, Completed)
                if is_done and _has_not_heard(connection, row.id, entries):
                    raise _SpokenTo
                requests.void_of_turn(connection, row.id, now=now)
            letters.post(connection, self._wake_ups, row.thread, ended, origin=row.origin, now=now)

        try:
            await self._runtime.database.write(store)
        except _SpokenTo:
            return False
        self._wake_ups.nudge(Queue.EVENTS, row.thread)
        log.info(
            "turn.ended",
            extra={"fields": {"turn": row.id, "outcome": result.outcome.status, "steps": result.steps}},
        )
        if not isinstance(result.outcome, Waiting):
            await self._runtime.workspaces.remove(row.id)
            await self._runtime.results.forget_steps(row.id)
            await self._logs.remove(row.id)
        return True


async def _weakened(
    start: StartTurn, mirror: Mirror, changes: Sequence[ChangedFile]
) -> tuple[Weakening, ...]:
    """What a repair takes away from what CI checks; a hostile diff takes a while."""
    if start.ci is None:
        return ()
    diff = await mirror.diff_of(start.base_sha, changes, limit=JUDGED_DIFF)
    return await asyncio.to_thread(find_weakening, diff)


class _SpokenTo(Exception):
    """The turn that was about to end has messages that it has not heard."""


def _is_called_back(connection: Connection, turn: str, until: float) -> bool:
    """Whether somebody has said what ends its wait, while it was on its way into it."""
    if messages.stopped_by(connection, turn) is not None:
        return True
    return until >= WITHOUT_END and messages.paused_by(connection, turn) is None


def _has_not_heard(connection: Connection, turn: str, entries: Sequence[Entry]) -> bool:
    """Whether somebody has said something, or `stop`, since the turn listened for the last time."""
    is_stopped = messages.stopped_by(connection, turn) is not None
    return is_stopped or bool(messages.steering(connection, turn, after=_heard(entries)))


def _heard(entries: Sequence[Entry]) -> int:
    """The number of the last message that is in the journal."""
    heard = (
        entry.item.heard for entry in entries if isinstance(entry.item, UserMessage | Notice | Compaction)
    )
    return max(heard, default=0)


def _proposed(change: ChangedFile) -> ProposedChange:
    return ProposedChange(
        path=change.path,
        kind=change.kind,
        mode=change.mode,
        size=len(change.data or b""),
        problem=change.problem,
        added_lines=change.added_lines,
        removed_lines=change.removed_lines,
    )
