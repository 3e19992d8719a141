"""The database itself: engines, migrations, and one writer whose transactions carry many writes.

A write is durable when its future resolves. On SQLite a single connection writes, because SQLite has one
writer anyway and its own waiting is unfair (measured: tails of seconds with a pool of writers).
"""

import asyncio
import contextlib
import functools
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, Table, event
from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.sql.dml import Insert, ReturningInsert

from app.store.fence import Fence, standing

T = TypeVar("T")
Work = Callable[[Connection], T]

BATCH: Final = 256
"""Writes that share a transaction at most."""

PATIENCE_SECONDS: Final = 30.0
"""How long a write or a read waits for a PostgreSQL that is being restarted before it fails."""
FROZEN_SECONDS: Final = 5
"""How long a transaction may stand still."""
_LONGEST_PAUSE: Final = 1.0

_MIGRATING: Final = 0x6461726D
"""The advisory lock under which tables are brought up to date: processes start at the same time."""

MIGRATIONS: Final = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class _Write:
    """A write that waits for its transaction, and who waits for it."""

    work: Work[Any]
    done: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    fence: Fence | None


class Database:
    """One database, opened. Use as a context manager: the writer thread ends with it."""

    def __init__(self, url: str) -> None:
        self.url: Final = url
        self.is_sqlite: Final = sa.make_url(url).get_backend_name() == "sqlite"
        self.engine: Final = engine_for(url)
        self._queue: Final[queue.SimpleQueue[_Write | None]] = queue.SimpleQueue()
        self._writer: Final = threading.Thread(target=self._write_batches, name="store-writer", daemon=True)

    def __enter__(self) -> Self:
        migrate(self.engine)
        self._writer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._queue.put(None)
        self._writer.join()
        self.engine.dispose()

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction; it is on disk when this returns. Raises what `work` raises.

        Calls take effect in order. A caller that is cancelled has written all the same. Where a fence stands,
        nothing is written unless it holds (`LeaseLost`). `work` is run again when the transaction has to be.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._queue.put(_Write(work, done, loop, standing()))
        return await done

    async def alone(self, work: Work[T]) -> T:
        """Run `work` in a transaction of its own, outside any fence: it may wait for other processes."""
        if self.is_sqlite:
            loop = asyncio.get_running_loop()
            done: asyncio.Future[T] = loop.create_future()
            self._queue.put(_Write(work, done, loop, None))
            return await done
        return await asyncio.to_thread(self._alone, work)

    def _alone(self, work: Work[T]) -> T:
        with self.engine.begin() as connection:
            return work(connection)

    async def read(self, work: Work[T]) -> T:
        """Run `work` on a connection of its own, outside the writer."""
        return await asyncio.to_thread(self._read, work)

    def _read(self, work: Work[T]) -> T:
        patience = _Patience()
        while True:
            try:
                with self.engine.connect().execution_options(reader=True) as connection:
                    return work(connection)
            except sa.exc.DBAPIError as error:
                if not patience.is_worth_waiting(error):
                    raise

    def _write_batches(self) -> None:
        with contextlib.closing(self.engine.connect()) as connection:
            while first := self._queue.get():
                batch, is_last = self._batch(first)
                _answer(_commit(connection, batch))
                if is_last:
                    return

    def _batch(self, first: _Write) -> tuple[list[_Write], bool]:
        """What waits now, and whether the end is among it."""
        batch = [first]
        while len(batch) < BATCH:
            try:
                more = self._queue.get_nowait()
            except queue.Empty:
                break
            if more is None:
                return batch, True
            batch.append(more)
        return batch, False


Answered = list[tuple[_Write, Any, Exception | None]]


def _commit(connection: Connection, batch: list[_Write]) -> Answered:
    """One transaction for the batch; a write that fails is undone alone.

    While the server is away, or when other processes stood in the way, the whole batch is tried again: but
    not when it may have been committed.
    """
    patience = _Patience()
    while True:
        is_committing = False
        try:
            with connection.begin():
                answered = _run(connection, batch)
                is_committing = True
        except Exception as error:  # noqa: BLE001 - the writer outlives every fault: a full disk, a lost server
            # The driver's connection may be beyond use without SQLAlchemy knowing: then there is a new one.
            connection.invalidate()
            if is_committing or not patience.is_worth_waiting(error):
                return [(write, None, error) for write in batch]
        else:
            return answered


class _Patience:
    """Says whether to try again after a fault, and waits before that."""

    def __init__(self) -> None:
        self._until = time.monotonic() + PATIENCE_SECONDS
        self._pause = 0.05

    def is_worth_waiting(self, error: Exception) -> bool:
        if not (_is_away(error) or _is_in_the_way(error)) or time.monotonic() >= self._until:
            return False
        time.sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret hangs on it
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return True


