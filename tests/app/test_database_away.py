"""PostgreSQL dies and comes back: whoever waits for it goes on, and what was acknowledged is there."""

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import DBAPIError

from app.engine import WakeUps
from app.queues import Queue
from app.store.database import Database
from app.store.schema import threads
from tests.app import postgres


@pytest.fixture
def server() -> Iterator[postgres.Server]:
    """One of the test's own: it is killed."""
    with postgres.serving(postgres.programs()) as made:
        yield made


def add(connection: Connection, *, thread: str) -> None:
    connection.execute(insert(threads).values(id=thread, created_at=0.0))


def known(connection: Connection) -> set[str]:
    return set(connection.execute(select(threads.c.id)).scalars())


async def test_writes_wait_and_none_that_was_acknowledged_is_lost(server: postgres.Server) -> None:
    """`kill -9` of the database server under a stream of writes: the stream goes on by itself."""
    done: list[str] = []
    failed: list[str] = []
    with Database(server.url.format("postgres")) as database:

        async def write() -> None:
            for number in range(100_000):
                try:
                    await database.write(partial(add, thread=str(number)))
                except DBAPIError:
                    # It died while it committed: nobody knows.
                    failed.append(str(number))
                else:
                    done.append(str(number))

        writing = asyncio.create_task(write())
        await until_more(done)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await until_more(done)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        found = await database.read(known)

    assert set(done) <= found
    assert len(failed) <= 1


async def test_work_made_after_it_came_back_is_driven(server: postgres.Server) -> None:
    """Leases, the ear for what others tell, the sweep and DBOS find it again."""
    driven: list[str] = []

    async def drive(thread: str) -> None:
        driven.append(thread)

    with Database(server.url.format("postgres")) as database:
        wake_ups = WakeUps(database, max_turns=1)
        await wake_ups.start({Queue.EVENTS: drive, Queue.TURNS: drive})
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await database.write(lambda c: wake_ups.enqueue(c, Queue.EVENTS, "1-7", wake="w"))
        async with asyncio.timeout(60):
            while not driven:
                await asyncio.sleep(0.05)
        await wake_ups.stop()

    assert set(driven) == {"1-7"}


async def until_more(done: list[str]) -> None:
    before = len(done)
    async with asyncio.timeout(60):
        while len(done) < before + 20:
            await asyncio.sleep(0.01)
