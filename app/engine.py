"""The durable engine: somebody is always working on a thread that has work, and only one. Wraps DBOS.

A wake-up is enqueued in the transaction that makes the work; a wake-up that finds nothing to do ends at once.
The engine knows nothing of what the work is, and records none of its steps: the journal is the truth.
"""

import asyncio
import fcntl
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Final

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig
from sqlalchemy import Connection, Engine, event

from app.store.database import Database

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.25
"""How long a wake-up that nobody nudged may lie: after a crash, a delay, or from another process."""

APPLICATION_VERSION: Final = "1"
"""Constant: with DBOS's default (a hash of the code) a deploy would strand what the old version left."""


class Queue(StrEnum):
    """The two kinds of wake-up. A thread has one of each running at most."""

    EVENTS = "darner-events"
    """Handle the thread's inbox and perform its effects: short."""
    TURNS = "darner-turns"
    """Run the thread's next turn: long."""


Drive = Callable[[str], Awaitable[None]]
"""Does all the work that the thread has now; called again, does nothing."""


class AlreadyRunning(Exception):
    """Another Darner process has this SQLite database open."""


class WakeUps:
    """DBOS, started. `enqueue` belongs into the caller's transaction, `nudge` after its commit."""

    def __init__(self, database: Database, *, max_turns: int) -> None:
        self._database = database
        self._drives: Mapping[Queue, Drive] = {}
        self._limits = {Queue.EVENTS: 16, Queue.TURNS: max_turns}
        self._slots = {queue: asyncio.Semaphore(limit) for queue, limit in self._limits.items()}
        self._locks: dict[tuple[Queue, str], asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()
        self._engine: Final = _dbos_engine(database.url)
        self._client: DBOSClient | None = None

    async def start(self, drives: Mapping[Queue, Drive]) -> None:
        """Take the database, launch DBOS inside the running loop, and so continue what a crash left."""
        self._drives = drives
        if self._database.is_sqlite and (path := sa.make_url(self._database.url).database):
            self._stack.enter_context(_exclusive(Path(path)))
        config: DBOSConfig = {
            "name": "darner",
            "system_database_engine": self._engine,
            "application_version": APPLICATION_VERSION,
            "executor_id": "local",
            "notification_listener_polling_interval_sec": 1.0,
            "log_level": "WARNING",
        }
        DBOS(config=config)

        @DBOS.workflow(name="wake", max_recovery_attempts=10)
        async def wake(queue: str, thread: str) -> None:
            await self._wake(queue, thread)

        DBOS.launch()
        self._client = DBOSClient(system_database_engine=self._engine, application_name="darner")
        for queue, limit in self._limits.items():
            await DBOS.register_queue_async(
                queue.value,
                partition_concurrency=1,
                worker_concurrency=limit,
                polling_interval_sec=POLL_SECONDS,
                on_conflict="always_update",
            )

    async def stop(self) -> None:
        """Cancel what runs (it cleans up and is continued at the next start) and let DBOS go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            self._client.destroy()
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
        self._engine.dispose()
        await self._stack.aclose()

    def enqueue(
        self, connection: Connection, queue: Queue, thread: str, *, wake: str, delay: float = 0.0
    ) -> None:
        """Make sure that `thread` is driven, if and when `connection`'s transaction commits."""
        if self._client is None:
            msg = "wake-ups are enqueued only while the engine runs"
            raise RuntimeError(msg)
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

    def nudge(self, queue: Queue, thread: str) -> None:
        """Start at once instead of at the next poll. Losing a nudge loses nothing."""
        task = asyncio.create_task(self._drive(queue, thread))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wake(self, queue: str, thread: str) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await self._drive(Queue(queue), thread)

    async def _drive(self, queue: Queue, thread: str) -> None:
        """One at a time per thread. The worker loop's border: a fault is logged, the work stays recorded."""
        key = (queue, thread)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock, self._slots[queue]:
            try:
                await self._drives[queue](thread)
            except Exception:
                log.exception(
                    "thread.drive_failed", extra={"fields": {"thread": thread, "queue": queue.value}}
                )
                raise
        if not lock.locked() and self._locks.get(key) is lock:
            del self._locks[key]


def _exclusive(database: Path) -> "_Held":
    return _Held(database.with_suffix(database.suffix + ".lock"))


class _Held:
    """An advisory lock on a file beside the database: one process per SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> None:
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            msg = (
                f"Another Darner (see its pid in {self._path}) uses this database. Stop it, "
                "or give this one a DARNER_HOME of its own."
            )
            raise AlreadyRunning(msg) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self._file.close()


def _dbos_engine(url: str) -> Engine:
    """DBOS needs the driver's own transaction control; on SQLite it gets the settings it makes, plus WAL."""
    if sa.make_url(url).get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_size=5, max_overflow=10)
    engine = sa.create_engine(url, pool_size=5, max_overflow=5)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        del record
        connection.isolation_level = "IMMEDIATE"
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA busy_timeout=30000")
        connection.execute("PRAGMA foreign_keys=ON")

    return engine
