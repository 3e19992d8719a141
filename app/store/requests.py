"""What turns ask of people, and what came of it: one answer each, whoever is first."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select, update

from app.store.database import insert_new
from app.store.schema import requests
from handlers.effects import AskApproval
from handlers.view import AskedRequest, RequestState
from harness.protocols import Decision


@dataclass(frozen=True, slots=True)
class Decided:
    request: AskedRequest
    cause: int
    """The letter whose handling had asked."""


class AlreadyDecided(Exception):
    """Somebody else was first, or the time was up: the answer must be chosen anew."""


def ask(
    connection: Connection, thread: str, asked: AskApproval, *, cause: int, until: float, now: float
) -> None:
    """Store a request as open. A known id is asked already: it stays as it is."""
    row = {
        "id": asked.request_id,
        "thread": thread,
        "turn": asked.turn_id,
        "cause": cause,
        "kind": asked.kind,
        "asked": asked.asked,
        "digest": asked.digest,
        "head_sha": asked.head_sha,
        "state": "open",
        "until": until,
        "decided_by": "",
        "words": "",
        "asked_at": now,
    }
    connection.execute(insert_new(connection.dialect.name, requests, "id"), row)


def of_thread(connection: Connection, thread: str, *, now: float) -> list[AskedRequest]:
    """The thread's, oldest first. One whose time is up has expired, whether or not somebody noted it."""
    query = select(requests).where(requests.c.thread == thread).order_by(requests.c.asked_at, requests.c.id)
    return [_asked(row, now=now) for row in connection.execute(query)]


def decide(
    connection: Connection, request: str, state: RequestState, *, by: str, words: str, now: float
) -> Decided:
    """Take an answer, if the request is open and in time. Raises `AlreadyDecided`."""
    in_time = (requests.c.id == request) & (requests.c.until > now)
    if not _close(connection, in_time, state, by=by, words=words, now=now):
        raise AlreadyDecided
    row = connection.execute(select(requests).where(requests.c.id == request)).one()
    return Decided(_asked(row, now=now), row.cause)


def void_of_turn(connection: Connection, turn: str, *, now: float) -> None:
    """The turn has ended: nobody need decide any more."""
    _close(connection, requests.c.turn == turn, "void", by="", words="the turn has ended", now=now)


def decision_of(
    connection: Connection, request: str, *, turn: str, is_due: bool, now: float
) -> Decision | None:
    """What was decided; None while it is open. `is_due`: then it expires now, if it is open.

    Only for the turn that asked: names are short, and another turn's decision is none for this one.
    """
    which = (requests.c.id == request) & (requests.c.turn == turn)
    if is_due:
        _close(connection, which, "expired", by="", words="", now=now)
    query = select(requests.c.state, requests.c.decided_by, requests.c.words).where(which)
    row = connection.execute(query).one_or_none()
    if row is None:
        # Parked, and the comment not even posted when the time was up.
        return Decision("expired") if is_due else None
    return None if row.state == "open" else Decision(row.state, row.decided_by, row.words)


def approved_of_turn(connection: Connection, turn: str) -> list[AskedRequest]:
    """What people have granted to the turn, in the order of their answers."""
    query = (
        select(requests)
        .where(requests.c.turn == turn, requests.c.state == "approved")
        .order_by(requests.c.decided_at, requests.c.id)
    )
    return [_asked(row, now=0.0) for row in connection.execute(query)]


def _asked(row: Row[Any], *, now: float) -> AskedRequest:
    return AskedRequest(
        id=row.id,
        turn=row.turn,
        kind=row.kind,
        asked=row.asked,
        digest=row.digest,
        head_sha=row.head_sha,
        state="expired" if row.state == "open" and row.until <= now else row.state,
        until=row.until,
        decided_by=row.decided_by,
    )


def _close(
    connection: Connection,
    which: ColumnElement[bool],
    state: RequestState,
    *,
    by: str,
    words: str,
    now: float,
) -> bool:
    statement = (
        update(requests)
        .where(which, requests.c.state == "open")
        .values(state=state, decided_by=by, words=words, decided_at=now)
        .returning(requests.c.id)
    )
    return bool(connection.execute(statement).all())
