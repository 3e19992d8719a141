"""What a turn was asked about is over: who waits ends, who works is told, what came later is not touched."""

from dataclasses import replace
from typing import Any

from handlers import reasons
from handlers.dispatch import dispatch
from handlers.effects import Ignore, StartTurn, SteerTurn, StopTurn
from handlers.events import CommentDeleted, InternalEventAdapter, Leaving, SubjectClosed, SubjectFound
from handlers.view import TurnBrief, View
from tests.handlers.people import EVE, ISSUE, OCTOCAT, PULL, REPOSITORY, WRITER_VIEW, reviewed, said

NOON = 1_795_348_800.0
"""2026-11-22T12:00:00Z"""
WAITING = TurnBrief(id="wait", state="waiting", created_at=NOON - 100)
RUNNING = TurnBrief(id="work", state="running", created_at=NOON - 50, started_at=NOON - 40)
ENDED = TurnBrief(id="done", state="ended", created_at=NOON - 500, started_at=NOON, ended_at=NOON)
LATER = TurnBrief(id="late", state="waiting", created_at=NOON + 90)


def closed(way: Leaving = "closed", at: str = "2026-11-22T12:00:00Z") -> SubjectClosed:
    return SubjectClosed(repository=REPOSITORY, actor=EVE, installation_id=5, subject=ISSUE, way=way, at=at)


def with_turns(*turns: TurnBrief) -> View:
    return replace(WRITER_VIEW, turns=turns)


def test_closing_ends_what_waits_and_tells_what_is_at_work() -> None:
    """Each once; a request that came after the closing stands."""
    effects = dispatch(closed(), with_turns(ENDED, WAITING, RUNNING, LATER))

    assert effects == [
        StopTurn(key="wait:gone", turn_id="wait", author="eve"),
        SteerTurn(
            key="work:gone",
            turn_id="work",
            author="eve",
            text="eve closed this conversation while you work. Finish what is nearly done if it is still of "
            "use, and begin nothing new; else end now and say what you have.",
        ),
    ]


def test_closing_where_nothing_goes_on_is_nothing() -> None:
    """It is in the ledger, with its reason."""
    [nothing] = dispatch(closed(), with_turns(ENDED))

    assert isinstance(nothing, Ignore)
    assert nothing.reason == reasons.NO_TURN_WAITS


def test_what_a_look_at_the_forge_finds_is_decided_alike() -> None:
    """The same keys as by webhook: whichever comes second says nothing new. It survives the store."""
    found = SubjectFound(way="merged", by="eve", at="2026-11-22T12:00:00Z", withdrawn=("wait",))
    stored = InternalEventAdapter.validate_json(InternalEventAdapter.dump_json(found))

    effects = dispatch(stored, with_turns(WAITING, RUNNING, LATER))

    assert [effect.key for effect in effects] == ["wait:gone", "work:gone"]
    assert "eve merged this pull request" in effects[1].text  # type: ignore[union-attr]
    gone = SubjectFound(way=None, withdrawn=("wait",))
    [stop] = dispatch(gone, with_turns(WAITING, RUNNING))
    assert stop == StopTurn(key="wait:gone", turn_id="wait", author="somebody")


def deleted(event: Any, *, is_in_review: bool) -> CommentDeleted:
    return CommentDeleted(
        repository=REPOSITORY,
        actor=OCTOCAT,
        installation_id=5,
        subject=PULL if is_in_review else ISSUE,
        comment=event.comment,
        is_in_review=is_in_review,
    )


def test_a_request_that_is_taken_back_does_not_start() -> None:
    """Whether it was written so, came by an edit, or stood on a line; once begun it is stopped by `stop`."""
    pull_view = replace(WRITER_VIEW, pull=None)
    asked = said("@darner fix it")
    late = replace(asked.comment, updated_at="2026-11-22T13:00:00Z")
    edited = replace(asked, edited_from="please", comment=late)
    for event, view in ((asked, WRITER_VIEW), (edited, WRITER_VIEW)):
        [start] = [effect for effect in dispatch(event, view) if isinstance(effect, StartTurn)]
        queued = TurnBrief(id=start.turn_id, state="waiting", created_at=NOON)
        begun = replace(queued, started_at=NOON)
        withdrawal = deleted(event, is_in_review=False)

        [stop] = dispatch(withdrawal, with_turns(RUNNING, queued))
        assert stop == StopTurn(key=f"{start.turn_id}:gone", turn_id=start.turn_id, author="octocat")
        assert [effect.type for effect in dispatch(withdrawal, with_turns(begun))] == ["ignore"]

    other = deleted(reviewed("@darner fix it"), is_in_review=True)
    assert [effect.type for effect in dispatch(other, replace(pull_view, turns=(WAITING,)))] == ["ignore"]
