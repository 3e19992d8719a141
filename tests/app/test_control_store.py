"""What the store knows for those who direct threads, on every database that is supported."""

import sqlalchemy as sa

from app.store import decisions, deliveries, forgetting, inbox, landings, messages, outbox, threads, turns
from app.store.database import Database
from app.store.deliveries import DeliveryRow, DeliveryState
from app.store.places import RepositoryRef
from app.store.schema import deliveries as deliveries_table
from handlers.effects import Effect, EffectAdapter, PushResult, StartTurn, UndoTurn
from handlers.events import ResultPushed
from handlers.view import Landing, ThreadFacts
from harness.items import Completed, TurnResult, Usage
from tests.handlers.people import MAIN_SHA, NEW_SHA, start_on_issue
from tests.handlers.people import ended as turn_ended

PLACE = RepositoryRef(42, "octo/calc", 5)
THREAD = "42-7"
GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
DONE = TurnResult(Completed("The middle was off by one."), Usage(), 1, 2.0)


def delivered(connection: sa.Connection, guid: str = GUID, *, state: DeliveryState = "handled") -> int:
    """A comment that asked for something, handled unless said otherwise; its letter."""
    inbox.open_thread(connection, THREAD, PLACE, number=7, now=1.0)
    row = DeliveryRow(
        guid=guid,
        event="issue_comment",
        received_at=1.0,
        body=b'{"comment": "secret"}',
        state=state,
        reason="Answered.",
        text="@darner secret",
        thread=THREAD,
    )
    delivery = deliveries.insert(connection, row)
    assert delivery is not None
    letter = inbox.put_delivery(connection, THREAD, delivery, now=1.0)
    inbox.mark(connection, letter, "handled")
    return letter


def ended(connection: sa.Connection, name: str, *, follows: str | None = None, letter: int = 1) -> None:
    """A turn that ran to its end."""
    start = EffectAdapter.dump_json(start_on_issue()).decode()
    origin = inbox.origin_of(connection, letter)
    turns.queue(connection, name, THREAD, start=start, origin=origin, now=1.0, follows=follows)
    turns.take(connection, name, owner="me", now=2.0)
    turns.set_request(connection, name, "secret briefing")
    turns.end(connection, name, DONE, snapshot=NEW_SHA, owner="me", now=3.0)


def done(connection: sa.Connection, effect: Effect, result: dict[str, str], *, letter: int = 1) -> None:
    outbox.put(connection, THREAD, [effect], cause=letter, now=4.0)
    pending = outbox.next_pending(connection, THREAD)
    assert pending is not None
    outbox.finish(connection, pending.id, result, now=5.0)


def push(turn: str) -> PushResult:
    return PushResult(
        key=f"{turn}:push",
        turn_id=turn,
        branch=f"darner/7-{turn}",
        parent=MAIN_SHA,
        expected=None,
        paths=("a.py",),
        message="secret",
    )


async def test_a_fork_has_a_history_of_its_own_and_nobody_else_has_it(database: Database) -> None:
    """Its own line reaches back over what it follows; the conversation's goes on without it."""

    def write(connection: sa.Connection) -> dict[str, list[str]]:
        letter = delivered(connection)
        for name, follows in (("a", None), ("b", None), ("c", "a"), ("d", None), ("e", "c")):
            ended(connection, name, follows=follows, letter=letter)
        return {name: turns.line_of(connection, name) for name in "abcde"}

    assert await database.write(write) == {
        "a": [],
        "b": ["a"],
        "c": ["a"],
        "d": ["a", "b"],
        "e": ["a", "c"],
    }


async def test_the_last_word_about_a_pause_counts(database: Database) -> None:
    def write(connection: sa.Connection) -> list[str | None]:
        ended(connection, "a", letter=delivered(connection))
        told = []
        for kind, key in ((messages.pause, "1"), (messages.resume, "2"), (messages.pause, "3")):
            kind(connection, "a", author=f"maya{key}", key=key, now=1.0)
            told.append(messages.paused_by(connection, "a"))
        messages.resume(connection, "a", author="cole", key="2", now=1.0)
        return [*told, messages.paused_by(connection, "a")]

    # The same key again says nothing new.
    assert await database.write(write) == ["maya1", None, "maya3", "maya3"]


async def test_what_was_pushed_and_what_took_it_back(database: Database) -> None:
    """A push that was refused is no landing."""

    def write(connection: sa.Connection) -> list[Landing]:
        letter = delivered(connection)
        done(connection, push("a"), {"sha": NEW_SHA}, letter=letter)
        done(connection, push("b"), {"refused": "head_moved"}, letter=letter)
        undo = UndoTurn(
            key="undo",
            turn_id="a",
            number=7,
            branch="darner/7-a",
            sha=NEW_SHA,
            parent=MAIN_SHA,
            message="Undo",
            requester="maya",
        )
        done(connection, undo, {"sha": "e" * 40}, letter=letter)
        return landings.of_thread(connection, THREAD)

    assert await database.write(write) == [Landing("a", "darner/7-a", NEW_SHA, MAIN_SHA, undone_by="e" * 40)]


