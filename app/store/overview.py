"""What an operator sees of the threads: read only, over several tables."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from app.store.schema import items, threads, turns
from app.store.turns import find
from harness.items import ItemAdapter, Life
from harness.protocols import Entry


@dataclass(frozen=True, slots=True)
class ThreadSummary:
    id: str
    repository: str | None
    """None for a local thread."""
    number: int | None
    turns: int
    newest_at: float
    """When the newest turn was asked for; seconds since the epoch."""
    state: str
    """Of the newest turn: its outcome, or what it is doing."""


def summaries(connection: Connection, *, most: int) -> list[ThreadSummary]:
    """The threads that have turns, the one with the newest turn first."""
    newest = func.max(turns.c.created_at).label("newest")
    query = (
        select(
            threads.c.id,
            threads.c.repository,
            threads.c.number,
            func.count(turns.c.id).label("turns"),
            newest,
            func.max(turns.c.seq).label("seq"),
        )
        .join(turns, turns.c.thread == threads.c.id)
        .group_by(threads.c.id, threads.c.repository, threads.c.number)
        .order_by(newest.desc(), threads.c.id)
        .limit(most)
    )
    return [
        ThreadSummary(
            row.id, row.repository, row.number, row.turns, row.newest, _state(connection, row.id, row.seq)
        )
        for row in connection.execute(query).all()
    ]


def entries_of(connection: Connection, turn: str) -> list[Entry]:
    """A turn's journal, oldest first."""
    query = select(items.c.seq, items.c.life, items.c.body).where(items.c.turn == turn).order_by(items.c.seq)
    return [
        Entry(row.seq, Life(row.life), ItemAdapter.validate_json(row.body))
        for row in connection.execute(query)
    ]


def _state(connection: Connection, thread: str, seq: int) -> str:
    newest = select(turns.c.id).where(turns.c.thread == thread, turns.c.seq == seq)
    row = find(connection, connection.execute(newest).scalar_one())
    if row is None:
        return ""
    return row.outcome.status if row.outcome else row.status
