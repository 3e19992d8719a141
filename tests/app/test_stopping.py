"""Somebody says `stop`: what becomes of a turn that waits for a place, on both databases."""

from dataclasses import replace

import sqlalchemy as sa

from app.queues import Queue
from app.stopping import stop
from app.store import inbox, messages, turns
from app.store.database import Database
from app.store.places import RepositoryRef
from handlers.dispatch import dispatch
from handlers.effects import EffectAdapter, PostComment, StartTurn
from handlers.events import TurnEnded
from harness.items import Stopped
from tests.handlers.people import WRITER_VIEW, start_on_issue

THREAD = "42-7"


async def queued(database: Database, start: StartTurn) -> None:
    def write(connection: sa.Connection) -> None:
        place = RepositoryRef(42, "octo/calc", 5)
        inbox.open_thread(connection, THREAD, place, number=7, now=1.0)
        body = EffectAdapter.dump_json(start).decode()
        turns.queue(connection, start.turn_id, THREAD, start=body, now=1.0)

    await database.write(write)


async def stopped(database: Database, turn: str) -> Queue | None:
    return await database.write(lambda connection: stop(connection, turn, author="maya", key="k", now=61.0))


async def test_it_ends_without_one(database: Database) -> None:
    """All places are taken for an hour: whoever says `stop` is answered now, and nobody begins it later."""
    start = start_on_issue()
    await queued(database, start)

    assert await stopped(database, start.turn_id) is Queue.EVENTS

    row = await database.read(lambda connection: turns.find(connection, start.turn_id))
    assert row is not None
    assert (row.status, row.outcome) == ("ended", Stopped("maya"))
    # A worker that saw it waiting a moment ago comes too late.
    taken = await database.write(
        lambda connection: turns.take(connection, start.turn_id, owner="late", now=62.0)
    )
    assert not taken
    letter = await database.read(lambda connection: inbox.next_letter(connection, THREAD, now=62.0))
    assert letter is not None
    assert isinstance(letter.event, TurnEnded)
    said = [effect.body for effect in dispatch(letter.event, WRITER_VIEW) if isinstance(effect, PostComment)]
    assert len(said) == 1
    assert said[0].startswith("🛑 **Stopped by maya**")


async def test_one_at_work_is_told_and_one_that_goes_on_keeps_its_files(database: Database) -> None:
    """Only whoever runs them knows what they have."""
    start = replace(start_on_issue(), continues="beef")
    await queued(database, start)

    assert await stopped(database, start.turn_id) is None

    assert await database.read(lambda connection: messages.stopped_by(connection, start.turn_id)) == "maya"
    taken = await database.write(
        lambda connection: turns.take(connection, start.turn_id, owner="w", now=62.0)
    )
    assert taken
    await database.write(lambda connection: turns.park(connection, start.turn_id, until=9e9, owner="w"))
    assert await stopped(database, start.turn_id) is Queue.TURNS
