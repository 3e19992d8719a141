"""Who drives what, among all processes, and which processes there are. All times are the database's.

A lease is a row; whoever has it renews it in time, else it is anybody's.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Double, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from app.store.schema import leases, threads, workers

DEAD_SECONDS: Final = 60.0
"""After so long without a sign of life a process is not listed any more; its leases ended long before."""

_COUNTING: Final = 0x6461726E
"""The advisory lock under which running turns are counted: two must not both find the last place free."""

Refusal = Literal["held", "full"]


@dataclass(frozen=True, slots=True)
class Places:
    """How many leases of one kind there may be at once in the whole deployment; None: any number."""

    prefix: str
    """What their names begin with; the thread follows."""
    total: int | None = None
    per_repository: int | None = None


def take(
    connection: Connection,
    name: str,
    *,
    owner: str,
    worker: str,
    seconds: float,
    places: Places | None = None,
) -> Refusal | None:
    """Have the lease, if nobody has it and a place is free; None: it is `owner`'s now.

    Refused because it is held: who holds it will be told at its release that it was wanted.
    """
    if places is not None and _is_full(connection, name, places):
        return "full"
    insert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    now = _clock(connection)
    row = {"owner": owner, "worker": worker, "until": now + seconds, "wanted": False}
    statement = (
        insert(leases)
        .values(name=name, **row)
        .on_conflict_do_update(index_elements=["name"], set_=row, where=leases.c.until < now)
        .returning(leases.c.owner)
    )
    wanting = update(leases).where(leases.c.name == name).values(wanted=True).returning(leases.c.name)
    while connection.execute(statement).one_or_none() is None:
        if connection.execute(wanting).one_or_none() is not None:
            return "held"
        # Released between the two.
    return None


def _is_full(connection: Connection, name: str, places: Places) -> bool:
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_COUNTING)))
    taken = (
        leases.c.name.startswith(places.prefix, autoescape=True),
        leases.c.name != name,
        leases.c.until >= _clock(connection),
    )
    if places.total is not None:
        running = connection.execute(select(func.count()).select_from(leases).where(*taken)).scalar_one()
        if running >= places.total:
            return True
    if places.per_repository is None:
        return False
    mine = select(threads.c.repository_id).where(threads.c.id == name.removeprefix(places.prefix))
    neighbours = (
        select(func.count())
        .select_from(leases.join(threads, leases.c.name == literal(places.prefix) + threads.c.id))
        .where(*taken, threads.c.repository_id == mine.scalar_subquery())
    )
    return bool(connection.execute(neighbours).scalar_one() >= places.per_repository)


def renew(connection: Connection, worker: str, *, seconds: float) -> Mapping[str, str]:
    """Keep all leases of a process; name → owner of those it has.

    One that ran out and that nobody took is kept as well: nothing happened meanwhile.
    """
    statement = (
        update(leases)
        .where(leases.c.worker == worker)
        .values(until=_clock(connection) + seconds)
        .returning(leases.c.name, leases.c.owner)
    )
    return {row.name: row.owner for row in connection.execute(statement)}


def hold(connection: Connection, name: str, owner: str) -> bool:
    """Whether the lease is `owner`'s; if so, until the transaction is over."""
    query = select(leases.c.name).where(leases.c.name == name, leases.c.owner == owner)
    return connection.execute(query.with_for_update(read=True)).one_or_none() is not None


def release(connection: Connection, name: str, owner: str) -> bool:
    """Give the lease back; whether somebody wanted it meanwhile."""
    statement = (
        delete(leases).where(leases.c.name == name, leases.c.owner == owner).returning(leases.c.wanted)
    )
    return bool(connection.execute(statement).scalar_one_or_none())


def release_all(connection: Connection, worker: str, names: Collection[str] | None = None) -> None:
    """Give back what a process has: all, or those of these names."""
    statement = delete(leases).where(leases.c.worker == worker)
    if names is not None:
        statement = statement.where(leases.c.name.in_(names))
    connection.execute(statement)


def forget_all(connection: Connection) -> None:
    """For a database that one process works on: whatever is left is of a process that is gone."""
    connection.execute(delete(leases))


def held(connection: Connection) -> frozenset[str]:
    """The names of the leases that somebody has now."""
    query = select(leases.c.name).where(leases.c.until >= _clock(connection))
    return frozenset(connection.execute(query).scalars())


def is_first_in(connection: Connection, name: str, *, worker: str, seconds: float) -> bool:
    """Whether `worker` is the first of all to ask within `seconds`: for what one of them is to do."""
    return take(connection, name, owner=worker, worker="", seconds=seconds) is None


def sign_of_life(connection: Connection, worker: str, *, host: str) -> None:
    """Say that the process lives."""
    now = _clock(connection)
    statement = update(workers).where(workers.c.id == worker).values(seen_at=now).returning(workers.c.id)
    if connection.execute(statement).one_or_none() is None:
        row = {"id": worker, "host": host, "started_at": now, "seen_at": now}
        connection.execute(workers.insert().values(**row))


def leave(connection: Connection, worker: str) -> None:
    connection.execute(delete(workers).where(workers.c.id == worker))


def bury(connection: Connection) -> frozenset[str]:
    """Forget the processes that gave no sign of life for long, and leases that nobody came for; who lives."""
    past = _clock(connection) - DEAD_SECONDS
    connection.execute(delete(workers).where(workers.c.seen_at < past))
    connection.execute(delete(leases).where(leases.c.until < past))
    return frozenset(connection.execute(select(workers.c.id)).scalars())


def _clock(connection: Connection) -> ColumnElement[float]:
    """Now. SQLite has one process, whose clock will do."""
    if connection.dialect.name == "sqlite":
        return literal(time.time(), Double)
    epoch: ColumnElement[Any] = sa.extract("epoch", func.clock_timestamp())
    return sa.cast(epoch, Double)
