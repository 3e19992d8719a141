"""What has happened, on its way to the handlers: stored with what made it happen, and its wake-up with it."""

from sqlalchemy import Connection

from app.engine import WakeUps
from app.queues import Queue
from app.store import inbox
from handlers.events import InternalEvent


def post(
    connection: Connection,
    wake_ups: WakeUps,
    thread: str,
    event: InternalEvent,
    *,
    origin: int | None,
    now: float,
) -> None:
    """Into the thread's inbox, if and when the transaction commits. `nudge` then belongs behind the commit.

    `origin` is the delivery that it all goes back to.
    """
    wake_for(connection, wake_ups, thread, inbox.put_event(connection, thread, event, origin=origin, now=now))


def wake_for(
    connection: Connection, wake_ups: WakeUps, thread: str, letter: int, *, delay: float = 0.0
) -> None:
    """Make sure that somebody comes for a letter."""
    wake_ups.enqueue(connection, Queue.EVENTS, thread, wake=f"letter-{letter}", delay=delay)
