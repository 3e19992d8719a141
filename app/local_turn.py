"""One turn on a local directory: a copy is worked on, what changed is put back, the journal stays.

The way of `darner exec`: no forge, no server. Never writes to the directory's `.git`, and runs no git in it.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Protocol

from sqlalchemy import Connection

from app.local_sandbox import Local, local_sandbox
from app.settings import Settings
from app.spending import Payer, Purse, Spending
from app.store import inbox, turns
from app.store.charges import Account
from app.store.database import Database
from app.store.turns import SqlJournal, TurnRow
from app.turn_parts import driver_of, limits_of, model_of, room_of, rules_of
from handlers.briefing import told_of_policy
from harness.approvals import Askable, request_id
from harness.budget import Allowance
from harness.instructions import INSTRUCTIONS, PROJECT_BYTES, PROJECT_FILE
from harness.items import (
    ApprovalRequest,
    Item,
    ItemId,
    Life,
    Stopped,
    ThreadId,
    Turn,
    TurnId,
    TurnResult,
    Usage,
    Waiting,
)
from harness.loop import run_turn
from harness.memory import PlainSession
from harness.protocols import Decision, Model
from harness.tools import ToolContext, open_tools
from sandbox.base import FileMissing, FileTooLarge, PathRefused, Policy, Sandbox, SandboxMode
from sandbox.checkout.local import ChangedFile
from sandbox.files import CheckoutFiles

PATIENCE_SECONDS: Final = 600.0
"""How long a person is kept waiting for an endpoint's limit before the turn ends instead."""
PLACE: Final = """\
This task is on a local directory; your checkout is a copy of it. What you change is put into the directory
when you are done. Nothing is committed, and no pull request is opened."""
LEFT_OUT: Final = """\
Your turn before this one was interrupted, and none of its changes reached the directory. Your checkout is the
directory as it is now."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asked for on the command line."""

    directory: Path
    prompt: str
    policy: Policy
    askable: Askable = field(default_factory=Askable)
    """Whether somebody may be asked for leave to run a command, and for which; by the settings."""
    resume: ThreadId | None = None


AskPerson = Callable[[TurnId, ApprovalRequest], Awaitable[Decision]]
"""Asks whoever sits there, for as long as it takes; cancelled when the answer is no longer waited for."""


class Watcher(Protocol):
    """Shows a turn while it happens. Its methods never raise."""

    def started(self, thread: ThreadId, turn: TurnId) -> None: ...

    def item(self, life: Life, item: Item) -> None: ...

    def waiting(self, outcome: Waiting) -> None: ...

    def ended(self, turn: TurnId, result: TurnResult, changes: Sequence[ChangedFile]) -> None: ...


class ThreadUnknown(Exception):
    """There is no thread of this name to resume."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the turn ended, and what became of its changes (with a problem: not put into the directory)."""

    result: TurnResult
    changes: Sequence[ChangedFile]


