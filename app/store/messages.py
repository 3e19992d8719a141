"""What people say to a turn that has not ended: stored with the decision, read between two steps."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, select

from app.store.database import insert_new
from app.store.schema import messages


@dataclass(frozen=True, slots=True)
class Message:
    number: int
    author: str
    text: str
    kind: Literal["steer", "compact"] = "steer"


def steer(connection: Connection, turn: str, *, author: str, text: str, key: str, now: float) -> None:
    """For the model, before its next step. The same `key` again says nothing new."""
    _put(connection, turn=turn, kind="steer", author=author, text=text, key=key, at=now)


def stop(connection: Connection, turn: str, *, author: str, key: str, now: float) -> None:
    """The turn is to end now."""
    _put(connection, turn=turn, kind="stop", author=author, text="", key=key, at=now)


def compact(connection: Connection, turn: str, *, author: str, key: str, now: float) -> None:
    """The turn's history is to be made short before its next step."""
    _put(connection, turn=turn, kind="compact", author=author, text="", key=key, at=now)


def pause(connection: Connection, turn: str, *, author: str, key: str, now: float) -> None:
    """The turn is to be parked after its present step, until somebody says `resume`."""
    _put(connection, turn=turn, kind="pause", author=author, text="", key=key, at=now)


def resume(connection: Connection, turn: str, *, author: str, key: str, now: float) -> None:
    """The turn is not to be parked any more."""
    _put(connection, turn=turn, kind="resume", author=author, text="", key=key, at=now)


def steering(connection: Connection, turn: str, *, after: int) -> list[Message]:
    """What the turn has not heard, oldest first: `after` is the last number that it has."""
    query = (
        select(messages.c.id, messages.c.author, messages.c.text, messages.c.kind)
        .where(messages.c.turn == turn, messages.c.kind.in_(("steer", "compact")), messages.c.id > after)
        .order_by(messages.c.id)
    )
    return [Message(row.id, row.author, row.text, row.kind) for row in connection.execute(query)]


def stopped_by(connection: Connection, turn: str) -> str | None:
    """Who asked first that the turn end."""
    query = (
        select(messages.c.author)
        .where(messages.c.turn == turn, messages.c.kind == "stop")
        .order_by(messages.c.id)
        .limit(1)
    )
    author: str | None = connection.execute(query).scalar_one_or_none()
    return author


def is_known(connection: Connection, key: str) -> bool:
    """Whether this was said to its turn already."""
    return connection.execute(select(messages.c.id).where(messages.c.key == key)).one_or_none() is not None


def paused_by(connection: Connection, turn: str) -> str | None:
    """Who paused the turn, while nobody has said `resume` since: the last word counts."""
    query = (
        select(messages.c.author, messages.c.kind)
        .where(messages.c.turn == turn, messages.c.kind.in_(("pause", "resume")))
        .order_by(messages.c.id.desc())
        .limit(1)
    )
    last = connection.execute(query).one_or_none()
    return last.author if last is not None and last.kind == "pause" else None


def _put(connection: Connection, **values: object) -> None:
    connection.execute(insert_new(connection.dialect.name, messages, "key"), values)
