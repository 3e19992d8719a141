"""Drives a thread's turns: the turn's checkout, briefing, model, tools and journal come together here.

The checkout is made ready while the model reads its first request; the first tool call waits for it.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from app import letters
from app.briefing import gather
from app.caches import caches_of
from app.ci_logs import TurnLogs
from app.engine import Queue, WakeUps
from app.forge_error import ForgeError
from app.github import GitHub
from app.going_on import LeftBefore, left_by
from app.mirrors import Mirrors
from app.progress import Progress
from app.results import Results, StoreAway
from app.retry import TAKES, Fault, forge_pause
from app.reviewing import Review, Reviewing
from app.spending import Payer, Purse, Spending
from app.store import inbox, messages, requests, turns
from app.store.charges import Account
from app.store.database import Database
from app.store.places import RepositoryRef
from app.store.turns import SqlJournal, TurnRow
from app.turn_policy import TurnRefused, policy_of
from app.turn_report import TreeState, last_plan, last_state, open_request, tests_run
from app.workspaces import PendingWorkspace, Workspaces
from handlers.briefing import compose
from handlers.broker import protected_among
from handlers.ci.weakening import Weakening, find_weakening
from handlers.config import ConfigRefused
from handlers.effects import EffectAdapter, StartTurn
from handlers.events import ProposedChange, TurnEnded
from handlers.review.result import ReviewResult
from handlers.view import Bot
from harness.approvals import Askable
from harness.budget import Allowance, Prices, exhausted_by, longest_spent
from harness.compaction import Room
from harness.instructions import INSTRUCTIONS
from harness.items import (
    WITHOUT_END,
    Compaction,
    Completed,
    Exhausted,
    Failed,
    Notice,
    Stopped,
    ThreadId,
    Turn,
    TurnId,
    TurnResult,
    Usage,
    UserMessage,
    Waiting,
)
from harness.loop import run_turn
from harness.protocols import Entry, Model, OwnershipLost
from harness.review_instructions import REVIEW_INSTRUCTIONS
from harness.rules import Rules
from harness.tools import ASKING_TOOLS, WORK_TOOLS, open_tools
from harness.tools.context import ToolContext
from sandbox.base import Policy, SandboxError
from sandbox.git import GitFailed
from sandbox.git.mirror import Mirror
from sandbox.result import ChangedFile

log = logging.getLogger(__name__)

JUDGED_DIFF: Final = 1_000_000
"""Characters of a repair that are judged; a longer one is for a person as a whole."""
PATCH_LIMIT: Final = 60_000
"""Characters of a held-back patch that a comment may show."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What every turn shares."""

    database: Database
    github: GitHub
    mirrors: Mirrors
    results: Results
    workspaces: Workspaces
    model: Model
    spending: Spending
    prices: Prices
    room: Room
    rules: Rules
    bot: Callable[[], Bot]
    home: Path
    now: Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Left:
    """What a turn left in its checkout, already in the mirror."""

    changes: tuple[ProposedChange, ...] = ()
    snapshot: str | None = None
    protected_patch: str = ""
    patch: str = ""
    protected: tuple[str, ...] = ()
    approved_paths: tuple[str, ...] = ()
    weakened: tuple[Weakening, ...] = ()


