"""Drives a thread's turns: takes the next one, runs it, and ends it or lets it go, to be taken up again.

What it was made ready with, its checkout, model, tools and journal come together here.

The checkout is made ready while the model reads its first request; the first tool call waits for it.
"""

import asyncio
import logging
import secrets
from dataclasses import replace

from sqlalchemy import Connection

from app.ci_logs import TurnLogs
from app.engine import WakeUps
from app.forge_error import ForgeError
from app.progress import Progress
from app.queues import Queue
from app.results import StoreAway
from app.retry import TAKES, Fault, forge_pause
from app.reviewing import Reviewing
from app.runtime import Runtime, payer_of
from app.spending import Purse
from app.store import inbox, turns
from app.store.charges import Account
from app.store.places import RepositoryRef
from app.store.turns import SqlJournal, TurnRow
from app.turn_ending import NOTHING, Ending
from app.turn_opening import Opening, Ready
from app.turn_policy import TurnRefused
from app.turn_report import TreeState, last_state
from app.workspaces import PendingWorkspace
from handlers.config import ConfigRefused
from handlers.effects import EffectAdapter, StartTurn
from harness.budget import Allowance, exhausted_by, longest_spent
from harness.instructions import INSTRUCTIONS
from harness.items import (
    Completed,
    Exhausted,
    Failed,
    Stopped,
    ThreadId,
    Turn,
    TurnId,
    TurnResult,
    Usage,
    Waiting,
)
from harness.loop import run_turn
from harness.protocols import OwnershipLost
from harness.review_instructions import REVIEW_INSTRUCTIONS
from harness.tools import ASKING_TOOLS, WORK_TOOLS, open_tools
from harness.tools.context import ToolContext
from sandbox.base import SandboxError
from sandbox.git import GitFailed

log = logging.getLogger(__name__)


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
        self._opening = Opening(runtime, self._reviewing, self._logs)
        self._ending = Ending(runtime, wake_ups, self._logs)

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
        await self._ending.end(row, start, owner, result)

    async def _run(self, row: TurnRow, start: StartTurn, owner: str) -> bool:
        """One turn, from its pin to its stored outcome. False when it was spoken to meanwhile."""
        place = await self._runtime.database.read(lambda connection: inbox.place_of(connection, row.thread))
        if spent := await self._is_refused(row, start, place):
            result = TurnResult(exhausted_by(spent, ""), Usage(), 0, 0.0)
            return await self._ending.end(row, start, owner, result)
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
        ready = await self._opening.ready(row, start, place)
        review = ready.review
        if review is not None and review.settled is not None:
            result = TurnResult(Completed(""), Usage(), 0, 0.0)
            return await self._ending.end(row, start, owner, result, reviewed=review.settled)
        state = last_state(await journal.load())
        elsewhere = self._runtime.results.snapshots_of(row.id)
        opened = self._runtime.workspaces.opened(
            row.id,
            start.base_sha,
            ready.mirror,
            ready.policy,
            state,
            elsewhere=elsewhere,
            brought=ready.brought,
        )
        left = NOTHING
        async with opened as workspace:
            if elsewhere is not None and state != TreeState(None):
                # Before anything is asked on the strength of files that may be lost.
                await workspace.checkout()
            result = await self._turn(row, start, place, ready, journal, workspace)
            if not isinstance(result.outcome, Waiting) and review is None:
                is_stopped = isinstance(result.outcome, Stopped)
                left = await self._ending.collected(row, start, ready, workspace, is_stopped=is_stopped)
        entries, reviewed = await journal.load(), None
        if review is not None and isinstance(result.outcome, Completed | Exhausted):
            reviewed = await self._reviewing.result(review, entries, place, self._runtime.bot())
        return await self._ending.end(row, start, owner, result, left, entries, reviewed=reviewed)

    async def _is_refused(self, row: TurnRow, start: StartTurn, place: RepositoryRef) -> Allowance | None:
        """The budget that was spent before the turn has begun: nothing is made ready for it.

        One that goes on from another has its files to keep: it begins, and ends before its first request.
        """
        if row.request or start.continues:
            return None
        allowances = await self._runtime.database.read(
            lambda connection: self._runtime.spending.allowances(connection, payer_of(row, start, place))
        )
        return longest_spent(allowances)

    async def _turn(
        self,
        row: TurnRow,
        start: StartTurn,
        place: RepositoryRef,
        ready: Ready,
        journal: SqlJournal,
        workspace: PendingWorkspace,
    ) -> TurnResult:
        askable, review = ready.askable, ready.review
        turn = Turn(
            id=TurnId(row.id),
            thread_id=ThreadId(row.thread),
            instructions=INSTRUCTIONS if review is None else REVIEW_INSTRUCTIONS,
            request=ready.request,
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
        purse = Purse(self._runtime.database, self._runtime.spending, payer_of(row, start, place))
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


def _start_of(row: TurnRow) -> StartTurn:
    start = EffectAdapter.validate_json(row.start)
    if not isinstance(start, StartTurn):
        msg = f"turn {row.id} was not started by a StartTurn"
        raise TypeError(msg)
    return start
