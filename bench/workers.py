"""Turns a minute with one, two and four workers on PostgreSQL; how soon a turn goes on when its process dies.

Every process is a real one: forge, intake, workers. A turn waits four seconds in its commands and uses the
processor besides: how far workers help is bounded by the cores, which forge and intake share.
"""

import asyncio
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bench.figure import Figure, median
from tests.app import postgres
from tests.fleet.fleet import REQUEST, TALLY_SECONDS, fleet, tally
from tests.stories.by_hand import REPOSITORY, House, opened
from tests.stories.world import POLL_SECONDS
from tests.sweep.sweep import Sweep

WORKERS: Final = (1, 2, 4)
TURNS: Final = 24
LIMITS: Final = {"DARNER_MAX_TURNS": "2", "DARNER_WRITE_SPACING_SECONDS": "0"}
SCALE: Final = 1.8
TAKE_OVER_SECONDS: Final = 15.0
RESUME_SECONDS: Final = 5.0
TRIES: Final = 3


async def measure() -> list[Figure]:
    """All figures of this file."""
    rates = {count: await _rate(count) for count in WORKERS}
    scale = rates[2] / rates[1]
    taken = await _taken_over()
    resumed = await _resumed()
    return [
        *(Figure(f"workers.turns_{count}", rate, "turns/min") for count, rate in rates.items()),
        Figure(
            "workers.scale_2",
            scale,
            "x of one worker",
            target=f">= {SCALE}",
            ok=scale >= SCALE,
        ),
        Figure(
            "workers.take_over",
            taken,
            "s",
            target=f"<= {TAKE_OVER_SECONDS:.0f} s",
            ok=taken <= TAKE_OVER_SECONDS,
            note="from kill -9 of a worker until another one writes the turn's journal",
        ),
        Figure(
            "workers.resume",
            median(resumed),
            "s",
            target=f"<= {RESUME_SECONDS:.0f} s",
            ok=median(resumed) <= RESUME_SECONDS,
            note=f"SQLite, from the server's start to its first journal entry; worst {max(resumed):.1f}",
        ),
    ]


async def _rate(workers: int) -> float:
    """Turns a minute."""
    with (
        postgres.running(postgres.programs()) as server,
        tempfile.TemporaryDirectory(prefix="darner-bench-") as home,
    ):
        async with fleet(Path(home), database_url=server.format("postgres"), limits=LIMITS) as made:
            sweep = Sweep(made.house)
            await made.hire(*(f"worker-{number}" for number in range(workers)))
            # Makes the mirrors, and whatever else is made once.
            await made.done(await made.asked(2 * workers), by=sweep)
            begun = time.monotonic()
            await made.done(await made.asked(TURNS), by=sweep)
            return 60 * TURNS / (time.monotonic() - begun)


async def _taken_over() -> float:
    with (
        postgres.running(postgres.programs()) as server,
        tempfile.TemporaryDirectory(prefix="darner-bench-") as home,
    ):
        async with fleet(Path(home), database_url=server.format("postgres"), limits=LIMITS) as made:
            await made.hire("doomed")
            await made.asked(1)
            leases = await made.busy("doomed")
            await made.hire("other")
            [turn] = made.turns_of(leases)
            before = _entries(made.house, turn)
            made.tell("doomed", signal.SIGKILL)
            return await _grows(made.house, turn, before)


async def _resumed() -> list[float]:
    times = []
    with tempfile.TemporaryDirectory(prefix="darner-bench-") as home:
        async with opened(Path(home)) as house:
            house.model.teach(tally(TALLY_SECONDS))
            for number in range(TRIES):
                await house.maya.opens_issue(REPOSITORY, f"Tally {number}", f"@darner {REQUEST}")
                turn = await _running(house)
                before = _entries(house, turn)
                await house.stop(signal.SIGKILL)
                starting = asyncio.create_task(house.serve())
                times.append(await _grows(house, turn, before))
                await starting
                await _ended(house, turn)
    return times


async def _until(look: Callable[[], object]) -> None:
    """Return when there is something to see."""
    while True:
        if look():
            return
        await asyncio.sleep(POLL_SECONDS)


async def _running(house: House) -> str:
    """Return when a turn has begun a command; its id."""
    query = "SELECT t.id FROM turns t JOIN items i ON i.turn = t.id WHERE t.status = 'running' AND i.type = ?"
    await _until(lambda: house.rows(query, "command_execution"))
    return str(house.rows(query, "command_execution")[0][0])


async def _ended(house: House, turn: str) -> None:
    await _until(lambda: house.rows("SELECT id FROM turns WHERE id = ? AND status = 'ended'", turn))


async def _grows(house: House, turn: str, before: int) -> float:
    """Seconds until the journal has a new entry."""
    begun = time.monotonic()
    await _until(lambda: _entries(house, turn) > before)
    return time.monotonic() - begun


def _entries(house: House, turn: str) -> int:
    found: Sequence[tuple[int]] = house.rows("SELECT count(*) FROM items WHERE turn = ?", turn)
    return int(found[0][0])
