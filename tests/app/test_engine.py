"""The engine: wake-ups that survive, come once at a time per thread, and keep to their limits."""

import asyncio
from pathlib import Path

import pytest

from app.claim import AlreadyRunning, claimed
from app.engine import WakeUps
from app.queues import Queue
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


async def test_wake_up_left_by_a_dead_process_comes_at_the_next_start(database: Database) -> None:
    """What was enqueued and never driven is driven by whoever starts next."""
    driven: list[str] = []

    async def never(thread: str) -> None:
        await asyncio.sleep(3600)

    async def drive(thread: str) -> None:
        driven.append(thread)

    first = WakeUps(database, max_turns=1)
    await first.start({Queue.EVENTS: never, Queue.TURNS: never})
    await database.write(lambda connection: first.enqueue(connection, Queue.TURNS, "1-7", wake="w"))
    await first.stop()
    second = WakeUps(database, max_turns=1)
    await second.start({Queue.EVENTS: drive, Queue.TURNS: drive})
    async with asyncio.timeout(60):
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


async def test_second_process_on_one_file_is_refused(tmp_path: Path) -> None:
    """Two servers on one SQLite file would run turns twice; the second says what to do."""
    url = f"sqlite:///{tmp_path / 'darner.db'}"

    with claimed(url), pytest.raises(AlreadyRunning, match="Stop it, or give this one a"), claimed(url):
        pass


async def test_late_comer_never_overlaps_with_who_waited(house: House) -> None:
    """A drive that begins just when another ends waits for the one that was waiting before it."""
    running: list[str] = []
    overlaps: list[str] = []

    async def drive(thread: str) -> None:
        overlaps.extend(running)
        running.append(thread)
        await asyncio.sleep(0.02)
        running.remove(thread)

    house.drive = drive
    for _ in range(20):
        house.wake_ups.nudge(Queue.EVENTS, "1-1")
        await asyncio.sleep(0.007)
    await house.wait_driven(20)

    assert overlaps == []


async def test_failed_drive_is_taken_up_again(database: Database) -> None:
    """A drive that raises is logged, and the thread is driven again while it has work."""
    driven: list[str] = []

    async def drive(thread: str) -> None:
        driven.append(thread)
        if len(driven) == 1:
            raise RuntimeError("once")

    async def backlog() -> list[tuple[Queue, str]]:
        return [(Queue.EVENTS, "1-7")] if len(driven) < 2 else []

    wake_ups = WakeUps(database, max_turns=1, sweep_seconds=0.05)
    await wake_ups.start({Queue.EVENTS: drive, Queue.TURNS: drive}, backlog=backlog)
    async with asyncio.timeout(60):
        while len(driven) < 2:
            await asyncio.sleep(0.02)
    await wake_ups.stop()

    assert driven == ["1-7", "1-7"]


async def test_stop_cancels_what_runs_and_lets_it_clean_up(database: Database) -> None:
    """A turn that runs when the server stops is cancelled once, cleans up, and is waited for."""
    seen: list[str] = []
    begun = asyncio.Event()

    async def drive(thread: str) -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.05)
            seen.append(f"{thread} cleaned up")

    wake_ups = WakeUps(database, max_turns=1)
    await wake_ups.start({Queue.EVENTS: drive, Queue.TURNS: drive})
    wake_ups.nudge(Queue.TURNS, "1-7")
    await begun.wait()
    await wake_ups.stop()
    wake_ups.nudge(Queue.TURNS, "1-8")

    assert seen == ["1-7 cleaned up"]


async def test_threads_are_there_after_it_has_stopped(tmp_path: Path) -> None:
    """What is cleaned up after the engine, and an engine started anew, find the loop's threads at work."""

    async def no_backlog() -> list[tuple[Queue, str]]:
        return []

    with Database(f"sqlite:///{tmp_path / 'darner.db'}") as database:
        for _ in range(2):
            wake_ups = WakeUps(database, max_turns=1)
            await wake_ups.start({}, backlog=no_backlog)
            await wake_ups.stop()

            assert await asyncio.to_thread(lambda: "at work") == "at work"
