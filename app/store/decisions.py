"""Finds the delivery behind a decision of a thread, by whatever name people have for it."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from app.store.schema import deliveries, requests, turns


def delivery_meant(connection: Connection, thread: str, named: str | None, asking: int | None) -> str | None:
    """The GUID of the delivery that a turn, a request or the beginning of a GUID goes back to.

    With no name it is the thread's last one before `asking` that was decided. Never one of another thread.
    """
    here = select(deliveries.c.guid).where(deliveries.c.thread == thread)
    if named is None:
        # Others may have come in since; and what waits until a push or CI is quiet is not decided yet.
        decided = deliveries.c.state.not_in(("ignored", "pending"))
        last = here.where(decided).order_by(deliveries.c.id.desc()).limit(1)
        if asking is not None:
            last = last.where(deliveries.c.id < asking)
        return _first(connection.execute(last).scalars().all())
    asked_for = select(requests.c.turn).where(requests.c.id == named, requests.c.thread == thread)
    turn = connection.execute(asked_for).scalar_one_or_none() or named
    origin = select(turns.c.origin).where(turns.c.id == turn, turns.c.thread == thread)
    found = connection.execute(origin).scalar_one_or_none()
    if found is not None:
        return _first(connection.execute(here.where(deliveries.c.id == found)).scalars().all())
    # Eight digits and more: they tell one delivery of a conversation from another.
    matching = here.where(deliveries.c.guid.startswith(named, autoescape=True)).limit(1)
    return _first(connection.execute(matching).scalars().all())


def _first(found: Sequence[str]) -> str | None:
    return found[0] if found else None
