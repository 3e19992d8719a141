"""The store: order, keys, fencing and migrations, on every database that is supported."""

import asyncio
import sqlite3
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from app.store import backlog, deliveries, inbox, outbox, turns
from app.store.database import Database, migrate
from app.store.deliveries import DeliveryRow
from app.store.keys import key
from app.store.places import RepositoryRef
from app.store.schema import items, metadata
from app.store.turns import SqlJournal
from handlers.effects import Effect, Ignore, React, ReactionTarget
from harness.items import AgentMessage, Completed, ItemId, Life, TurnResult, Usage
from harness.protocols import OwnershipLost

PLACE = RepositoryRef(7, "maya/purl", None)


def react(name: str) -> Effect:
    return React(key=name, target=ReactionTarget("issue_comment", 1), content="eyes")


async def opened(database: Database, thread: str = "7-1") -> int:
    """A thread with one letter; the letter's id."""

    def write(connection: sa.Connection) -> int:
        inbox.open_thread(connection, thread, PLACE, number=1, now=1.0)
        return inbox._put(connection, thread=thread, created_at=1.0)  # noqa: SLF001 - a letter like any other

    return await database.write(write)


async def turn_of(database: Database, name: str = "t1") -> None:
    await opened(database)
    await database.write(lambda connection: turns.queue(connection, name, "7-1", start="{}", now=1.0))
    await database.write(lambda connection: turns.take(connection, name, owner="first", now=2.0))


async def quiet_letter(database: Database, guid: str, *, now: float) -> float:
    """A push as it comes in; when its letter is due."""

    def write(connection: sa.Connection) -> float:
        inbox.open_thread(connection, "7-1", PLACE, number=1, now=now)
        row = DeliveryRow(
            guid=guid, event="pull_request", received_at=now, body=b"{}", state="pending", reason=""
        )
        delivery = deliveries.insert(connection, row)
        assert delivery is not None
        _, due = inbox.put_quiet(connection, "7-1", delivery, kind="push", quiet=30, longest=120, now=now)
        return due

    return await database.write(write)


async def letter_at(database: Database, now: float) -> str | None:
    """The GUID of what is to be handled then."""

    def read(connection: sa.Connection) -> str | None:
        letter = inbox.next_letter(connection, "7-1", now=now)
        return (
            None
            if letter is None or letter.delivery is None
            else deliveries.read(connection, letter.delivery)[0]
        )

    return await database.read(read)


async def test_of_rapid_pushes_the_newest_is_handled_once_it_is_quiet(database: Database) -> None:
    """The others are in the ledger as superseded; a comment meanwhile does not wait for the quiet."""
    assert await quiet_letter(database, "push 1", now=100.0) == 130.0
    assert await quiet_letter(database, "push 2", now=110.0) == 140.0
    assert await letter_at(database, 135.0) is None
    assert await letter_at(database, 140.0) == "push 2"
    first = await database.read(lambda connection: deliveries.find(connection, "push 1"))
    assert first is not None
    assert "newer one" in first.reason

    comment = await opened(database)
    letter = await database.read(lambda connection: inbox.next_letter(connection, "7-1", now=135.0))
    assert letter is not None
    assert letter.id == comment


async def test_pushes_that_never_fall_quiet_are_handled_all_the_same(database: Database) -> None:
    """At the latest so long after the first."""
    due = [await quiet_letter(database, f"push {count}", now=100.0 + 20 * count) for count in range(7)]

    assert due == [130.0, 150.0, 170.0, 190.0, 210.0, 220.0, 220.0]
    assert await letter_at(database, 220.0) == "push 6"


def test_migrated_database_is_what_the_schema_says(database: Database) -> None:
    """The migrations and the schema tell of the same tables, and running them again changes nothing."""
    migrate(database.engine)

    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "darner_migrations"})
        differences = compare_metadata(context, metadata)

    assert [change for change in differences if change[0] != "remove_table"] == []


async def test_second_owner_locks_the_first_out(database: Database) -> None:
    """Once another worker has taken a turn, the first can neither journal nor end it."""
    await turn_of(database)
    first = SqlJournal(database, turn="t1", thread="7-1", owner="first")
    await first.append(Life.COMPLETED, AgentMessage(id=ItemId("i1"), text="mine"))
    await database.write(lambda connection: turns.take(connection, "t1", owner="second", now=3.0))
    result = TurnResult(Completed("done"), Usage(), 1, 1.0)

    with pytest.raises(OwnershipLost):
        await first.append(Life.COMPLETED, AgentMessage(id=ItemId("i2"), text="too late"))
    with pytest.raises(OwnershipLost):
        await database.write(
            lambda connection: turns.end(connection, "t1", result, snapshot=None, owner="first", now=4.0)
        )
    with pytest.raises(OwnershipLost):
        await database.write(lambda connection: turns.park(connection, "t1", until=9.0, owner="first"))

    second = SqlJournal(database, turn="t1", thread="7-1", owner="second")
    assert [entry.item for entry in await second.load()] == [AgentMessage(id=ItemId("i1"), text="mine")]