def _sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's own word for a fault; empty when there was none; None for a fault of anything else.

    https://www.postgresql.org/docs/current/errcodes-appendix.html
    """
    cause = getattr(error, "orig", None) or error
    if not type(cause).__module__.startswith("psycopg"):
        return None
    return getattr(cause, "sqlstate", None) or ""


def _is_away(error: Exception) -> bool:
    """The server cannot be reached, is starting or ending, or has no connection left."""
    state = _sqlstate(error)
    if state == "":
        return type(getattr(error, "orig", None) or error).__name__ == "OperationalError"
    return state is not None and (state.startswith(("08", "57P")) or state == "53300")


def _is_in_the_way(error: Exception) -> bool:
    """A deadlock with another process, or a transaction that could not be put in order with others."""
    return _sqlstate(error) in {"40P01", "40001"}


def _run(connection: Connection, batch: list[_Write]) -> Answered:
    answered: Answered = []
    # The driver's own connection: SQLAlchemy's savepoints cost more than most of our writes.
    savepoint = connection.connection.driver_connection
    if savepoint is None:
        msg = "the writer has lost its connection"
        raise sa.exc.InvalidRequestError(msg)
    holding: set[Fence] = set()
    for write in batch:
        savepoint.execute("SAVEPOINT one")
        try:
            # Once held, it is so until the end of the transaction.
            if write.fence is not None and write.fence not in holding:
                write.fence.hold(connection)
            answered.append((write, write.work(connection), None))
        except Exception as error:
            # Whatever it is, it is the caller's, and no fault of the writes beside it.
            if _is_in_the_way(error):
                raise
            answered.append((write, None, error))
            savepoint.execute("ROLLBACK TO SAVEPOINT one")
        else:
            if write.fence is not None:
                holding.add(write.fence)
        savepoint.execute("RELEASE SAVEPOINT one")
    return answered


def _answer(answered: Answered) -> None:
    """Tell every caller, each event loop in one call."""
    loops: dict[asyncio.AbstractEventLoop, Answered] = {}
    for answer in answered:
        loops.setdefault(answer[0].loop, []).append(answer)
    for loop, answers in loops.items():
        # A loop that has ended has nobody waiting.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, answers)


def _resolve(answers: Answered) -> None:
    for write, result, error in answers:
        if write.done.done():
            continue
        if error is None:
            write.done.set_result(result)
        else:
            write.done.set_exception(error)


def engine_for(url: str) -> Engine:
    """An engine whose transactions on SQLite are IMMEDIATE, in WAL mode, synced at each commit."""
    if sa.make_url(url).get_backend_name() != "sqlite":
        return postgresql_engine(url, max_overflow=5)
    engine = sa.create_engine(url, pool_size=5, max_overflow=0)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        del record
        connection.isolation_level = None
        make_durable(connection)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # SQLAlchemy's pysqlite page: with isolation_level None the transaction is begun by hand.
        mode = "DEFERRED" if connection.get_execution_options().get("reader") else "IMMEDIATE"
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def postgresql_engine(url: str, *, max_overflow: int) -> Engine:
    """An engine whose transactions the server ends when nothing comes any more.

    A process that is frozen in the middle of one would keep its locks, and all others waiting, for ever.
    https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-IDLE-IN-TRANSACTION-SESSION-TIMEOUT
    """
    engine = sa.create_engine(url, pool_size=5, max_overflow=max_overflow)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        del record
        connection.execute(f"SET idle_in_transaction_session_timeout = '{FROZEN_SECONDS}s'")
        connection.commit()

    return engine


def make_durable(connection: Any) -> None:
    """What DBOS sets on a SQLite connection of its own making, plus WAL, synced at each commit."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA busy_timeout=30000")
    connection.execute("PRAGMA foreign_keys=ON")


def migrate(engine: Engine) -> None:
    """Bring the tables to the newest version."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            # Between two statements a migration may take longer than any write does.
            connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = '300s'"))
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATING)))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@functools.cache
def insert_new(dialect: str, table: Table, unique: str, returning: str = "") -> ReturningInsert[Any] | Insert:
    """An insert, to be executed with a row, that leaves a row alone which has the same `unique` value.

    Made once: building a statement costs more than running it.
    """
    make = SqliteInsert if dialect == "sqlite" else PostgresqlInsert
    statement = make(table).on_conflict_do_nothing(index_elements=[unique])
    return statement.returning(table.c[returning]) if returning else statement


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement as the driver takes it: for the one insert that every webhook pays for."""

    sql: str
    names: tuple[str, ...]
    is_positional: bool

    def run(self, connection: Connection, row: Mapping[str, Any]) -> sa.CursorResult[Any]:
        if self.is_positional:
            return connection.exec_driver_sql(self.sql, tuple(row[name] for name in self.names))
        return connection.exec_driver_sql(self.sql, dict(row))


def prepare(dialect: sa.Dialect, statement: ReturningInsert[Any] | Insert, names: Sequence[str]) -> Prepared:
    """Compile `statement` for these columns."""
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    return Prepared(str(compiled), tuple(compiled.positiontup or names), bool(compiled.positional))
