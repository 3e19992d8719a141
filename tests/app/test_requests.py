"""Requests in the store: one answer each, in time; on both databases."""

import pytest
import sqlalchemy as sa

from app.store import requests, turns
from app.store.database import Database
from app.store.requests import AlreadyDecided
from handlers.effects import AskApproval
from handlers.view import AskedRequest, RequestState
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


async def test_an_answer_is_to_one_request_and_is_kept_as_it_was_given(database: Database) -> None:
    """Others of the turn, the thread and other threads stay as they are; what is granted has an order."""
    await turn_of(database)
    letter = await opened(database)
    elsewhere = await opened(database, "7-2")
    await asks(database, "aaaa", at=20.0, cause=letter)
    await asks(database, "bbbb", at=10.0, cause=letter)
    await asks(database, "cccc", at=15.0, cause=letter)
    await asks(database, "dddd", at=5.0, cause=elsewhere, thread="7-2", turn="t2")
    assert await known(database) == [("bbbb", "open", ""), ("cccc", "open", ""), ("aaaa", "open", "")]

    def answer(connection: sa.Connection) -> list[requests.Decided]:
        return [
            requests.decide(connection, "dddd", "approved", by="eve", words="", now=29.0),
            requests.decide(connection, "bbbb", "approved", by="maya", words="", now=30.0),
            requests.decide(connection, "cccc", "denied", by="cole", words="not today", now=31.0),
        ]

    other, first, second = await database.write(answer)
    assert (other.cause, first.cause, second.request.state) == (elsewhere, letter, "denied")
    assert first.request == AskedRequest(
        "bbbb",
        "t1",
        "paths",
        '{"wanted":["deploy"]}',
        "digest of bbbb",
        "a" * 40,
        "approved",
        until=100.0,
        decided_by="maya",
    )
    assert await known(database) == [
        ("bbbb", "approved", "maya"),
        ("cccc", "denied", "cole"),
        ("aaaa", "open", ""),
    ]
    words = await database.write(
        lambda connection: requests.decision_of(connection, "cccc", turn="t1", is_due=True, now=200.0)
    )
    assert words == Decision("denied", "cole", "not today")

    await database.write(
        lambda connection: requests.decide(connection, "aaaa", "approved", by="maya", words="", now=40.0)
    )
    granted = await database.read(lambda connection: requests.approved_of_turn(connection, "t1"))
    assert [request.id for request in granted] == ["bbbb", "aaaa"]
    # What was decided in time stays so when the time is up.
    assert [state for _, state, _ in await known(database, now=200.0)] == ["approved", "denied", "approved"]


async def test_the_end_of_a_turn_voids_what_it_asked_and_nothing_else(database: Database) -> None:
    await turn_of(database)
    letter = await opened(database)
    await asks(database, "aaaa", at=10.0, cause=letter)
    await asks(database, "bbbb", at=20.0, cause=letter, turn="t2")

    await database.write(lambda connection: requests.void_of_turn(connection, "t1", now=40.0))

    assert await known(database) == [("aaaa", "void", ""), ("bbbb", "open", "")]
    assert await database.write(
        lambda connection: requests.decision_of(connection, "aaaa", turn="t1", is_due=False, now=50.0)
    ) == Decision("void", "", "the turn has ended")


async def test_what_was_never_stored_is_waited_for_until_its_time(database: Database) -> None:
    """Parked, and the comment not even posted: nobody has said no yet."""
    await asked(database)

    def look(connection: sa.Connection) -> list[Decision | None]:
        return [
            requests.decision_of(connection, "ffffffff", turn="t1", is_due=is_due, now=50.0)
            for is_due in (False, True)
        ]

    assert await database.write(look) == [None, Decision("expired")]
    assert await decision(database, now=50.0) is None


async def asks(
    database: Database, name: str, *, at: float, cause: int, thread: str = "7-1", turn: str = "t1"
) -> None:
    effect = AskApproval(
        key=f"{turn}:ask:{name}",
        request_id=name,
        turn_id=turn,
        kind="paths",
        asked='{"wanted":["deploy"]}',
        digest=f"digest of {name}",
        head_sha="a" * 40,
        until=100.0,
    )

    def write(connection: sa.Connection) -> None:
        turns.queue(connection, turn, thread, start="{}", now=1.0)
        requests.ask(connection, thread, effect, cause=cause, until=100.0, now=at)

    await database.write(write)


async def known(database: Database, *, now: float = 50.0) -> list[tuple[str, str, str]]:
    """The thread's: id, state, and who decided."""
    found = await database.read(lambda connection: requests.of_thread(connection, "7-1", now=now))
    return [(request.id, request.state, request.decided_by) for request in found]