async def test_attempts_are_counted_until_a_turn_waits(database: Database) -> None:
    """Taking a turn up again and again without getting anywhere is seen; waiting is no fault."""
    await turn_of(database)

    async def attempts() -> int:
        row = await database.read(lambda connection: turns.find(connection, "t1"))
        assert row is not None
        return row.attempts

    park: dict[str, Any] = {"until": 5.0, "owner": "first"}
    await database.write(lambda connection: turns.park(connection, "t1", is_fault=True, **park))
    await database.write(lambda connection: turns.take(connection, "t1", owner="first", now=6.0))
    assert await attempts() == 2
    await database.write(lambda connection: turns.park(connection, "t1", **park))
    assert await attempts() == 0


async def test_letters_and_effects_keep_their_order(database: Database) -> None:
    """The oldest comes first, also when it has to wait."""
    first = await opened(database)
    second = await opened(database)
    await database.write(
        lambda connection: outbox.put(connection, "7-1", [react("a"), react("b")], cause=first, now=1.0)
    )
    await database.write(lambda connection: inbox.postpone(connection, first, until=99.0))

    letter = await database.read(lambda connection: inbox.next_letter(connection, "7-1", now=1.0))
    pending = await database.read(lambda connection: outbox.next_pending(connection, "7-1"))

    assert first < second
    assert letter is not None
    assert (letter.id, letter.attempts, letter.not_before) == (first, 1, 99.0)
    assert pending is not None
    assert (pending.effect, pending.attempts) == (react("a"), 0)


async def test_one_key_is_done_once(database: Database) -> None:
    """An effect that was chosen again is the same effect: done stays done."""
    letter = await opened(database)

    async def chosen() -> None:
        await database.write(
            lambda connection: outbox.put(
                connection, "7-1", [react("a"), Ignore(key="i", reason="r")], cause=letter, now=1.0
            )
        )

    await chosen()
    pending = await database.read(lambda connection: outbox.next_pending(connection, "7-1"))
    assert pending is not None
    await database.write(lambda connection: outbox.begin(connection, pending.id))
    await database.write(lambda connection: outbox.finish(connection, pending.id, {"comment": 7}, now=2.0))
    await chosen()

    assert await database.read(lambda connection: outbox.next_pending(connection, "7-1")) is None
    assert await database.read(lambda connection: outbox.result_of(connection, "a")) == {"comment": 7}
    effects = await database.read(lambda connection: outbox.of_letters(connection, [letter]))
    assert [(row.key, row.state, row.attempts) for row in effects] == [("a", "done", 1), ("i", "done", 0)]


async def test_backlog_is_what_may_be_done_now(database: Database) -> None:
    """Work that waits is left alone until its time; local turns are not the server's."""
    letter = await opened(database)
    await turn_of(database)
    await database.write(
        lambda connection: inbox.open_thread(connection, "local", None, number=None, now=1.0)
    )
    await database.write(lambda connection: turns.queue(connection, "t2", "local", start="{}", now=1.0))

    def due(connection: sa.Connection) -> tuple[list[str], list[str]]:
        return (
            list(backlog.threads_with_events(connection, now=10.0)),
            list(backlog.threads_with_turns(connection, now=10.0)),
        )

    assert await database.read(due) == (["7-1"], ["7-1"])
    for one in range(letter, letter + 2):
        await database.write(lambda connection, one=one: inbox.postpone(connection, one, until=99.0))  # type: ignore[misc]
    await database.write(lambda connection: turns.park(connection, "t1", until=99.0, owner="first"))
    assert await database.read(due) == ([], [])


async def test_key_is_made_once(database: Database) -> None:
    """The second maker gets the first one's key."""
    assert await database.write(lambda connection: key(connection, "markers", fresh=b"one")) == b"one"
    assert await database.write(lambda connection: key(connection, "markers", fresh=b"two")) == b"one"


async def test_write_that_fails_is_undone_alone(database: Database) -> None:
    """Writes share a transaction, not their faults."""

    def fail(connection: sa.Connection) -> None:
        inbox.open_thread(connection, "7-9", PLACE, number=9, now=1.0)
        raise RuntimeError("no")

    letters = await asyncio.gather(
        opened(database), database.write(fail), opened(database), return_exceptions=True
    )

    assert [type(result) for result in letters] == [int, RuntimeError, int]
    with pytest.raises(sa.exc.NoResultFound):
        await database.read(lambda connection: inbox.place_of(connection, "7-9"))


async def test_writer_outlives_a_broken_connection(database: Database) -> None:
    """A server that hangs up is asked again, over a new connection; without one, who waits is told."""
    hung_up: list[bool] = []

    def hang_up(connection: sa.Connection) -> None:
        if hung_up:
            return
        hung_up.append(True)
        assert connection.connection.driver_connection is not None
        connection.connection.driver_connection.close()

    if database.is_sqlite:
        with pytest.raises((sa.exc.SQLAlchemyError, sqlite3.Error), match="closed"):
            await database.write(hang_up)
    else:
        await database.write(hang_up)

    assert await opened(database) == 1


async def test_journal_holds_any_text(database: Database) -> None:
    """NUL characters of a program's output are kept, whatever the database says of them."""
    await turn_of(database)
    journal = SqlJournal(database, turn="t1", thread="7-1", owner="first")
    await journal.load()

    await journal.append(Life.COMPLETED, AgentMessage(id=ItemId("i1"), text="a\0b"))

    assert [entry.item for entry in await journal.load()] == [AgentMessage(id=ItemId("i1"), text="a\0b")]
    assert await database.read(lambda c: c.scalar(sa.select(sa.func.count()).select_from(items))) == 1
