"""The database itself: engines, migrations, and one writer whose transactions carry many writes.

A write is durable when its future resolves. On SQLite a single connection writes, because SQLite has one
writer anyway and its own waiting is unfair (measured: tails of seconds with a pool of writers).
"""

import asyncio
import contextlib
import functools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
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

T = TypeVar("T")
Work = Callable[[Connection], T]

BATCH: Final = 256
"""Writes that share a transaction at most."""

MIGRATIONS: Final = Path(__file__).parent / "migrations"


class Database:
    """One database, opened. Use as a context manager: the writer thread ends with it."""

    def __init__(self, url: str) -> None:
        self.url: Final = url
        self.is_sqlite: Final = sa.make_url(url).get_backend_name() == "sqlite"
        self.engine: Final = engine_for(url)
        self._queue: Final[queue.SimpleQueue[tuple[Work[Any], Future[Any]] | None]] = queue.SimpleQueue()
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
        """Run `work` in a transaction; it is on disk when this returns. Raises what `work` raises."""
        return await asyncio.wrap_future(self.submit(work))

    def submit(self, work: Work[T]) -> Future[T]:
        """The same from any thread."""
        done: Future[T] = Future()
        self._queue.put((work, done))
        return done

    async def read(self, work: Work[T]) -> T:
        """Run `work` on a connection of its own, outside the writer."""
        return await asyncio.to_thread(self._read, work)

    def _read(self, work: Work[T]) -> T:
        with self.engine.connect().execution_options(reader=True) as connection:
            return work(connection)

    def _write_batches(self) -> None:
        with contextlib.closing(self.engine.connect()) as connection:
            while True:
                first = self._queue.get()
                if first is None:
                    return
                batch, closing = self._batch(first)
                self._commit(connection, batch)
                if closing:
                    return

    def _batch(
        self, first: tuple[Work[Any], Future[Any]]
    ) -> tuple[list[tuple[Work[Any], Future[Any]]], bool]:
        batch = [first]
        while len(batch) < BATCH:
            try:
                more = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
            if more is None:
                return batch, True
            batch.append(more)
        return batch, False

    def _commit(self, connection: Connection, batch: list[tuple[Work[Any], Future[Any]]]) -> None:
        """One transaction for the batch; a write that fails is undone alone and reported to its caller."""
        written: list[tuple[Future[Any], Any]] = []
        waiting = [(work, done) for work, done in batch if done.set_running_or_notify_cancel()]
        try:
            with connection.begin():
                # The driver's own connection: SQLAlchemy's savepoints cost more than most of our writes.
                savepoint = connection.connection.driver_connection
                if savepoint is None:
                    msg = "the writer has lost its connection"
                    raise sa.exc.InvalidRequestError(msg)
                for work, done in waiting:
                    savepoint.execute("SAVEPOINT one")
                    try:
                        result = work(connection)
                    except Exception as error:  # noqa: BLE001 - the loop's border: its caller is told
                        savepoint.execute("ROLLBACK TO SAVEPOINT one")
                        done.set_exception(error)
                    else:
                        written.append((done, result))
                    savepoint.execute("RELEASE SAVEPOINT one")
        except sa.exc.SQLAlchemyError as error:
            for done, _ in written:
                done.set_exception(error)
            return
        for done, result in written:
            done.set_result(result)


def engine_for(url: str) -> Engine:
    """An engine whose transactions on SQLite are IMMEDIATE, in WAL mode, synced at each commit."""
    if sa.make_url(url).get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_size=5, max_overflow=5)
    engine = sa.create_engine(url, pool_size=5, max_overflow=0)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        del record
        # The same that DBOS sets on an engine of its own making, plus WAL and FULL.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA busy_timeout=30000")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # SQLAlchemy's pysqlite page: with isolation_level None the transaction is begun by hand.
        mode = "DEFERRED" if connection.get_execution_options().get("reader") else "IMMEDIATE"
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def migrate(engine: Engine) -> None:
    """Bring the tables to the newest version."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
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
