"""Kills the server before a step of the job or at a moment of chance, and looks what is wrong afterwards."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.stories.world import POLL_SECONDS
from tests.sweep.job import COUNT, Job, job, over
from tests.sweep.place import PATIENCE_SECONDS, Place, place

NOT_OVER = f"not over after {PATIENCE_SECONDS:.0f} s"


@dataclass(frozen=True, slots=True)
class Ran:
    """One job, with or without a trouble in between."""

    name: str
    """What it was disturbed by; as a row of a table says it."""
    steps: tuple[str, ...]
    faults: tuple[str, ...]
    """What an observer of the forge, or of the database, finds wrong."""
    seconds: float


async def undisturbed(place: Place) -> Ran:
    return await before_step(place, 0)


async def before_step(place: Place, point: int) -> Ran:
    """A job with a death before its `point`-th step; 0 is never."""
    await place.counts_from_now(point)
    begun = time.monotonic()
    asked = await job(place, f"Death {point}")
    faults = await played(asked)
    steps = tuple(place.steps())
    died = place.house.has_died
    if died:
        # Before the last step, or after all that counts.
        await place.starts_again(asked.issue)
        await place.forge.webhooks_settled()
        faults = await played(asked)
    name = f"a death before a {steps[point - 1]}" if 0 < point <= len(steps) else "nothing"
    return Ran(name, steps, tuple(faults), time.monotonic() - begun)


async def at_a_moment(place: Place, random: Random, *, within: float) -> Ran:
    """A job with two deaths, each at a moment of chance `within` so many seconds of a start."""
    await place.counts_from_now(0)
    begun = time.monotonic()
    asked = await job(place, "Death by chance")
    killing = asyncio.create_task(_kill_by_chance(place, random, within))
    faults = await played(asked)
    killing.cancel()
    await asyncio.gather(killing, return_exceptions=True)
    if place.house.has_died:
        await place.starts_again(asked.issue)
        faults = await played(asked)
    return Ran("two deaths at moments of chance", (), tuple(faults), time.monotonic() - begun)


async def _kill_by_chance(place: Place, random: Random, within: float) -> None:
    for _ in range(2):
        await asyncio.sleep(random.uniform(0, within))
        place.house.tell(signal.SIGKILL)
        while not place.house.has_died:
            await asyncio.sleep(POLL_SECONDS)
        while place.house.has_died or not place.house.is_ready:
            await asyncio.sleep(POLL_SECONDS)


async def played(asked: Job) -> list[str]:
    """What is wrong when the job is over."""
    try:
        await over(asked)
    except TimeoutError:
        return [NOT_OVER, *await asked.faults()]
    return await asked.faults()


@asynccontextmanager
async def sweeping(home: Path, *, database_url: str = "") -> AsyncIterator[Place]:
    """A place with the job's script, until the block ends."""
    async with place(home, sessions=(COUNT,), database_url=database_url) as made:
        yield made
