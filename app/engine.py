"""The durable engine: somebody is always working on a thread that has work, and only one. Wraps DBOS.

A wake-up is enqueued in the transaction that makes the work; a wake-up that finds nothing to do ends at once.
The engine knows nothing of what the work is, and records none of its steps: the journal is the truth.

On SQLite one process works on a database. On PostgreSQL any number do: who drives a thread has a lease on it
(`app.leases`), new work is told to all (`app.store.hearing`), and what nobody came for, because a process
died or did not hear, is found by the sweep of each. A wake-up is a bell there: it rings and is done.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from weakref import WeakValueDictionary

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import SQLAlchemyError

from app.claim import claimed
from app.leases import Lease, Leases, name_of_process
from app.queues import Queue
from app.store import leases as lease_rows
from app.store.database import Database, make_durable, postgresql_engine
from app.store.fence import LeaseLost, fenced
from app.store.hearing import hear, tell
from app.store.leases import Places

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.25
"""How long a wake-up that nobody nudged may lie: after a crash, a delay, or from another process."""

LONGEST_NUDGE: Final = 60.0
"""Seconds: what waits longer is left to the durable wake-up, and holds nothing of ours meanwhile."""

APPLICATION_VERSION: Final = "1"
"""Constant: with DBOS's default (a hash of the code) a deploy would strand what the old version left."""

SWEEP_SECONDS: Final = 30.0
"""Between two looks for work that nobody comes for, because a drive failed or DBOS gave a wake-up up."""

SWEEP_SECONDS_OF_MANY: Final = (1.5, 2.5)
"""The same among several processes, each at its own time: what a dead one held is found so soon."""
BURY_SECONDS: Final = 30.0
"""Between two looks for processes that are gone, and for wake-ups that are done."""

KEEP_WAKE_UPS: Final = timedelta(days=1)
"""DBOS keeps what is done for ever unless told otherwise."""

_A_PLACE: Final = "place"
"""Told to all processes when a turn has ended that others may have waited for."""

Drive = Callable[[str], Awaitable[None]]
"""Does all the work that the thread has now; called again, does nothing."""

Backlog = Callable[[], Awaitable[Iterable[tuple[Queue, str]]]]
"""The threads that have something to do now, by the store."""


async def no_backlog() -> Iterable[tuple[Queue, str]]:
    return ()


@dataclass(frozen=True, slots=True)
class TurnPlaces:
    """How many turns run at once."""

    in_process: int
    total: int | None = None
    """In the whole deployment; None: as many as its processes run."""
    per_repository: int | None = None
    """Of one repository, in the whole deployment."""

    @property
    def shared(self) -> Places | None:
        """What the processes must agree on."""
        if self.total is None and self.per_repository is None:
            return None
        return Places(f"{Queue.TURNS}/", self.total, self.per_repository)