class LocalTurn:
    """One turn, which can be stopped from outside while it runs. Raises `SettingsRefused` for its rules."""

    def __init__(
        self, asked: Asked, settings: Settings, watcher: Watcher, *, person: AskPerson | None = None
    ) -> None:
        """`person`: None where nobody can be asked; then a command that needs leave does not run."""
        self._asked = asked
        self._person = person
        self._settings = settings
        self._watcher = watcher
        self._rules = rules_of(settings)
        self._session = _LocalSession(show=watcher.item)
        self._stopped = asyncio.Event()
        self._phase: Literal["before", "at work", "after"] = "before"

    def stop(self, by: str) -> bool:
        """End it in order, soon. False where it has not begun or was told before: then cancel it."""
        match self._phase:
            case "before":
                return False
            case "after":
                return True
            case "at work":
                is_first = not self._stopped.is_set()
                self._session.stop(by)
                self._stopped.set()
                return is_first

    async def run(self) -> Ended:
        """Raises `ThreadUnknown`, `DirectoryRefused`, `SandboxUnavailable` (nothing has run in all three),
        `OwnershipLost`, and `PathRefused` when the changes cannot be put back.
        """
        self._settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with Database(self._settings.sql_url) as database:
            async with self._sandbox() as (local, sandbox), model_of(self._settings) as model:
                started = await self._start(database)
                self._phase = "at work"
                self._watcher.started(started.thread, started.turn)
                self._session.purse = Purse(
                    database, self._spending(), Payer(thread=started.thread, turn=started.turn)
                )
                result = await self._at_work(started, model, sandbox)
                self._phase = "after"
                changes = () if _is_left_out(result) else await local.finish()
            await database.write(
                lambda connection: turns.end(
                    connection, started.turn, result, snapshot=None, owner=started.owner, now=time.time()
                )
            )
            self._watcher.ended(started.turn, result, changes)
            return Ended(result, changes)

    @asynccontextmanager
    async def _sandbox(self) -> AsyncIterator[tuple[Local, Sandbox]]:
        async with local_sandbox(
            self._asked.directory,
            self._asked.policy,
            driver=driver_of(self._settings),
            home=self._settings.home,
        ) as opened:
            yield opened

    async def _start(self, database: Database) -> "_Started":
        """The thread's and the turn's rows; a turn before it that was cut off is closed first."""
        asked, now = self._asked, time.time()
        thread = asked.resume or ThreadId(f"exec-{secrets.token_hex(6)}")
        turn, owner = TurnId(f"{thread}-{secrets.token_hex(4)}"), secrets.token_hex(8)

        def open_turn(connection: Connection) -> bool:
            earlier = turns.of_thread(connection, thread)
            if asked.resume is None:
                inbox.open_thread(connection, thread, None, number=None, now=now)
            elif not earlier:
                raise ThreadUnknown(f"There is no thread {thread!r} in {self._settings.home}.")
            for row in earlier:
                _close(connection, row, owner=owner, now=now)
            turns.queue(connection, turn, thread, start="{}", now=now)
            turns.take(connection, turn, owner=owner, now=now)
            return bool(earlier) and (earlier[-1].outcome is None or isinstance(earlier[-1].outcome, Stopped))

        was_left_out = await database.write(open_turn)
        account = Account(prices=self._settings.price_table)
        journal = SqlJournal(database, turn=turn, thread=thread, owner=owner, account=account)
        return _Started(thread, turn, owner, journal, was_left_out=was_left_out)

    async def _at_work(self, started: "_Started", model: Model, sandbox: Sandbox) -> TurnResult:
        turn = Turn(
            id=started.turn,
            thread_id=started.thread,
            instructions=INSTRUCTIONS,
            request=self._request(was_left_out=started.was_left_out),
            limits=self._spending().turn_limits(None),
            approval_seconds=self._settings.ceiling.approval_seconds,
        )

        async def ready() -> Sandbox:
            return sandbox

        asked = self._asked.askable
        askable = Askable(may_ask=asked.may_ask and self._person is not None, is_untrusted=asked.is_untrusted)
        context = ToolContext(sandbox=ready, rules=self._rules, askable=askable)
        async with open_tools(context) as tools:
            while True:
                result = await run_turn(
                    turn,
                    model=model,
                    tools=tools,
                    session=self._session,
                    journal=started.journal,
                    room=room_of(self._settings),
                )
                if not isinstance(result.outcome, Waiting):
                    return result
                if result.outcome.request is not None:
                    await self._ask(started, result.outcome.request)
                elif not await self._has_waited(result.outcome):
                    return result

    def _spending(self) -> Spending:
        ceiling = self._settings.ceiling
        return Spending(lambda: ceiling, limits_of(self._settings), time.time)

    async def _ask(self, started: "_Started", request: ItemId) -> None:
        """Until somebody has answered, or stops the turn, or the request's time is up."""
        entries = await started.journal.load()
        asked = next(entry.item for entry in entries if entry.item.id == request)
        if self._person is None or not isinstance(asked, ApprovalRequest):
            raise TypeError(f"nobody can be asked about {request}")
        answer = asyncio.ensure_future(self._person(started.turn, asked))
        stopped = asyncio.ensure_future(self._stopped.wait())
        timeout = max(asked.until - time.time(), 0)
        try:
            await asyncio.wait({answer, stopped}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                self._session.decisions[request_id(started.turn, request)] = answer.result()
        finally:
            answer.cancel()
            stopped.cancel()
            await asyncio.gather(answer, stopped, return_exceptions=True)

    async def _has_waited(self, outcome: Waiting) -> bool:
        """Wait as the endpoint asks, or until someone stops the turn. False when that is too long."""
        if outcome.until - time.time() > PATIENCE_SECONDS:
            return False
        self._watcher.waiting(outcome)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), timeout=max(outcome.until - time.time(), 0))
        return True

    def _request(self, *, was_left_out: bool) -> str:
        parts = [part for part in (PLACE, told_of_policy(self._asked.policy)) if part]
        if instructions := _instructions_in(self._asked.directory):
            parts.append(f"# {PROJECT_FILE} of the directory\n\n{instructions}")
        if was_left_out:
            parts.append(LEFT_OUT)
        parts.append(f"# The request\n\n{self._asked.prompt}")
        return "\n\n".join(parts)


@dataclass
class _LocalSession(PlainSession):
    """Keeps to the budgets of the database that the turn is journaled in, and to what was answered."""

    purse: Purse | None = None
    decisions: dict[str, Decision] = field(default_factory=dict)

    async def decision(self, request: str, *, is_due: bool) -> Decision | None:
        return self.decisions.get(request) or await PlainSession.decision(self, request, is_due=is_due)

    async def allowances(self) -> Sequence[Allowance]:
        return () if self.purse is None else await self.purse.allowances()


@dataclass(frozen=True, slots=True)
class _Started:
    thread: ThreadId
    turn: TurnId
    owner: str
    journal: SqlJournal
    was_left_out: bool
    """Whether the changes of the turn before this one were thrown away."""


def _is_left_out(result: TurnResult) -> bool:
    return isinstance(result.outcome, Stopped)


def _close(connection: Connection, row: TurnRow, *, owner: str, now: float) -> None:
    if row.status == "ended":
        return
    turns.take(connection, row.id, owner=owner, now=now)
    interrupted = TurnResult(Stopped("an interruption"), Usage(), steps=0, seconds=0.0)
    turns.end(connection, row.id, interrupted, snapshot=None, owner=owner, now=now)


def _instructions_in(directory: Path) -> str:
    """The directory's own instructions: the person who asks owns them, as they own the directory."""
    files = CheckoutFiles(directory.resolve(), Policy(SandboxMode.READ_ONLY))
    try:
        content = files.read(PROJECT_FILE, limit=PROJECT_BYTES)
    except (FileMissing, FileTooLarge, PathRefused):
        return ""
    return content.data.decode("utf-8", "replace").strip()
