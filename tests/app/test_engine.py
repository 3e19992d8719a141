"""The engine: wake-ups that survive, come once at a time per thread, and keep to their limits."""

import asyncio
from pathlib import Path

import pytest

from app.engine import AlreadyRunning, Queue, WakeUps
from app.store.database import Database
from tests.app.conftest import House


async def test_wake_up_of_a_transaction_that_fails_never_comes(house: House) -> None:
    """The wake-up shares the fate of the work it was made for."""

    def fail(connection: object) -> None:
        house.wake_ups.enqueue(connection, Queue.EVENTS, "1-1", wake="w1")  # type: ignore[arg-type]
        msg = "no"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="no"):
        await house.database.write(fail)
    await house.database.write(lambda c: house.wake_ups.enqueue(c, Queue.EVENTS, "1-2", wake="w2"))

    await house.wait_driven(1)
    assert house.driven == [(Queue.EVENTS, "1-2")]


async def test_wake_up_left_by_a_dead_process_comes_at_the_next_start(tmp_path: Path) -> None:
    """What was enqueued and never driven is driven by whoever starts next."""
    driven: list[str] = []

    async def never(thread: str) -> None:
        await asyncio.sleep(3600)

    async def drive(thread: str) -> None:
        driven.append(thread)

    with Database(f"sqlite:///{tmp_path / 'darner.db'}") as database:
        first = WakeUps(database, max_turns=1)
        await first.start({Queue.EVENTS: never, Queue.TURNS: never})
        await database.write(lambda connection: first.enqueue(connection, Queue.TURNS, "1-7", wake="w"))
        await first.stop()
        second = WakeUps(database, max_turns=1)
        await second.start({Queue.EVENTS: drive, Queue.TURNS: drive})
        async with asyncio.timeout(10):
            while not driven:
                await asyncio.sleep(0.05)
        await second.stop()

    assert driven == ["1-7"]


async def test_one_thread_is_driven_by_one_at_a_time(house: House) -> None:
    """A nudge and a wake-up for the same thread never overlap; other threads do not wait for it."""
    running: list[str] = []
    overlaps: list[str] = []

    async def drive(thread: str) -> None:
        if thread in running:
            overlaps.append(thread)
        running.append(thread)
        await asyncio.sleep(0.05)
        running.remove(thread)

    house.drive = drive
    for _ in range(3):
        house.wake_ups.nudge(Queue.EVENTS, "1-1")
        house.wake_ups.nudge(Queue.EVENTS, "1-2")
    await house.wait_driven(6)

    assert overlaps == []


async def test_second_process_on_one_file_is_refused(house: House) -> None:
    """Two servers on one SQLite file would run turns twice; the second says what to do."""
    other = WakeUps(house.database, max_turns=1)

    with pytest.raises(AlreadyRunning, match="DARNER_HOME"):
        await other.start({})