async def test_forgetting_leaves_who_and_when_and_no_word(database: Database) -> None:
    """Searched for in every text of every table; what waits to be handled is left alone."""

    def write(connection: sa.Connection) -> None:
        letter = delivered(connection)
        ended(connection, "a", letter=letter)
        messages.steer(connection, "a", author="maya", text="secret", key="s", now=1.0)
        done(connection, push("a"), {"sha": NEW_SHA}, letter=letter)

    await database.write(write)
    journal = turns.SqlJournal(database, turn="a", thread=THREAD, owner="me")
    await database.write(lambda connection: forgetting.forget(connection, THREAD))

    def read(connection: sa.Connection) -> tuple[str, turns.TurnRow | None, list[Landing], object]:
        texts: list[str] = []
        for table in deliveries_table.metadata.sorted_tables:
            texts += [str(tuple(row)) for row in connection.execute(sa.select(table))]
        found = deliveries.find(connection, GUID)
        return "\n".join(texts), turns.find(connection, "a"), landings.of_thread(connection, THREAD), found

    texts, turn, landed, delivery = await database.read(read)
    assert "secret" not in texts
    assert "middle" not in texts
    assert turn is not None
    assert (turn.outcome, turn.ended_at) == (Completed(""), 3.0)
    start = EffectAdapter.validate_json(turn.start)
    assert isinstance(start, StartTurn)
    assert (start.request, start.title, start.requester.login) == ("", "", "octocat")
    # What stands on a branch can be taken back all the same.
    assert landed == [Landing("a", "darner/7-a", NEW_SHA, MAIN_SHA)]
    assert delivery is not None
    assert await journal.load() == []


async def test_a_decision_is_found_by_any_of_its_names(database: Database) -> None:
    """The last one decided before this, a turn, the beginning of a GUID; never one of another thread."""
    other = "0a1b2c3d-0000-0000-0000-000000000000"

    def write(connection: sa.Connection) -> list[str | None]:
        letter = delivered(connection)
        ended(connection, "a", letter=letter)
        delivered(connection, guid="1a2b3c4d-0000-0000-0000-000000000000", state="pending")
        delivered(connection, guid=other)
        asking = connection.execute(sa.select(sa.func.max(deliveries_table.c.id))).scalar_one()
        delivered(connection, guid="2a2b3c4d-0000-0000-0000-000000000000")
        names = (None, "a", GUID[:8], other[:8], "ffffffff")
        found = [decisions.delivery_meant(connection, THREAD, name, asking) for name in names]
        return [*found, decisions.delivery_meant(connection, "42-8", GUID[:8], None)]

    assert await database.write(write) == [GUID, GUID, GUID, other, None, None]


async def test_a_thread_is_held_set_aside_and_let_go(database: Database) -> None:
    def write(connection: sa.Connection) -> list[ThreadFacts]:
        delivered(connection)
        facts = []
        threads.hold(connection, THREAD, by="maya")
        facts.append(threads.facts_of(connection, THREAD))
        assert threads.archive(connection, THREAD, now=2.0)
        facts.append(threads.facts_of(connection, THREAD))
        threads.hold(connection, THREAD, by=None)
        facts.append(threads.facts_of(connection, THREAD))
        assert not threads.archive(connection, "42-404", now=2.0)
        return facts

    assert await database.write(write) == [
        ThreadFacts(stopped_by="maya"),
        ThreadFacts(stopped_by="maya", is_archived=True),
        ThreadFacts(),
    ]


async def test_what_is_still_under_way_comes_before_it_is_forgotten(database: Database) -> None:
    """A result is pushed, and its pull request not opened yet, when somebody says `forget`."""

    def write(connection: sa.Connection) -> list[bool]:
        ended(connection, "a", letter=delivered(connection))
        row = DeliveryRow(
            guid="9b1f",
            event="issue_comment",
            received_at=4.0,
            body=b"{}",
            state="pending",
            reason="",
            command="Forget",
            thread=THREAD,
        )
        delivery = deliveries.insert(connection, row)
        assert delivery is not None
        inbox.put_delivery(connection, THREAD, delivery, now=4.0)
        pushed = ResultPushed(ended=turn_ended(start_on_issue()), push=push("a"), sha=NEW_SHA)
        inbox.put_event(connection, THREAD, pushed, origin=None, now=5.0)
        told = []
        while (letter := inbox.next_letter(connection, THREAD, now=6.0)) is not None:
            told.append(letter.event is not None)
            inbox.mark(connection, letter.id, "handled")
        return told

    assert await database.write(write) == [True, False]