class WakeUps:
    """DBOS, started. `enqueue` belongs into the caller's transaction, `nudge` after its commit.

    Without `works` this process drives nothing: it takes in, and leaves the work to others.
    """

    def __init__(
        self,
        database: Database,
        *,
        max_turns: int | TurnPlaces,
        sweep_seconds: float | None = None,
        works: bool = True,
    ) -> None:
        places = TurnPlaces(max_turns) if isinstance(max_turns, int) else max_turns
        self._database = database
        self._works = works
        self._sweep_seconds = sweep_seconds
        self._drives: Mapping[Queue, Drive] = {}
        self._limits = {Queue.EVENTS: 16, Queue.TURNS: places.in_process}
        self._slots = {queue: asyncio.Semaphore(limit) for queue, limit in self._limits.items()}
        self._shared_places = places.shared
        self.worker: Final = name_of_process()
        self._leases = Leases(database, self.worker)
        # A lock lives as long as somebody holds it or waits for it.
        self._locks: WeakValueDictionary[tuple[Queue, str], asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_ready: Callable[[], bool] = lambda: True
        self._keeping: asyncio.Task[None] | None = None
        self._sweep_now = asyncio.Event()
        self._is_full = False
        self._is_anyone_turned_away = False
        self._stack = ExitStack()
        self._is_stopping = False

    @property
    def _is_one_of_many(self) -> bool:
        return not self._database.is_sqlite

    async def start(
        self,
        drives: Mapping[Queue, Drive],
        *,
        backlog: Backlog = no_backlog,
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """Launch DBOS inside the running loop, and so continue what a crash left.

        Takes the database where that is SQLite. Raises `AlreadyRunning`. One of many takes nothing from the
        others before it `is_ready`.
        """
        self._drives = drives
        self._is_ready = is_ready
        self._stack.enter_context(claimed(self._database.url))
        engine = _dbos_engine(self._database.url)
        self._stack.callback(engine.dispose)
        config: DBOSConfig = {
            "name": "darner",
            "system_database_engine": engine,
            "application_version": APPLICATION_VERSION,
            # On SQLite always the same: what it left is its own again at the next start.
            "executor_id": self.worker if self._is_one_of_many else "local",
            # Nobody waits for a notification of DBOS: its listener would be one more connection.
            "use_listen_notify": False,
            # It looks into an empty table of its own, and whoever stops it waits for one round.
            "notification_listener_polling_interval_sec": 0.1,
            "log_level": "WARNING",
        }
        DBOS(config=config)
        self._stack.callback(DBOS.destroy, destroy_registry=True)

        @DBOS.workflow(name="wake", max_recovery_attempts=10)
        async def wake(queue: str, thread: str) -> None:
            await self._wake(queue, thread)

        if not self._works:
            DBOS.listen_queues(["darner-none"])
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
        if not self._is_one_of_many:
            await self._database.write(lease_rows.forget_all)
        if self._is_one_of_many or self._shared_places:
            self._keeping = asyncio.create_task(self._leases.keep())
        if self._works:
            self._spawn(self._sweep(backlog))
            self._spawn(self._tidy())
        if self._works and self._is_one_of_many:
            self._spawn(hear(self._database.url, on_words=self._heard, on_begin=self._sweep_now.set))

    async def stop(self) -> None:
        """Cancel what runs (it cleans up and is continued at the next start) and let DBOS go."""
        self._is_stopping = True
        running = tuple(self._tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        # Only now: what cleaned up still wrote under its lease.
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            await self._leases.leave()
        await asyncio.to_thread(self._stack.close)
        # DBOS had made its own pool the loop's, and has shut it down: whoever still cleans up needs threads.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="darner"))

    def enqueue(
        self, connection: Connection, queue: Queue, thread: str, *, wake: str, delay: float = 0.0
    ) -> None:
        """Make sure that `thread` is driven, if and when `connection`'s transaction commits."""
        _enqueue(self._client, connection, queue, thread, wake=wake, delay=delay)
        if delay <= 0:
            tell(connection, f"{self.worker} {queue} {thread}")

    def nudge(self, queue: Queue, thread: str, *, after: float = 0.0) -> None:
        """Start at once, or in `after` seconds, instead of at the next poll. Losing a nudge loses nothing."""
        if self._works and after <= LONGEST_NUDGE:
            self._spawn(self._drive(queue, thread, after=after))

    async def is_first_in(self, name: str, seconds: float) -> bool:
        """Whether this process is the first of all to ask within `seconds`: for what one of them is to do.

        Nobody is while the database cannot be asked.
        """
        try:
            return not self._is_one_of_many or await self._database.alone(
                lambda connection: lease_rows.is_first_in(
                    connection, name, worker=self.worker, seconds=seconds
                )
            )
        except SQLAlchemyError as error:
            log.warning("engine.not_asked", extra={"fields": {"round": name, "error": type(error).__name__}})
            return False

    def _heard(self, words: str) -> None:
        """Another process has made work, or a place free. One's own was nudged already."""
        worker, kind, *thread = words.split(" ", 2)
        if kind == _A_PLACE:
            self._sweep_now.set()
        elif worker != self.worker and thread:
            with suppress(ValueError):  # a kind of wake-up that only a newer version knows
                self.nudge(Queue(kind), thread[0])

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._is_stopping:
            work.close()
            return
        # In a context of its own: a fence that stands around whoever nudges is none of theirs.
        task = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wake(self, queue: str, thread: str) -> None:
        """DBOS's door. A wake-up that comes while we stop is not lost: the next start sweeps first."""
        task = asyncio.current_task()
        if self._is_stopping or task is None:
            return
        if self._is_one_of_many:
            # Not waited for: a wake-up that runs while its process dies would hold up the thread's next ones.
            self.nudge(Queue(queue), thread)
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await self._drive(Queue(queue), thread)

    async def _drive(self, queue: Queue, thread: str, *, after: float = 0.0) -> None:
        """One at a time per thread. The worker loop's border: what fails is taken up by the next sweep."""
        await asyncio.sleep(after)
        if self._is_one_of_many and not self._is_ready():
            return
        if self._is_one_of_many and queue is Queue.TURNS and self._slots[queue].locked():
            # Nobody stands in line here: another process may have a place, and when there is one here the
            # sweep tells who comes first.
            self._is_anyone_turned_away = True
            return
        lock = self._locks.setdefault((queue, thread), asyncio.Lock())
        async with lock, self._slots[queue]:
            try:
                if self._is_one_of_many or (queue is Queue.TURNS and self._shared_places):
                    await self._drive_leased(queue, thread)
                    self._look_for_the_next()
                else:
                    await self._drives[queue](thread)
            except Exception:
                fields = {"thread": thread, "queue": queue.value}
                log.exception("thread.drive_failed", extra={"fields": fields})

    def _look_for_the_next(self) -> None:
        if self._is_anyone_turned_away:
            self._is_anyone_turned_away = False
            self._sweep_now.set()

    async def _drive_leased(self, queue: Queue, thread: str) -> None:
        """Drive it if nobody else does; else whoever does is told that there is more."""
        places = self._shared_places if queue is Queue.TURNS else None
        if places is not None and self._is_full:
            return
        lease = await self._leases.take(f"{queue}/{thread}", places=places)
        if not isinstance(lease, Lease):
            # A thread that waits for a place holds nothing: whoever ends has everyone look again.
            self._is_full = (
                lease == "full"
                and self._shared_places is not None
                and (self._shared_places.per_repository is None)
            )
            return
        try:
            await self._under(lease, self._drives[queue], thread)
        finally:
            is_wanted = await self._leases.release(lease)
            if is_wanted:
                await self._pass_on(queue, thread)
            if places is not None:
                await self._tell_of_place()

    async def _pass_on(self, queue: Queue, thread: str) -> None:
        """Somebody came while we held the thread: there is more to do, for us, or for others when we stop."""
        self.nudge(queue, thread)
        if self._is_stopping and self._is_one_of_many:
            await self._database.write(lambda connection: tell(connection, f"{self.worker} {queue} {thread}"))

    async def _under(self, lease: Lease, drive: Drive, thread: str) -> None:
        """Drive behind the lease's fence; when the lease is lost the drive is cancelled, and cleans up."""

        async def work() -> None:
            await drive(thread)

        with fenced(lease):
            driving = asyncio.create_task(work(), context=copy_context())
        lease.on_lost = driving.cancel
        task = asyncio.current_task()
        try:
            await driving
        except LeaseLost:
            log.warning("thread.lost", extra={"fields": {"lease": lease.name}})
        except asyncio.CancelledError:
            if not lease.is_lost or (task is not None and task.cancelling()):
                raise
            log.warning("thread.lost", extra={"fields": {"lease": lease.name}})

    async def _tell_of_place(self) -> None:
        """A turn has ended: whoever waits for its place looks again."""
        self._sweep_now.set()
        if self._is_one_of_many and not self._is_stopping:
            await self._database.write(lambda connection: tell(connection, f"{self.worker} {_A_PLACE}"))

    async def _sweep(self, backlog: Backlog) -> None:
        """Nobody is left waiting, whatever became of a wake-up; first of all at the start."""
        while True:
            self._sweep_now.clear()
            self._is_full = False
            try:
                held = await self._held_elsewhere()
                for queue, thread in await backlog():
                    lock = self._locks.get((queue, thread))
                    if (lock is None or not lock.locked()) and f"{queue}/{thread}" not in held:
                        self.nudge(queue, thread)
            except Exception:
                log.exception("engine.sweep_failed")
            # Not `wait_for`: it may swallow the cancellation that comes with what it waits for.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._sweep_now.wait()

    async def _held_elsewhere(self) -> frozenset[str]:
        """Threads that a living process drives: it will look once more if somebody comes for them."""
        return await self._database.read(lease_rows.held) if self._is_one_of_many else frozenset()

    def _pause(self) -> float:
        if self._sweep_seconds is not None:
            return self._sweep_seconds
        return random.uniform(*SWEEP_SECONDS_OF_MANY) if self._is_one_of_many else SWEEP_SECONDS  # noqa: S311

    async def _tidy(self) -> None:
        """What grows by itself is kept small."""
        while True:
            try:
                if await self.is_first_in("darner-tidy", BURY_SECONDS / 2):
                    await _forget_done_wake_ups()
                    if self._is_one_of_many:
                        living = await self._database.write(lease_rows.bury)
                        await _forget_stuck_wake_ups(living)
            except Exception:
                log.exception("engine.tidy_failed")
            await asyncio.sleep(BURY_SECONDS)


@contextmanager
def waking_from_outside(url: str) -> Iterator[Callable[[Connection, Queue, str, str], None]]:
    """For a command beside the server: gives what makes sure that a thread is driven by whoever works.

    Called with a connection, a queue, a thread and the wake-up's name; as `WakeUps.enqueue`.
    """
    engine = _dbos_engine(url)
    client = DBOSClient(system_database_engine=engine, application_name="darner")

    def enqueue(connection: Connection, queue: Queue, thread: str, wake: str) -> None:
        _enqueue(client, connection, queue, thread, wake=wake)
        tell(connection, f"{name_of_process()} {queue} {thread}")

    try:
        yield enqueue
    finally:
        client.destroy()
        engine.dispose()


def _enqueue(
    client: DBOSClient, connection: Connection, queue: Queue, thread: str, *, wake: str, delay: float = 0.0
) -> None:
    options: dict[str, Any] = {
        "queue_name": queue.value,
        "workflow_name": "wake",
        "workflow_id": wake,
        "queue_partition_key": thread,
        "app_version": APPLICATION_VERSION,
    }
    if delay > 0:
        options["delay_seconds"] = delay
    client.enqueue_in_transaction(connection, options, queue.value, thread)  # type: ignore[arg-type]


async def _forget_done_wake_ups() -> None:
    before = (datetime.now(UTC) - KEEP_WAKE_UPS).isoformat()
    done = await DBOS.list_workflows_async(
        name="wake", completed_before=before, limit=1000, load_input=False, load_output=False
    )
    if done:
        await DBOS.delete_workflows_async([wake.workflow_id for wake in done])


async def _forget_stuck_wake_ups(living: Iterable[str]) -> None:
    """Those that a dead process had begun: nobody ends them, and they would hold up their thread's next ones.

    Their threads are found by the sweep. https://github.com/dbos-inc/dbos-transact-py/issues/804
    """
    begun = await DBOS.list_workflows_async(
        name="wake", status="PENDING", load_input=False, load_output=False
    )
    stuck = [wake.workflow_id for wake in begun if wake.executor_id not in set(living)]
    if stuck:
        await DBOS.delete_workflows_async(stuck)


def _dbos_engine(url: str) -> Engine:
    """DBOS needs the driver's own transaction control: it cannot share the store's engine."""
    if sa.make_url(url).get_backend_name() != "sqlite":
        return postgresql_engine(url, max_overflow=10)
    engine = sa.create_engine(url, pool_size=5, max_overflow=5)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        del record
        connection.isolation_level = "IMMEDIATE"
        make_durable(connection)

    return engine
