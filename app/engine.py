"""The durable engine: somebody is always working on a thread that has work, and only one. Wraps DBOS.

A wake-up is enqueued in the transaction that makes the work; a wake-up that finds nothing to do ends at once.
The engine knows nothing of what the work is, and records none of its steps: the journal is the truth.
"""

import asyncio
import fcntl
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig
from sqlalchemy import Connection, Engine, event

from app.store.database import Database, make_durable

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.25
"""How long a wake-up that nobody nudged may lie: after a crash, a delay, or from another process."""

LONGEST_NUDGE: Final = 60.0
"""Seconds: what waits longer is left to the durable wake-up, and holds nothing of ours meanwhile."""

APPLICATION_VERSION: Final = "1"
"""Constant: with DBOS's default (a hash of the code) a deploy would strand what the old version left."""

SWEEP_SECONDS: Final = 30.0
"""Between two looks for work that nobody comes for, because a drive failed or DBOS gave a wake-up up."""

KEEP_WAKE_UPS: Final = timedelta(days=1)
"""DBOS keeps what is done for ever unless told otherwise."""


class Queue(StrEnum):
    """The two kinds of wake-up. A thread has one of each running at most."""

    EVENTS = "darner-events"
    """Handle the thread's inbox and perform its effects: short."""
    TURNS = "darner-turns"
    """Run the thread's next turn: long."""


Drive = Callable[[str], Awaitable[None]]
"""Does all the work that the thread has now; called again, does nothing."""

Backlog = Callable[[], Awaitable[Iterable[tuple[Queue, str]]]]
"""The threads that have something to do now, by the store."""


async def no_backlog() -> Iterable[tuple[Queue, str]]:
    return ()


class AlreadyRunning(Exception):
    """Another Darner process works on this database."""


