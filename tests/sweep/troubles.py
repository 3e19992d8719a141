"""Forge, model and database fail while the job goes on; hours pass where somebody says to wait for hours."""

import asyncio
import time
from collections.abc import AsyncIterator
from random import Random
from typing import Final

from demo.forge.faults import FaultKind
from demo.model import Cut, HttpError, rate_limited
from tests.app import postgres
from tests.stories.world import POLL_SECONDS
from tests.sweep.deaths import Ran, played
from tests.sweep.job import Job, job
from tests.sweep.place import PATIENCE_SECONDS, Place

WRITES: Final = "POST|PATCH|PUT|DELETE"
# A fetch is a POST, too, and writes nothing.
NO_FETCH: Final = "^(?!.*git-upload-pack)"
# The App's own endpoint and git's have no limit that an installation's writes would share.
LIMITED: Final = "^(?!.*(git-upload-pack|git-receive-pack|access_tokens))"
AT_EACH_WRITE: Final = {
    FaultKind.BAD_GATEWAY: "502 instead of a write",
    FaultKind.BAD_GATEWAY_AFTER_WRITE: "502 after a write",
    FaultKind.DROP_AFTER_WRITE: "a write whose answer never comes",
}
LIMIT_SECONDS: Final = 72.0
EVERY: Final = 6
"""So many writes lie between two that meet the secondary limit: each costs a restart."""
CUTS: Final = (0, 1, 2, 4, 7)
HOURS: Final = 2 * 3600.0


async def writes_of_a_job(place: Place) -> int:
    """How many requests that write a job makes."""
    many = 1_000_000
    place.forge.faults.add(FaultKind.SLOW, method=WRITES, path=NO_FETCH, after=many)
    await played(await job(place, "Counted"))
    [left] = place.forge.faults.pending()
    place.forge.faults.clear()
    return many - left.after


async def at_a_write(place: Place, kind: FaultKind, write: int) -> Ran:
    """A job in which one request that writes fails, by its place in the order."""
    begun = time.monotonic()
    place.forge.faults.add(kind, method=WRITES, path=NO_FETCH, after=write)
    faults = await played(await job(place, f"{kind} at {write}"))
    place.forge.faults.clear()
    return Ran(AT_EACH_WRITE[kind], (), tuple(faults), time.monotonic() - begun)


async def limited(place: Place, write: int) -> Ran:
    """A job whose write meets the secondary limit; it goes on when the time is up."""
    begun = time.monotonic()
    place.forge.faults.add(
        FaultKind.SECONDARY_LIMIT, method=WRITES, path=LIMITED, after=write, seconds=LIMIT_SECONDS
    )
    asked = await job(place, f"Limited at {write}")
    faults = []
    if await _until(
        asked, "SELECT 1 FROM throttles WHERE blocked_until > ?", place.now() + LIMIT_SECONDS / 2
    ):
        await place.later(LIMIT_SECONDS + 1)
    else:
        faults.append("the limit was never met")
    place.forge.faults.clear()
    faults += await played(asked)
    return Ran(f"a secondary limit of {LIMIT_SECONDS:.0f} s", (), tuple(faults), time.monotonic() - begun)


async def cut(place: Place, after_events: int) -> Ran:
    """The model's first answer breaks off."""
    begun = time.monotonic()
    place.house.model.strike(Cut(after_events=after_events))
    faults = await played(await job(place, f"Cut after {after_events}"))
    return Ran("an answer of the model cut off", (), tuple(faults), time.monotonic() - begun)


async def told_to_wait(place: Place) -> Ran:
    """A `Retry-After` that is slept through."""
    begun = time.monotonic()
    place.house.model.strike(rate_limited(1))
    faults = await played(await job(place, "A second"))
    return Ran("a 429 of the model, 1 s", (), tuple(faults), time.monotonic() - begun)


async def told_to_wait_for_hours(place: Place) -> Ran:
    """A `Retry-After` of hours: the turn is parked, and goes on when they are over."""
    begun = time.monotonic()
    place.house.model.strike(rate_limited(HOURS))
    asked = await job(place, "Hours")
    faults = await _parked(asked)
    await place.later(HOURS + 1)
    faults += await played(asked)
    return Ran("a 429 of the model, 2 h", (), tuple(faults), time.monotonic() - begun)


async def away_for_hours(place: Place) -> Ran:
    """The model's endpoint answers nothing but 503 for two hours: the turn is parked twice."""
    begun = time.monotonic()
    tries = 6
    place.house.model.strike(HttpError(status=503, type="server_error", times=2 * tries))
    asked = await job(place, "Away")
    faults = await _parked(asked)
    await place.later(HOURS / 2)
    faults += await _parked(asked)
    await place.later(HOURS / 2)
    faults += await played(asked)
    return Ran("an outage of the model, 2 h", (), tuple(faults), time.monotonic() - begun)


async def without_database(place: Place, server: postgres.Server, random: Random, *, within: float) -> Ran:
    """`kill -9` of PostgreSQL at a moment of chance; it is started again."""
    begun = time.monotonic()
    asked = await job(place, "Without a database")
    playing = asyncio.create_task(played(asked))
    await asyncio.sleep(random.uniform(0, within))
    # All else stands still meanwhile: nobody of ours may ask a database that is away.
    server.kill()
    server.start()
    return Ran("`kill -9` of PostgreSQL", (), tuple(await playing), time.monotonic() - begun)


async def _parked(asked: Job) -> list[str]:
    """Return when the turn waits; what it still holds."""
    query = (
        "SELECT 1 FROM turns t JOIN threads h ON h.id = t.thread"
        " WHERE t.status = 'parked' AND t.not_before > ? AND h.number = ?"
    )
    if not await _until(asked, query, asked.place.now() + 30, asked.issue):
        return ["it was not parked"]
    # The thread's letters may be handled at this very moment, under a lease of their own.
    held = [left for left in asked.held() if left.startswith(("process", "lease darner-turns"))]
    return [f"held while it waits: {held}"] if held else []


async def _until(asked: Job, query: str, *arguments: object) -> bool:
    """Whether the database says so before the job is over."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not asked.place.house.rows(query, *arguments):
            if await asked.goes_on():
                return False
            await asyncio.sleep(POLL_SECONDS * 3)
    return True


async def of_the_forge(place: Place) -> AsyncIterator[Ran]:
    """Each kind, at each write."""
    writes = await writes_of_a_job(place)
    for kind in AT_EACH_WRITE:
        for write in range(writes):
            yield await at_a_write(place, kind, write)
    for write in range(2, writes - 2, EVERY):
        yield await limited(place, write)


async def of_the_model(place: Place) -> AsyncIterator[Ran]:
    for after_events in CUTS:
        yield await cut(place, after_events)
    yield await told_to_wait(place)
    yield await told_to_wait_for_hours(place)
    yield await away_for_hours(place)
