"""What an operator sees of the threads: read only, over several tables."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from app.store.schema import threads, turns
from app.store.turns import find


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


def summaries(connection: Connection, *, most: int, with_archived: bool = False) -> list[ThreadSummary]:
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
        .where(*(() if with_archived else (threads.c.archived_at.is_(None),)))
        .order_by(newest.desc(), threads.c.id)
        .limit(most)
    )
    return [
        ThreadSummary(
            row.id, row.repository, row.number, row.turns, row.newest, _state(connection, row.id, row.seq)
        )
        for row in connection.execute(query).all()
    ]


def _state(connection: Connection, thread: str, seq: int) -> str:
    newest = select(turns.c.id).where(turns.c.thread == thread, turns.c.seq == seq)
    row = find(connection, connection.execute(newest).scalar_one())
    return row.state if row else ""
