"""People's wish that a thread's history be made short: told to the turn at work, or kept for the next one."""

from sqlalchemy import Connection, select, update

from app.store import messages
from app.store.schema import threads


def ask_turn(connection: Connection, turn: str, *, author: str, key: str, now: float) -> None:
    """The turn at work does it before its next step."""
    messages.compact(connection, turn, author=author, key=key, now=now)


def ask_thread(connection: Connection, thread: str, *, author: str) -> None:
    """Nothing is at work: the next turn begins with it."""
    connection.execute(update(threads).where(threads.c.id == thread).values(compact_by=author))


def hand_over(connection: Connection, thread: str, turn: str, *, now: float) -> None:
    """Pass a kept wish to the turn that was just queued, once."""
    author = connection.execute(select(threads.c.compact_by).where(threads.c.id == thread)).scalar()
    if author is not None:
        messages.compact(connection, turn, author=author, key=f"{turn}:compact", now=now)
        connection.execute(update(threads).where(threads.c.id == thread).values(compact_by=None))
