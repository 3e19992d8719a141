"""Threads that have work to do now: what the engine's sweep looks for. Says nothing of whose turn it is."""

from collections.abc import Sequence

from sqlalchemy import Connection, case, func, select

from app.store.schema import effects, inbox, threads, turns


def threads_with_events(connection: Connection, *, now: float) -> Sequence[str]:
    """With a letter or an effect that may be worked on."""
    letters = select(inbox.c.thread).where(inbox.c.state == "pending", inbox.c.not_before <= now)
    writes = select(effects.c.thread).where(effects.c.state == "pending", effects.c.not_before <= now)
    return connection.execute(letters.union(writes)).scalars().all()


def unfinished(connection: Connection) -> Sequence[str]:
    """Threads on a forge with anything left to do, now or later."""
    letters = select(inbox.c.thread).where(inbox.c.state == "pending")
    writes = select(effects.c.thread).where(effects.c.state == "pending")
    asked = select(turns.c.thread).where(turns.c.status != "ended")
    query = (
        select(threads.c.id)
        .where(threads.c.repository_id.is_not(None), threads.c.id.in_(letters.union(writes, asked)))
        .order_by(threads.c.id)
    )
    return connection.execute(query).scalars().all()


def is_at_work(connection: Connection, thread: str) -> bool:
    """Whether a turn waits or runs in the thread, or a letter that may ask for one."""
    asked = select(turns.c.id).where(turns.c.thread == thread, turns.c.status != "ended").limit(1)
    letters = select(inbox.c.id).where(inbox.c.thread == thread, inbox.c.state == "pending").limit(1)
    return any(connection.execute(query).one_or_none() is not None for query in (asked, letters))


def threads_with_turns(connection: Connection, *, now: float) -> Sequence[str]:
    """With a turn that may run: those that were begun before those that were not, the oldest first.

    Local threads are driven by their own command.
    """
    query = (
        select(turns.c.thread)
        .join(threads, threads.c.id == turns.c.thread)
        .where(turns.c.status != "ended", turns.c.not_before <= now, threads.c.repository_id.is_not(None))
        .group_by(turns.c.thread)
        .order_by(func.min(case((turns.c.status == "running", 0), else_=1)), func.min(turns.c.created_at))
    )
    return connection.execute(query).scalars().all()
