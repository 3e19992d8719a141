"""What people have decided about a whole thread: that nothing starts by itself, that it is set aside."""

from sqlalchemy import Connection, select, update

from app.store.schema import threads
from handlers.view import ThreadFacts


def facts_of(connection: Connection, thread: str) -> ThreadFacts:
    """As they are now; the plain ones for a thread that is not known."""
    query = select(
        threads.c.stopped_by, threads.c.archived_at, threads.c.budget_tokens, threads.c.budget_micros
    ).where(threads.c.id == thread)
    row = connection.execute(query).one_or_none()
    if row is None:
        return ThreadFacts()
    return ThreadFacts(row.stopped_by, row.archived_at is not None, row.budget_tokens, row.budget_micros)


def hold(connection: Connection, thread: str, *, by: str | None) -> None:
    """Nothing starts here by itself from now on; with None it may again, also where it was set aside."""
    values = {"stopped_by": by} if by is not None else {"stopped_by": None, "archived_at": None}
    connection.execute(update(threads).where(threads.c.id == thread).values(values))


def archive(connection: Connection, thread: str, *, now: float) -> bool:
    """Set the thread aside. False when there is no such thread."""
    statement = update(threads).where(threads.c.id == thread).values(archived_at=now).returning(threads.c.id)
    return connection.execute(statement).one_or_none() is not None
