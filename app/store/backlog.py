"""Threads that have work to do now: what the engine's sweep looks for. Says nothing of whose turn it is."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from app.store.schema import effects, inbox, threads, turns


def threads_with_events(connection: Connection, *, now: float) -> Sequence[str]:
    """With a letter or an effect that may be worked on."""
    letters = select(inbox.c.thread).where(inbox.c.state == "pending", inbox.c.not_before <= now)
    writes = select(effects.c.thread).where(effects.c.state == "pending", effects.c.not_before <= now)
    return connection.execute(letters.union(writes)).scalars().all()


def threads_with_turns(connection: Connection, *, now: float) -> Sequence[str]:
    """With a turn that may run, who waits longest first. Local threads are driven by their own command."""
    query = (
        select(turns.c.thread)
        .join(threads, threads.c.id == turns.c.thread)
        .where(turns.c.status != "ended", turns.c.not_before <= now, threads.c.repository_id.is_not(None))
        .group_by(turns.c.thread)
        .order_by(func.min(turns.c.created_at))
    )
    return connection.execute(query).scalars().all()
