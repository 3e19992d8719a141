"""Leases: one driver per thread among all processes, and nothing written by who lost his."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, Insert, insert, update

from app.leases import LEASE_SECONDS, Lease, Leases
from app.seat import seat_in
from app.store import leases as rows
from app.store.database import Database
from app.store.fence import LeaseLost, fenced, require_lease
from app.store.leases import Places
from app.store.schema import leases, threads, workers

NAME = "darner-turns/1-7"


@pytest.fixture
def two(database_url: str) -> Iterator[tuple[Leases, Leases]]:
    """Two processes on one database."""
    with Database(database_url) as mine, Database(database_url) as theirs:
        yield Leases(mine, "mine"), Leases(theirs, "theirs")


async def taken(process: Leases, name: str = NAME, places: Places | None = None) -> Lease:
    lease = await process.take(name, places=places)
    assert isinstance(lease, Lease)
    return lease


def execute(statement: Insert, connection: Connection) -> None:
    connection.execute(statement)


async def run_out(database: Database, name: str = NAME) -> None:
    """Let the time of a lease be over."""
    await database.write(lambda c: c.execute(update(leases).where(leases.c.name == name).values(until=1.0)))


async def test_one_has_it_and_learns_that_the_other_came(two: tuple[Leases, Leases]) -> None:
    """Whoever comes in vain is not forgotten: the holder is told when it is done."""
    mine, theirs = two
    lease = await taken(mine)

    refused = await theirs.take(NAME)
    was_wanted = await mine.release(lease)

    assert refused == "held"
    assert was_wanted
    assert not await theirs.release(await taken(theirs))


async def test_of_many_at_once_one_gets_it(two: tuple[Leases, Leases]) -> None:
    """However many reach for it in the same moment."""
    mine, theirs = two

    found = await asyncio.gather(*(process.take(NAME) for process in (mine, theirs) * 5))

    assert sum(isinstance(one, Lease) for one in found) == 1


async def test_what_ran_out_is_taken_over_and_its_old_holder_writes_nothing(
    database: Database, database_url: str
) -> None:
    """A process that slept through its lease finds every write refused, in the store and to the forge."""
    with Database(database_url) as other:
        mine, theirs = Leases(database, "mine"), Leases(other, "theirs")
        lost: list[str] = []
        old = await taken(mine)
        old.on_lost = lambda: lost.append(old.name)
        await run_out(database)

        await taken(theirs)

        with fenced(old), pytest.raises(LeaseLost):
            await database.write(lambda c: c.execute(insert(threads).values(id="1-7", created_at=0.0)))
        keeping = asyncio.create_task(mine.keep())
        async with asyncio.timeout(60):
            while not lost:
                await asyncio.sleep(0.01)
        keeping.cancel()
        with fenced(old), pytest.raises(LeaseLost):
            require_lease()
        assert await database.read(lambda c: c.execute(threads.select()).all()) == []


async def test_what_ran_out_and_nobody_took_is_kept(database: Database) -> None:
    """A database that was away for a minute takes no work from those who waited for it."""
    mine = Leases(database, "mine")
    lease = await taken(mine)
    await run_out(database)
    assert await database.read(rows.held) == frozenset()

    with fenced(lease):
        await database.write(lambda c: c.execute(insert(threads).values(id="1-7", created_at=0.0)))
    await database.write(lambda c: rows.renew(c, "mine", seconds=10))

    assert await database.read(rows.held) == {NAME}


async def test_one_fence_does_not_stop_the_writes_of_others(database: Database) -> None:
    """Writes share a transaction; the one whose lease is gone is left out alone."""
    mine = Leases(database, "mine")
    lease = await taken(mine)
    lease.lose()

    def write(thread: str) -> asyncio.Task[object]:
        return asyncio.create_task(
            database.write(lambda c: c.execute(insert(threads).values(id=thread, created_at=0.0)).rowcount)
        )

    free = write("1-1")
    with fenced(lease):
        shut_out = write("1-2")
    also_free = write("1-3")
    await asyncio.wait({free, shut_out, also_free})

    assert isinstance(shut_out.exception(), LeaseLost)
    found = await database.read(lambda c: c.execute(threads.select().with_only_columns(threads.c.id)).all())
    assert sorted(thread for (thread,) in found) == ["1-1", "1-3"]


async def test_places_hold_for_all_processes(two: tuple[Leases, Leases], database_url: str) -> None:
    """So many turns at once, and so many of one repository, whoever runs them."""
    mine, theirs = two
    with Database(database_url) as database:
        for thread, repository in (("1-1", 1), ("1-2", 1), ("2-1", 2), ("3-1", 3)):
            row = insert(threads).values(id=thread, repository_id=repository, created_at=0.0)
            await database.write(partial(execute, row))
    places = Places("darner-turns/", total=2, per_repository=1)

    first = await taken(mine, "darner-turns/1-1", places)
    neighbour = await theirs.take("darner-turns/1-2", places=places)
    second = await taken(theirs, "darner-turns/2-1", places)
    third = await mine.take("darner-turns/3-1", places=places)
    await mine.release(first)
    fourth = await taken(mine, "darner-turns/3-1", places)

    assert (neighbour, third) == ("full", "full")
    assert {second.name, fourth.name} == {"darner-turns/2-1", "darner-turns/3-1"}


async def test_a_place_is_nobodys_when_its_lease_has_run_out(
    two: tuple[Leases, Leases], database_url: str
) -> None:
    """A process that is gone keeps no place; who holds a thread hears of others when all are taken."""
    mine, theirs = two
    places = Places("darner-turns/", total=1)
    first = await taken(mine, "darner-turns/1-1", places)

    same = await theirs.take("darner-turns/1-1", places=places)
    was_wanted = await mine.release(first)
    await taken(mine, "darner-turns/1-1", places)
    with Database(database_url) as database:
        await run_out(database, "darner-turns/1-1")
    other = await theirs.take("darner-turns/2-1", places=places)

    assert same == "held"
    assert was_wanted
    assert isinstance(other, Lease)


async def test_what_others_have_by_now_is_not_given_back(
    two: tuple[Leases, Leases], database_url: str
) -> None:
    """A release that comes too late takes nothing from the new holder."""
    mine, theirs = two
    old = await taken(mine)
    with Database(database_url) as database:
        await run_out(database)
        await taken(theirs)

        await mine.release(old)

        assert await database.read(rows.held) == {NAME}


async def test_a_lease_ends_for_its_holder_before_it_ends_for_the_others(database: Database) -> None:
    """Nothing is sent in its last moments; renewed it is good again; when it is lost that is told once."""
    mine = Leases(database, "mine")
    lease = await taken(mine)
    clock = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert lease.good_until < clock + LEASE_SECONDS

    lease.good_until = clock
    with fenced(lease), pytest.raises(LeaseLost):
        require_lease()
    keeping = asyncio.create_task(mine.keep())
    async with asyncio.timeout(60):
        while lease.good_until == clock:
            await asyncio.sleep(0.01)
    keeping.cancel()
    told: list[str] = []
    lease.on_lost = lambda: told.append(lease.name)
    lease.lose()
    lease.lose()

    assert told == [NAME]


async def test_the_dead_are_forgotten_with_what_they_held(database: Database) -> None:
    """Long after its last sign of life a process is not listed, and its leases are gone."""
    for worker in ("dead", "alive"):
        await database.write(partial(rows.sign_of_life, worker=worker, host="h"))
    await taken(Leases(database, "dead"))
    await run_out(database)
    dead = update(workers).where(workers.c.id == "dead").values(seen_at=1.0)
    await database.write(lambda c: c.execute(dead).rowcount)

    living = await database.write(rows.bury)

    assert living == {"alive"}
    assert await database.read(lambda c: c.execute(leases.select()).all()) == []


async def test_one_of_all_processes_is_the_first(two: tuple[Leases, Leases], database_url: str) -> None:
    """What one process is to do for all is done by one."""

    def ask(connection: Connection, *, worker: str) -> bool:
        return rows.is_first_in(connection, "round", worker=worker, seconds=60.0)

    with Database(database_url) as database:
        asked = [await database.alone(partial(ask, worker=worker)) for worker in ("mine", "theirs", "mine")]

    assert asked == [True, False, False]


def test_each_process_has_a_seat_of_its_own(tmp_path: Path) -> None:
    """Nobody works in the folder of another; who comes anew takes the first that is free."""
    with seat_in(tmp_path) as first, seat_in(tmp_path) as second:
        third = seat_in(tmp_path)
        places = [first, second, third.__enter__()]
        third.__exit__(None, None, None)
    with seat_in(tmp_path) as again:
        pass

    assert places == [tmp_path, tmp_path / "seats" / "2", tmp_path / "seats" / "3"]
    assert again == tmp_path


async def test_a_process_frozen_in_a_transaction_holds_nobody_up(postgres_database: str) -> None:
    """The server ends what stands still, and gives back what it had locked."""
    places = Places("darner-turns/", total=1)
    frozen = Database(postgres_database)
    with Database(postgres_database) as database, frozen.engine.connect() as connection:
        rows.take(connection, NAME, owner="o", worker="frozen", seconds=60, places=places)
        async with asyncio.timeout(60):
            lease = await Leases(database, "mine").take(NAME, places=places)
        connection.invalidate()
    frozen.engine.dispose()

    assert isinstance(lease, Lease)
