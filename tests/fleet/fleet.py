"""An intake, workers in processes of their own, and the hand that kills and freezes them."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from demo.model import Session
from tests.stories.by_hand import REPOSITORY, House, opened
from tests.stories.sessions import runs, says, session
from tests.stories.world import POLL_SECONDS, free_port
from tests.sweep.sweep import Sweep

REQUEST: Final = "keep the long tally"
TALLY_SECONDS: Final = 2.0
PATIENCE_SECONDS: Final = 600.0


def tally(seconds: float) -> Session:
    """Two commands, each of which takes so long and can be died in."""
    return session(
        REQUEST,
        runs(f"echo one >> tally.txt; sleep {seconds}"),
        runs(f"echo two >> tally.txt; sleep {seconds}"),
        says("Counted."),
    )


@dataclass
class Fleet:
    """What runs, and how to hurt it."""

    house: House
    patience: float
    _workers: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    most_at_once: int = 0
    """Turns that were held at the same moment, as seen by looking all the time."""

    async def hire(self, *names: str) -> None:
        """Start workers; returns when they are ready."""
        await asyncio.gather(*(self._hire(name) for name in names))

    async def _hire(self, name: str) -> None:
        port = free_port()
        arguments = ("worker", "--port", str(port))
        self._workers[name] = await self.house.starts(*arguments, log=f"{name}.log", ready=port)

    async def dismiss(self) -> None:
        """End them all, as an operator does."""
        for worker in self._workers.values():
            with suppress(ProcessLookupError):
                worker.send_signal(signal.SIGCONT)
                worker.terminate()
        async with asyncio.timeout(60):
            await asyncio.gather(*(worker.wait() for worker in self._workers.values()))

    def tell(self, name: str, number: signal.Signals) -> None:
        self._workers[name].send_signal(number)

    async def asked(self, count: int) -> list[int]:
        """So many issues, each with a request."""
        return [
            await self.house.maya.opens_issue(REPOSITORY, f"Tally {number}", f"@darner {REQUEST}")
            for number in range(count)
        ]

    async def busy(self, name: str) -> list[str]:
        """Return when the worker is in the middle of a command; the leases it has."""
        async with asyncio.timeout(self.patience):
            while not (held := self._held_by(name)) or not self._in_a_command(held):
                await asyncio.sleep(POLL_SECONDS)
        return held

    async def taken_over(self, name: str, leases: Sequence[str]) -> float:
        """Seconds until none of these is the worker's any more."""
        begun = time.monotonic()
        async with asyncio.timeout(self.patience):
            while set(self._held_by(name)) & set(leases):
                await asyncio.sleep(POLL_SECONDS)
        return time.monotonic() - begun

    async def done(self, issues: Sequence[int], *, by: Sweep) -> None:
        """Return when all their turns have ended and nothing is left to be done."""
        left = list(issues)
        async with asyncio.timeout(self.patience):
            while left:
                self._look()
                left = [issue for issue in left if not await by.is_over(issue)]
                await asyncio.sleep(POLL_SECONDS * 5)

    def turns_of(self, leases: Sequence[str]) -> list[str]:
        """The turns of the threads that these leases are on."""
        threads = [lease.partition("/")[2] for lease in leases]
        return [turn for (turn,) in self.house.rows("SELECT id FROM turns WHERE thread = ANY(?)", threads)]

    def _look(self) -> None:
        [(running,)] = self.house.rows(
            "SELECT count(*) FROM leases WHERE name LIKE 'darner-turns/%%'"
            " AND until > extract(epoch FROM clock_timestamp())"
        )
        self.most_at_once = max(self.most_at_once, running)

    def _held_by(self, name: str) -> list[str]:
        process = f"%-{self._workers[name].pid}-%"
        found = self.house.rows(
            "SELECT name FROM leases WHERE worker LIKE ? AND name LIKE 'darner-turns/%%'", process
        )
        return [lease for (lease,) in found]

    def _in_a_command(self, leases: Sequence[str]) -> bool:
        threads = [lease.partition("/")[2] for lease in leases]
        [(begun,)] = self.house.rows(
            "SELECT count(*) FROM items i JOIN turns t ON t.id = i.turn WHERE t.thread = ANY(?)"
            " AND i.type = 'command_execution' AND i.life = 'started' AND NOT EXISTS"
            " (SELECT 1 FROM items d WHERE d.turn = i.turn AND d.item = i.item AND d.life = 'completed')",
            threads,
        )
        return int(begun) > 0


@asynccontextmanager
async def fleet(
    home: Path,
    *,
    database_url: str,
    limits: Mapping[str, str],
    seconds: float = TALLY_SECONDS,
    patience: float = PATIENCE_SECONDS,
) -> AsyncIterator[Fleet]:
    """Forge, model and one intake that does no work, until the block ends; each command takes `seconds`."""
    extra = {"DARNER_DATABASE_URL": database_url, "DARNER_WORK": "false", **limits}
    async with opened(home, extra=extra) as house:
        house.model.teach(tally(seconds))
        made = Fleet(house, patience)
        try:
            yield made
        finally:
            await made.dismiss()
