"""How long work that was just made waits for a free worker, in the same process and in another one.

On SQLite and PostgreSQL the process that makes it starts it; on PostgreSQL also another one, which hears of
it by NOTIFY. The clock starts before the transaction that makes the work, and is that of the machine.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from app.engine import WakeUps
from app.queues import Queue
from app.store.database import Database
from bench.figure import Figure, median, percentile
from bench.spawn import Child, child, tell_parent, told
from tests.app import postgres

TRIES: Final = 200
PAUSE_SECONDS: Final = 0.02
TARGET_MS: Final = 20.0


async def measure() -> list[Figure]:
    """All figures of this file."""
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="darner-bench-"))
        server = stack.enter_context(postgres.running(postgres.programs()))
        urls = {
            "sqlite": f"sqlite:///{Path(directory) / 'darner.db'}",
            "postgresql": server.format("postgres"),
        }
        found = {name: await _here(url) for name, url in urls.items()}
        found["postgresql_elsewhere"] = await _elsewhere(urls["postgresql"])
    return [figure for name, waits in found.items() for figure in _figures(name, waits)]


async def _here(url: str) -> list[float]:
    """One process makes the work and does it."""
    started: dict[str, asyncio.Future[float]] = {}

    async def drive(thread: str) -> None:
        if not started[thread].done():
            started[thread].set_result(time.monotonic())

    with Database(url) as database:
        wake_ups = WakeUps(database, max_turns=4)
        await wake_ups.start({Queue.EVENTS: drive, Queue.TURNS: drive})

        async def asked(thread: str) -> float:
            started[thread] = asyncio.get_running_loop().create_future()
            await _made(database, wake_ups, thread)
            wake_ups.nudge(Queue.EVENTS, thread)
            return await started[thread]

        waits = await _waits(asked)
        await wake_ups.stop()
    return waits


async def _elsewhere(url: str) -> list[float]:
    """One process makes the work, another one does it."""
    with Database(url) as database:
        intake = WakeUps(database, max_turns=1, works=False)
        await intake.start({})
        async with child("bench.starts", url) as worker:
            await worker.hear()
            waits = await _waits(lambda thread: _heard(worker, database, intake, thread))
        await intake.stop()
    return waits


async def _heard(worker: Child, database: Database, intake: WakeUps, thread: str) -> float:
    await _made(database, intake, thread)
    while True:
        said: Any = await worker.hear()
        if said[0] == thread:
            return float(said[1])


async def _made(database: Database, wake_ups: WakeUps, thread: str) -> None:
    await database.write(lambda c: wake_ups.enqueue(c, Queue.EVENTS, thread, wake=f"wake-{thread}"))


async def _waits(asked: Callable[[str], Awaitable[float]]) -> list[float]:
    waits = []
    for number in range(TRIES):
        begun = time.monotonic()
        waits.append(await asked(f"{begun}-{number}") - begun)
        await asyncio.sleep(PAUSE_SECONDS)
    return waits


def _figures(name: str, waits: list[float]) -> list[Figure]:
    p50 = median(waits) * 1000
    return [
        Figure(f"starts.{name}", p50, "ms", target=f"<= {TARGET_MS:.0f} ms", ok=p50 <= TARGET_MS),
        Figure(f"starts.{name}_p95", percentile(waits, 0.95) * 1000, "ms"),
    ]


async def _work(url: str) -> None:
    """The other process: tells when it started what."""

    async def drive(thread: str) -> None:
        tell_parent([thread, time.monotonic()])

    with Database(url) as database:
        wake_ups = WakeUps(database, max_turns=4)
        await wake_ups.start({Queue.EVENTS: drive, Queue.TURNS: drive})
        # Until it listens.
        await asyncio.sleep(1)
        tell_parent("ready")
        async for _ in told():
            pass
        await wake_ups.stop()


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1]))
