"""`python -m tests.sweep [SQLite|PostgreSQL] [part …]`: trouble of every kind, for one job after the other.

Without a part all of them; `deaths:40-60` are those before these steps, `moments:7` those of another seed.
One line a job, then a table. Exits with 1 when anything was lost, doubled, or left behind.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tests.app import postgres
from tests.sweep import changes, power, troubles
from tests.sweep.deaths import Ran, at_a_moment, before_step, sweeping, undisturbed
from tests.sweep.place import Place

SEED: Final = 20261123
MOMENTS: Final = 20


@dataclass(frozen=True, slots=True)
class Ground:
    """What a part of the sweep has."""

    place: Place
    first: Ran
    """The job undisturbed."""
    server: postgres.Server | None
    bounds: str


async def _deaths(ground: Ground) -> AsyncIterator[Ran]:
    start, _, end = ground.bounds.partition("-")
    points = range(int(start or 1), int(end or len(ground.first.steps)) + 1)
    # Spread: what is broken off has looked at all of the job.
    for point in sorted(points, key=lambda point: (point % 5, point)):
        yield await before_step(ground.place, point)


async def _moments(ground: Ground) -> AsyncIterator[Ran]:
    random = Random(int(ground.bounds or SEED))
    for _ in range(MOMENTS):
        yield await at_a_moment(ground.place, random, within=ground.first.seconds)


async def _database(ground: Ground) -> AsyncIterator[Ran]:
    random = Random(int(ground.bounds or SEED))
    if ground.server is not None:
        for _ in range(MOMENTS // 2):
            yield await troubles.without_database(
                ground.place, ground.server, random, within=ground.first.seconds
            )


async def _power(ground: Ground) -> AsyncIterator[Ran]:
    random = Random(int(ground.bounds or SEED))
    if ground.server is None:
        for number in range(MOMENTS // 2):
            yield await power.cut(ground.place.home / f"power-{number}", random)


def _forge(ground: Ground) -> AsyncIterator[Ran]:
    return troubles.of_the_forge(ground.place)


def _model(ground: Ground) -> AsyncIterator[Ran]:
    return troubles.of_the_model(ground.place)


def _world(ground: Ground) -> AsyncIterator[Ran]:
    return changes.of_the_world(ground.place)


PARTS: Final[dict[str, Callable[[Ground], AsyncIterator[Ran]]]] = {
    "deaths": _deaths,
    "moments": _moments,
    "forge": _forge,
    "model": _model,
    "world": _world,
    "database": _database,
    "power": _power,
}


async def sweep_on(name: str, server: postgres.Server | None, parts: Sequence[str]) -> list[Ran]:
    """All that was asked for, on one database."""
    url = "" if server is None else server.url.format("postgres")
    with tempfile.TemporaryDirectory(prefix="darner-sweep-") as directory:
        async with sweeping(Path(directory), database_url=url) as place:
            first = await undisturbed(place)
            done = [first]
            _show(name, first)
            for part in parts:
                kind, _, bounds = part.partition(":")
                async for ran in PARTS[kind](Ground(place, first, server, bounds)):
                    done.append(ran)
                    _show(name, ran)
    return done


def _show(name: str, ran: Ran) -> None:
    told = "; ".join(ran.faults) or "sound"
    print(f"{name}: {ran.name}: {told} ({ran.seconds:.1f} s)", flush=True)


def _table(name: str, done: list[Ran]) -> None:
    times = Counter(ran.name for ran in done)
    faulty = Counter(ran.name for ran in done if ran.faults)
    print(f"\n| {name}: disturbed by | jobs | lost, doubled, or left behind |\n| --- | --- | --- |")
    for kind, count in sorted(times.items()):
        print(f"| {kind} | {count} | {faulty[kind]} |")


def main() -> int:
    words = sys.argv[1:]
    names = [word for word in words if word in {"SQLite", "PostgreSQL"}] or ["SQLite", "PostgreSQL"]
    parts = [word for word in words if word not in names] or list(PARTS)
    with ExitStack() as stack:
        results = {}
        for name in names:
            is_postgres = name == "PostgreSQL"
            server = stack.enter_context(postgres.serving(postgres.programs())) if is_postgres else None
            results[name] = asyncio.run(sweep_on(name, server, parts))
    for name, done in results.items():
        _table(name, done)
    return int(any(ran.faults for done in results.values() for ran in done))


if __name__ == "__main__":
    raise SystemExit(main())
