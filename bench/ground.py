"""What a measured turn stands on: a real store, confined checkout and tools. Asks no model itself."""

import itertools
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection

from app.local_sandbox import local_sandbox
from app.store import inbox, turns
from app.store.database import Database
from app.store.turns import SqlJournal
from harness.instructions import INSTRUCTIONS
from harness.items import Completed, ThreadId, Turn, TurnId, TurnLimits, TurnResult
from harness.loop import run_turn
from harness.memory import PlainSession
from harness.protocols import Model
from harness.tools import ToolContext, open_tools
from sandbox.base import Command, Policy, Sandbox, SandboxMode
from sandbox.bubblewrap import BubblewrapDriver


@dataclass(frozen=True, slots=True)
class Ground:
    """One store and one open sandbox, for many turns."""

    home: Path
    database: Database
    sandbox: Sandbox
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def run(self, model: Model) -> TurnResult:
        """A turn of a new thread, from its first request to its last. Raises when it does not complete."""
        number = next(self._numbers)
        thread, turn, owner = ThreadId(f"bench-{number}"), TurnId(f"turn-{number}"), "bench"

        def begin(connection: Connection) -> None:
            inbox.open_thread(connection, thread, None, number=None, now=time.time())
            turns.queue(connection, turn, thread, start="{}", now=time.time())
            turns.take(connection, turn, owner=owner, now=time.time())

        await self.database.write(begin)
        journal = SqlJournal(self.database, turn=turn, thread=thread, owner=owner)
        asked = Turn(
            id=turn,
            thread_id=thread,
            instructions=INSTRUCTIONS,
            request="Run the commands.",
            limits=TurnLimits(steps=10_000, tokens=10**12),
        )
        async with open_tools(ToolContext(sandbox=self._opened)) as tools:
            result = await run_turn(asked, model=model, tools=tools, session=PlainSession(), journal=journal)
        if not isinstance(result.outcome, Completed):
            raise TypeError(f"the measured turn did not complete: {result.outcome}")
        return result

    async def run_bare(self, line: str = "true") -> float:
        """The floor: what `exec_command` makes of `line`, started by nobody but us; the seconds it took."""
        begun = time.perf_counter()
        process = await self.sandbox.start(Command(("bash", "-c", line)))
        if await process.wait(30) is None:
            raise TimeoutError("the bare command did not end")
        process.take_output()
        return time.perf_counter() - begun

    async def _opened(self) -> Sandbox:
        return self.sandbox


@asynccontextmanager
async def ground() -> AsyncIterator[Ground]:
    """A ground of its own, gone when the context ends."""
    with tempfile.TemporaryDirectory(prefix="darner-bench-") as directory:
        work, home = Path(directory) / "work", Path(directory) / "home"
        work.mkdir()
        home.mkdir(mode=0o711)
        (work / "README.md").write_text("# A checkout\n")
        with Database(f"sqlite:///{home / 'darner.db'}") as database:
            policy = Policy(SandboxMode.WORKSPACE_WRITE)
            async with local_sandbox(work, policy, driver=BubblewrapDriver(), home=home) as (_, sandbox):
                yield Ground(home, database, sandbox)
