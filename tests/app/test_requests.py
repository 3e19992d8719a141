"""Requests in the store: one answer each, in time; on both databases."""

import pytest
import sqlalchemy as sa

from app.store import requests, turns
from app.store.database import Database
from app.store.requests import AlreadyDecided
from handlers.effects import AskApproval
from handlers.view import RequestState
from harness.protocols import Decision
from tests.app.test_store import opened, turn_of


async def asked(database: Database, name: str = "1a2b3c4d") -> None:
    """A parked turn that waits for an answer until 100."""
    await turn_of(database)
    letter = await opened(database)
    effect = AskApproval(
        key=f"t1:ask:{name}",
        request_id=name,
        turn_id="t1",
        kind="command",
        asked="{}",
        digest="d",
        head_sha="a" * 40,
        until=100.0,
    )

    def write(connection: sa.Connection) -> None:
        turns.park(connection, "t1", until=100.0, owner="first")
        for _ in range(2):
            requests.ask(connection, "7-1", effect, cause=letter, until=100.0, now=10.0)

    await database.write(write)


async def decide(database: Database, state: RequestState, *, by: str, now: float) -> None:
    await database.write(
        lambda connection: requests.decide(connection, "1a2b3c4d", state, by=by, words="", now=now)
    )


async def decision(
    database: Database, *, now: float, is_due: bool = False, turn: str = "t1"
) -> Decision | None:
    return await database.write(
        lambda connection: requests.decision_of(connection, "1a2b3c4d", turn=turn, is_due=is_due, now=now)
    )


async def states(database: Database, *, now: float) -> list[str]:
    found = await database.read(lambda connection: requests.of_thread(connection, "7-1", now=now))
    return [request.state for request in found]


async def test_of_two_answers_the_first_counts(database: Database) -> None:
    """The second one is told so: its transaction is undone, and it is looked at anew."""
    await asked(database)
    assert await decision(database, now=20.0) is None

    await decide(database, "denied", by="maya", now=20.0)
    # Names are short: what was decided for one turn is nothing to another.
    assert await decision(database, now=20.0, turn="t2") is None
    assert await decision(database, now=200.0, is_due=True, turn="t2") == Decision("expired")
    with pytest.raises(AlreadyDecided):
        await decide(database, "approved", by="cole", now=20.0)

    assert await decision(database, now=20.0) == Decision("denied", "maya", "")


async def test_an_answer_that_comes_too_late_changes_nothing(database: Database) -> None:
    """Whether or not somebody has noted that the time is up."""
    await asked(database)
    assert await states(database, now=100.0) == ["expired"]

    with pytest.raises(AlreadyDecided):
        await decide(database, "approved", by="maya", now=100.0)
    assert await decision(database, now=100.0, is_due=True) == Decision("expired")
    with pytest.raises(AlreadyDecided):
        await decide(database, "approved", by="maya", now=99.0)


async def test_an_answer_ends_the_parking_and_the_turns_end_voids_what_is_open(database: Database) -> None:
    await asked(database)

    assert await database.write(lambda connection: turns.unpark(connection, "t1"))
    await database.write(lambda connection: turns.take(connection, "t1", owner="next", now=30.0))
    assert not await database.write(lambda connection: turns.unpark(connection, "t1"))
    await database.write(lambda connection: requests.void_of_turn(connection, "t1", now=40.0))

    assert await states(database, now=40.0) == ["void"]
    granted = await database.read(lambda connection: requests.approved_of_turn(connection, "t1"))
    assert granted == []
