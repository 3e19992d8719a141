"""A thread of many turns: its history is read back to a bound, on every database."""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from app.store import compacting, inbox, messages, past, turns
from app.store.database import Database
from app.store.places import RepositoryRef
from app.store.schema import items
from app.store.turns import SqlJournal
from harness.items import (
    Compaction,
    Completed,
    Item,
    ItemAdapter,
    ItemId,
    TurnResult,
    Usage,
    UserMessage,
)
from harness.protocols import Entry

THREAD = "7-1"
PLACE = RepositoryRef(7, "maya/purl", None)
SUMMARY = Compaction(id=ItemId("item_1"), reason="share", summary="All before.", by="model")


def said(text: str, number: int = 0) -> UserMessage:
    return UserMessage(id=ItemId(f"item_{number}"), text=text)


async def thread_of(database: Database, *journals: Sequence[Item]) -> None:
    """A thread whose turns `t0`, `t1`, … have these journals, and `now`, which has none."""

    def write(connection: sa.Connection) -> None:
        inbox.open_thread(connection, THREAD, PLACE, number=1, now=1.0)
        for number, journal in enumerate(journals):
            turn = f"t{number}"
            start = f'{{"request": "do {number}"}}'
            turns.queue(connection, turn, THREAD, start=start, now=1.0)
            turns.take(connection, turn, owner="w", now=1.0)
            for seq, item in enumerate(journal):
                row = {
                    "turn": turn,
                    "seq": seq,
                    "life": "completed",
                    "item": str(item.id),
                    "type": item.type,
                    "body": ItemAdapter.dump_json(item).decode(),
                    "at": 1.0,
                }
                connection.execute(sa.insert(items), row)
            result = TurnResult(Completed(f"did {number}"), Usage(), 1, 1.0)
            turns.end(connection, turn, result, snapshot=None, owner="w", now=2.0)
        turns.queue(connection, "now", THREAD, start="{}", now=3.0)

    await database.write(write)


async def earlier(database: Database) -> Sequence[Entry]:
    return await SqlJournal(database, turn="now", thread=THREAD, owner="w").earlier()


def texts(entries: Sequence[Entry]) -> list[str]:
    return [entry.item.text if isinstance(entry.item, UserMessage) else entry.item.type for entry in entries]


async def test_history_begins_with_the_last_compaction(database: Database) -> None:
    """What is before it, in its turn and in those before, is not read."""
    await thread_of(
        database,
        [said("a"), SUMMARY],
        [said("b"), SUMMARY, said("c", 2), SUMMARY, said("d", 4)],
        [said("e")],
    )

    assert texts(await earlier(database)) == ["compaction", "d", "e"]


async def test_few_turns_are_read_whole(database: Database) -> None:
    await thread_of(database, [said("a")], [], [said("b"), said("c", 1)])

    assert texts(await earlier(database)) == ["a", "b", "c"]


async def test_of_five_hundred_turns_the_newest_are_read(database: Database) -> None:
    """The others are a line each, up to a number; the same at each look."""
    await thread_of(database, *([said(f"m{n}")] for n in range(500)))

    entries = await earlier(database)

    assert len(entries) == past.MOST_ENTRIES + 1
    assert texts(entries)[1:3] == ["m100", "m101"]
    outline = entries[0].item
    assert isinstance(outline, Compaction)
    assert (outline.reason, outline.left_out) == ("outline", 100)
    assert "- turn t0: asked: do 0 / completed: did 0\n- turn t1:" in outline.summary
    assert await earlier(database) == entries


async def test_many_turns_after_a_compaction(database: Database) -> None:
    """Its summary is not lost, nor is the request of a local turn."""
    long = [said(f"x{n}", n) for n in range(past.MOST_ENTRIES)]
    await thread_of(database, [said("a"), SUMMARY], long, [said("b")])

    entries = await earlier(database)

    assert texts(entries) == ["compaction", "b"]
    outline = entries[0].item
    assert isinstance(outline, Compaction)
    assert outline.summary.startswith("All before.")
    assert "- turn t1: asked: do 1 / completed: did 1" in outline.summary


async def test_the_compactions_are_found_by_an_index(tmp_path: Path) -> None:
    """Or else each turn of a long thread would look at every entry."""
    query = (
        "EXPLAIN QUERY PLAN SELECT turn, max(seq) FROM items "
        "WHERE type = 'compaction' AND turn IN ('a', 'b') GROUP BY turn"
    )
    with Database(f"sqlite:///{tmp_path / 'darner.db'}") as database:
        plan = await database.read(lambda connection: connection.execute(sa.text(query)).all())

    assert "items_compactions" in str(plan)


async def test_a_wish_of_a_quiet_thread_goes_to_its_next_turn(database: Database) -> None:
    """Once: the turn after that is not asked again."""
    await thread_of(database)

    def write(connection: sa.Connection) -> list[list[str]]:
        compacting.ask_thread(connection, THREAD, author="maya")
        for turn in ("one", "two"):
            turns.queue(connection, turn, THREAD, start="{}", now=4.0)
            compacting.hand_over(connection, THREAD, turn, now=4.0)
        return [
            [message.kind for message in messages.steering(connection, turn, after=0)]
            for turn in ("one", "two")
        ]

    assert await database.write(write) == [["compact"], []]