class TurnsWorker:
    """The `Queue.TURNS` drive."""

    def __init__(self, runtime: Runtime, wake_ups: WakeUps, progress: Progress) -> None:
        self._runtime = runtime
        self._wake_ups = wake_ups
        self._progress = progress
        self._reviewing = Reviewing(
            database=runtime.database, github=runtime.github, window=runtime.room.window
        )
        self._logs = TurnLogs(runtime.home, runtime.github)

    async def remove_abandoned(self) -> None:
        """Remove the checkouts of turns that have ended: what a crash between outcome and removal left."""
        self._runtime.workspaces.sweep()
        for turn in self._runtime.workspaces.kept():
            if not await self._is_unfinished(turn):
                await self._runtime.workspaces.remove(turn)
        for turn in self._logs.kept():
            if not await self._is_unfinished(turn):
                await self._logs.remove(turn)
        try:
            kept = await self._runtime.results.turns_with_steps()
        except OSError as error:
            log.warning("blobs.not_listed", extra={"fields": {"error": str(error)}})
            return
        for turn in kept:
            if not await self._is_unfinished(turn):
                await self._runtime.results.forget_steps(turn)

    async def _is_unfinished(self, turn: str) -> bool:
        row = await self._runtime.database.read(lambda connection: turns.find(connection, turn))
        return row is not None and row.status != "ended"

    async def drive(self, thread: str) -> None:
        """Run the thread's turns, oldest first, until none is left."""
        database = self._runtime.database
        while row := await database.read(lambda connection: turns.next_unfinished(connection, thread)):
            if row.not_before > self._runtime.now():
                # Parked: its wake-up is on its way.
                return
            owner = secrets.token_hex(8)
            if not await self._take(row, owner):
                continue
            try:
                await self._attempt(row, owner)
            except OwnershipLost:
                log.warning("turn.lost", extra={"fields": {"turn": row.id, "thread": thread}})
                # Whoever has it by now works on files of its own.
                await self._runtime.workspaces.remove(row.id)
                return

    async def _take(self, row: TurnRow, owner: str) -> bool:
        """False when it was stopped between the look and now."""
        now = self._runtime.now()
        return await self._runtime.database.write(
            lambda connection: turns.take(connection, row.id, owner=owner, now=now)
        )

    async def _attempt(self, row: TurnRow, owner: str) -> None:
        """The turn border: a turn that cannot be run is tried again, then ended, and never in silence."""
        start = _start_of(row)
        if row.attempts >= TAKES:
            # Whoever took it before died of it, or was restarted each time.
            await self._give_up(row, start, owner, "the server ended each time while this turn ran")
            return
        try:
            # Someone may speak to it in the moment in which it ends: then it goes on.
            while not await self._run(row, start, owner):
                log.info("turn.goes_on", extra={"fields": {"turn": row.id}})
        except OwnershipLost:
            raise
        except asyncio.CancelledError:
            # Stopped with the server: no fault of the turn's.
            await self._let_go(row, owner, delay=0.0, is_fault=False)
            raise
        except ForgeError as error:
            delay = forge_pause(error, age=self._runtime.now() - row.created_at)
            if delay is None:
                await self._give_up(row, start, owner, str(error))
                return
            await self._let_go(row, owner, delay=delay, is_fault=False, why=str(error))
        except (GitFailed, StoreAway) as error:
            await self._put_off(row, start, owner, Fault(str(error), TAKES))
        except (SandboxError, ConfigRefused, TurnRefused) as error:
            await self._give_up(row, start, owner, str(error))
        except Exception:
            log.exception("turn.crashed", extra={"fields": {"turn": row.id, "thread": row.thread}})
            fault = Fault("Something went wrong inside Darner.", TAKES)
            await self._put_off(row, start, owner, fault)

    async def _put_off(self, row: TurnRow, start: StartTurn, owner: str, fault: Fault) -> None:
        if fault.is_final(row.attempts):
            await self._give_up(row, start, owner, fault.text)
        else:
            delay = fault.pause(row.attempts)
            await self._let_go(row, owner, delay=delay, is_fault=True, why=fault.text)

    async def _let_go(
        self, row: TurnRow, owner: str, *, delay: float, is_fault: bool, why: str = "the server stops"
    ) -> None:
        """To be taken up again after `delay`: what it has done is in its journal."""
        until = self._runtime.now() + delay

        def store(connection: Connection) -> None:
            told = why if delay > 0 else ""
            turns.park(connection, row.id, until=until, owner=owner, is_fault=is_fault, why=told)
            wake = f"turn-{row.id}-{owner}"
            self._wake_ups.enqueue(connection, Queue.TURNS, row.thread, wake=wake, delay=delay)

        await self._runtime.database.write(store)
        self._wake_ups.nudge(Queue.TURNS, row.thread, after=delay)
        fields = {"turn": row.id, "thread": row.thread, "why": why, "delay": delay}
        log.warning("turn.let_go", extra={"fields": fields})

    async def _give_up(self, row: TurnRow, start: StartTurn, owner: str, fault: str) -> None:
        reference = secrets.token_hex(4)
        fields = {"turn": row.id, "thread": row.thread, "reference": reference, "fault": fault}
        log.error("turn.given_up", extra={"fields": fields})
        outcome = Failed(cause=fault, reference=reference, retryable=True)
        result = TurnResult(outcome, Usage(), 0, self._runtime.now() - row.created_at)
        await self._end(row, start, owner, result, _Left(), ())

    async def _run(self, row: TurnRow, start: StartTurn, owner: str) -> bool:
        """One turn, from its pin to its stored outcome. False when it was spoken to meanwhile."""
        place = await self._runtime.database.read(lambda connection: inbox.place_of(connection, row.thread))
        if spent := await self._is_refused(row, start, place):
            result = TurnResult(exhausted_by(spent, ""), Usage(), 0, 0.0)
            return await self._end(row, start, owner, result, _Left(), ())
        journal = SqlJournal(
            self._runtime.database,
            turn=row.id,
            thread=row.thread,
            owner=owner,
            account=Account(place.id, start.requester.id, self._runtime.prices),
        )
        log.info(
            "turn.started",
            extra={
                "fields": {"turn": row.id, "thread": row.thread, "sha": start.base_sha, "mode": start.mode}
            },
        )
        left = _Left()
        mirror = await self._runtime.mirrors.fetched(
            place, start.base_sha, start.instructions_sha, start.config_sha or start.instructions_sha
        )
        approved = await self._runtime.database.read(
            lambda connection: requests.approved_of_turn(connection, row.id)
        )
        resolved = await policy_of(
            start,
            mirror,
            ceiling=self._runtime.bot().ceiling,
            repository=place.full_name,
            caches=caches_of(self._runtime.home, str(place.id)),
            approved=approved,
        )
        policy = await self._logs.laid(start, place, resolved.policy)
        left_before = await left_by(self._runtime.database, self._runtime.results, place, start)
        review = None
        if start.kind == "review":
            review = await self._reviewing.prepared(row, start, place, mirror, self._runtime.bot())
            if review.settled is not None:
                result = TurnResult(Completed(""), Usage(), 0, 0.0)
                return await self._end(row, start, owner, result, left, (), reviewed=review.settled)
        request = row.request or await self._compose(row, start, place, mirror, policy, left_before, review)
        state = last_state(await journal.load())
        elsewhere = self._runtime.results.snapshots_of(row.id)
        brought = left_before.files
        opening = self._runtime.workspaces.opened(
            row.id, start.base_sha, mirror, policy, state, elsewhere=elsewhere, brought=brought
        )
        async with opening as workspace:
            if elsewhere is not None and state != TreeState(None):
                # Before anything is asked on the strength of files that may be lost.
                await workspace.checkout()
            result = await self._turn(
                row, start, place, request, journal, workspace, resolved.askable, review
            )
            if not isinstance(result.outcome, Waiting) and review is None:
                is_stopped = isinstance(result.outcome, Stopped)
                left = await self._collect(row, start, mirror, workspace, policy, is_stopped=is_stopped)
                left = replace(left, approved_paths=resolved.approved_paths)
        entries, reviewed = await journal.load(), None
        if review is not None and isinstance(result.outcome, Completed | Exhausted):
            reviewed = await self._reviewing.result(review, entries, place, self._runtime.bot())
        return await self._end(row, start, owner, result, left, entries, reviewed=reviewed)

    async def _is_refused(self, row: TurnRow, start: StartTurn, place: RepositoryRef) -> Allowance | None:
        """The budget that was spent before the turn has begun: nothing is made ready for it.

        One that goes on from another has its files to keep: it begins, and ends before its first request.
        """
        if row.request or start.continues:
            return None
        allowances = await self._runtime.database.read(
            lambda connection: self._runtime.spending.allowances(connection, _payer(row, start, place))
        )
        return longest_spent(allowances)

    async def _compose(
        self,
        row: TurnRow,
        start: StartTurn,
        place: RepositoryRef,
        mirror: Mirror,
        policy: Policy,
        left_before: LeftBefore,
        review: Review | None,
    ) -> str:
        """The briefing, stored before it is used: a resumed turn is told the very same."""
        if review is not None:
            told = await self._reviewing.briefing(review, place, mirror, self._runtime.bot())
            await self._runtime.database.write(lambda connection: turns.set_request(connection, row.id, told))
            return told
        going_on = left_before.told(start) if start.continues else ""
        if left_before.is_briefed:
            # Its history begins with the briefing of the turn that it goes on from.
            await self._runtime.database.write(
                lambda connection: turns.set_request(connection, row.id, going_on)
            )
            return going_on
        material = await gather(
            start, github=self._runtime.github, place=place, mirror=mirror, bot=self._runtime.bot().id
        )
        briefing = compose(replace(material, policy=policy), nonce=secrets.token_hex(4))
        log.info("turn.briefed", extra={"fields": {"turn": row.id, "report": str(briefing.report)}})
        text = f"{briefing.text}\n\n{going_on}" if going_on else briefing.text
        await self._runtime.database.write(lambda connection: turns.set_request(connection, row.id, text))
        return text

    async def _turn(
        self,
        row: TurnRow,
        start: StartTurn,
        place: RepositoryRef,
        request: str,
        journal: SqlJournal,
        workspace: PendingWorkspace,
        askable: Askable,
        review: Review | None,
    ) -> TurnResult:
        turn = Turn(
            id=TurnId(row.id),
            thread_id=ThreadId(row.thread),
            instructions=INSTRUCTIONS if review is None else REVIEW_INSTRUCTIONS,
            request=request,
            limits=self._runtime.spending.turn_limits(place),
            approval_seconds=self._runtime.bot().ceiling.approval_seconds,
            under_way_since=self._runtime.now() if row.started_at is None else row.started_at,
        )
        names = (*WORK_TOOLS, *ASKING_TOOLS) if askable.may_ask else WORK_TOOLS
        context = ToolContext(sandbox=workspace.sandbox, rules=self._runtime.rules, askable=askable)
        if review is not None:
            names = tuple(review.tools)
            # Nobody waits for it: what a rule wants to be asked about is not done.
            context = replace(
                context,
                askable=replace(askable, may_ask=False),
                check_finding=review.check_finding,
                check_judgement=review.check_judgement,
            )
        purse = Purse(self._runtime.database, self._runtime.spending, _payer(row, start, place))
        async with (
            self._progress.follow(row, start, place, snapshot=workspace.snapshot, purse=purse) as session,
            open_tools(context, names) as tools,
        ):
            return await run_turn(
                turn,
                model=self._runtime.model,
                tools=tools,
                session=session,
                journal=journal,
                room=self._runtime.room,
            )

    async def _collect(
        self,
        row: TurnRow,
        start: StartTurn,
        mirror: Mirror,
        workspace: PendingWorkspace,
        policy: Policy,
        *,
        is_stopped: bool,
    ) -> _Left:
        """The result as data, kept in the mirror: from here on the checkout is not needed."""
        checkout, sandbox = await workspace.checkout(), await workspace.sandbox()
        changed = await checkout.changes(sandbox.tree)
        proposed = tuple(_proposed(change) for change in changed)
        sound = [change for change in changed if change.problem is None]
        if not sound:
            return _Left(proposed)
        snapshot = await self._runtime.results.keep(row, mirror, start.base_sha, sound)
        to_hold = protected_among(proposed, policy.protected_paths)
        weakened = await _weakened(start, mirror, sound)
        weak = {one.path for one in weakened}
        held = [change for change in sound if change.path in to_hold or change.path in weak or "" in weak]
        # Where nothing is pushed, the work is offered as a patch.
        shown = sound if start.is_fork or is_stopped or start.ci is not None else []
        return _Left(
            proposed,
            snapshot,
            protected_patch=await mirror.diff_of(start.base_sha, held, limit=PATCH_LIMIT) if held else "",
            patch=await mirror.diff_of(start.base_sha, shown, limit=PATCH_LIMIT) if shown else "",
            protected=tuple(change.path for change in held),
            weakened=weakened,
        )

    async def _end(
        self,
        row: TurnRow,
        start: StartTurn,
        owner: str,
        result: TurnResult,
        left: _Left,
        entries: Sequence[Entry],
        *,
        reviewed: ReviewResult | None = None,
    ) -> bool:
        """Outcome (or parking), event and wake-up in one transaction: stored before anything is posted.

        False, and nothing stored, when a turn that is done has been told something it has not heard.
        """
        allowances = await self._runtime.database.read(
            lambda connection: self._runtime.spending.standing(
                connection, _payer(row, start, inbox.place_of(connection, row.thread))
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


def _payer(row: TurnRow, start: StartTurn, place: RepositoryRef) -> Payer:
    return Payer(thread=row.thread, turn=row.id, place=place, actor=start.requester.id)


def _start_of(row: TurnRow) -> StartTurn:
    start = EffectAdapter.validate_json(row.start)
    if not isinstance(start, StartTurn):
        msg = f"turn {row.id} was not started by a StartTurn"
        raise TypeError(msg)
    return start


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