class WakeUps:
    """DBOS, started. `enqueue` belongs into the caller's transaction, `nudge` after its commit."""

    def __init__(self, database: Database, *, max_turns: int, sweep_seconds: float = SWEEP_SECONDS) -> None:
        self._database = database
        self._sweep_seconds = sweep_seconds
        self._drives: Mapping[Queue, Drive] = {}
        self._limits = {Queue.EVENTS: 16, Queue.TURNS: max_turns}
        self._slots = {queue: asyncio.Semaphore(limit) for queue, limit in self._limits.items()}
        # A lock lives as long as somebody holds it or waits for it.
        self._locks: WeakValueDictionary[tuple[Queue, str], asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = ExitStack()
        self._is_stopping = False

    async def start(self, drives: Mapping[Queue, Drive], *, backlog: Backlog = no_backlog) -> None:
        """Take the database, launch DBOS inside the running loop, and so continue what a crash left."""
        self._drives = drives
        self._stack.enter_context(claimed(self._database.url))
        engine = _dbos_engine(self._database.url)
        self._stack.callback(engine.dispose)
        config: DBOSConfig = {
            "name": "darner",
            "system_database_engine": engine,
            "application_version": APPLICATION_VERSION,
            "executor_id": "local",
            # Nobody waits for a notification of DBOS: its listener would be one more connection.
            "use_listen_notify": False,
            "notification_listener_polling_interval_sec": 1.0,
            "log_level": "WARNING",
        }
        DBOS(config=config)
        self._stack.callback(DBOS.destroy, destroy_registry=True)

        @DBOS.workflow(name="wake", max_recovery_attempts=10)
        async def wake(queue: str, thread: str) -> None:
            await self._wake(queue, thread)

        DBOS.launch()
        self._client = DBOSClient(system_database_engine=engine, application_name="darner")
        self._stack.callback(self._client.destroy)
        for queue, limit in self._limits.items():
            await DBOS.register_queue_async(
                queue.value,
                partition_concurrency=1,
                worker_concurrency=limit,
                polling_interval_sec=POLL_SECONDS,
                on_conflict="always_update",
            )
        self._spawn(self._sweep(backlog))

    async def stop(self) -> None:
        """Cancel what runs (it cleans up and is continued at the next start) and let DBOS go."""
        self._is_stopping = True
        running = tuple(self._tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.to_thread(self._stack.close)
        # DBOS had made its own pool the loop's, and has shut it down: whoever still cleans up needs threads.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="darner"))

    def enqueue(
        self, connection: Connection, queue: Queue, thread: str, *, wake: str, delay: float = 0.0
    ) -> None:
        """Make sure that `thread` is driven, if and when `connection`'s transaction commits."""
        options: dict[str, Any] = {
            "queue_name": queue.value,
            "workflow_name": "wake",
            "workflow_id": wake,
            "queue_partition_key": thread,
            "app_version": APPLICATION_VERSION,
        }
        if delay > 0:
            options["delay_seconds"] = delay
        self._client.enqueue_in_transaction(connection, options, queue.value, thread)  # type: ignore[arg-type]

    def nudge(self, queue: Queue, thread: str, *, after: float = 0.0) -> None:
        """Start at once, or in `after` seconds, instead of at the next poll. Losing a nudge loses nothing."""
        if after <= LONGEST_NUDGE:
            self._spawn(self._drive(queue, thread, after=after))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._is_stopping:
            work.close()
            return
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wake(self, queue: str, thread: str) -> None:
        """DBOS's door. A wake-up that comes while we stop is not lost: the next start sweeps first."""
        task = asyncio.current_task()
        if self._is_stopping or task is None:
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await self._drive(Queue(queue), thread)

    async def _drive(self, queue: Queue, thread: str, *, after: float = 0.0) -> None:
        """One at a time per thread. The worker loop's border: what fails is taken up by the next sweep."""
        await asyncio.sleep(after)
        lock = self._locks.setdefault((queue, thread), asyncio.Lock())
        async with lock, self._slots[queue]:
            try:
                await self._drives[queue](thread)
            except Exception:
                fields = {"thread": thread, "queue": queue.value}
                log.exception("thread.drive_failed", extra={"fields": fields})

    async def _sweep(self, backlog: Backlog) -> None:
        """Nobody is left waiting, whatever became of a wake-up; first of all at the start."""
        while True:
            try:
                for queue, thread in await backlog():
                    lock = self._locks.get((queue, thread))
                    if lock is None or not lock.locked():
                        self.nudge(queue, thread)
                await _forget_done_wake_ups()
            except Exception:
                log.exception("engine.sweep_failed")
            await asyncio.sleep(self._sweep_seconds)


async def _forget_done_wake_ups() -> None:
    before = (datetime.now(UTC) - KEEP_WAKE_UPS).isoformat()
    done = await DBOS.list_workflows_async(
        name="wake", completed_before=before, limit=1000, load_input=False, load_output=False
    )
    if done:
        await DBOS.delete_workflows_async([wake.workflow_id for wake in done])


@contextmanager
def claimed(url: str) -> Iterator[None]:
    """One process works on a database. Raises `AlreadyRunning`."""
    made = sa.make_url(url)
    if made.get_backend_name() == "sqlite":
        with _file_claimed(Path(f"{made.database}.lock")):
            yield
        return
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        # Held by the session: it ends with the process, however that ends.
        query = sa.text("SELECT pg_try_advisory_lock(hashtext('darner'))")
        if not connection.execute(query).scalar_one():
            msg = "Another Darner works on this database. Stop it, or give this one a database of its own."
            raise AlreadyRunning(msg)
        yield


@contextmanager
def _file_claimed(path: Path) -> Iterator[None]:
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = (
                f"Another Darner (see its pid in {path}) uses this database. Stop it, "
                "or give this one a DARNER_HOME of its own."
            )
            raise AlreadyRunning(msg) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _dbos_engine(url: str) -> Engine:
    """DBOS needs the driver's own transaction control: it cannot share the store's engine."""
    if sa.make_url(url).get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_size=5, max_overflow=10)
    engine = sa.create_engine(url, pool_size=5, max_overflow=5)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        del record
        connection.isolation_level = "IMMEDIATE"
        make_durable(connection)

    return engine
