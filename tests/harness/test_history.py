"""The fold of the journal: what the model is told is whole, in order, and never taken back."""

import json
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from harness.history import INTERRUPTED, History
from harness.items import (
    Answer,
    Block,
    CallAnswered,
    CallMade,
    Compaction,
    ItemId,
    ItemStatus,
    Life,
    ModelCall,
    Notice,
    ToolCall,
    Usage,
    UserMessage,
    UserText,
)
from harness.protocols import Entry
from tests.harness.scripted import ScriptedModel, called, said, thought

encode = ScriptedModel([]).encode


def decoded(history: History) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = json.loads(b"[" + history.encoded() + b"]")
    return entries


def user(number: int, text: str) -> Entry:
    return Entry(0, Life.COMPLETED, UserMessage(id=ItemId(f"item_{number}"), text=text))


def begun(number: int, call_id: str) -> Entry:
    return Entry(0, Life.STARTED, ToolCall(id=ItemId(f"item_{number}"), call=called(call_id, "do")))


def done(number: int, call_id: str, text: str) -> Entry:
    item = ToolCall(
        id=ItemId(f"item_{number}"),
        call=called(call_id, "do"),
        status=ItemStatus.COMPLETED,
        answer=Answer(text),
    )
    return Entry(0, Life.COMPLETED, item)


def spoke(number: int, text: str) -> Entry:
    return Entry(0, Life.COMPLETED, replace(said(text), id=ItemId(f"item_{number}")))


def reasoned(number: int, wire: str) -> Entry:
    return Entry(0, Life.COMPLETED, replace(thought(wire), id=ItemId(f"item_{number}")))


def counted(number: int, *, items: int) -> Entry:
    closing = ModelCall(
        id=ItemId(f"item_{number}"), model="m", usage=Usage(10, 0, 1), seconds=2.0, items=items
    )
    return Entry(0, Life.COMPLETED, closing)


def shortened(number: int, text: str) -> Entry:
    call = called(f"kept {text}", "do")
    kept = Block("step", (CallMade(call), CallAnswered(call, Answer("ok"))))
    request = Block("request", (UserText("request"),))
    item = Compaction(
        id=ItemId(f"item_{number}"),
        reason="share",
        summary=text,
        by="model",
        pinned=(request,),
        newest=(kept,),
    )
    return Entry(0, Life.COMPLETED, item)


def folded(entries: Sequence[Entry], *, earlier: Sequence[Entry] = ()) -> History:
    history = History(encode, earlier=earlier)
    for entry in entries:
        history.add(entry.life, entry.item)
    return history


def test_an_answer_that_was_cut_off_by_a_crash_never_was() -> None:
    """Its reasoning and calls were not acted upon; only the answer that followed counts."""
    torn = [reasoned(1, "lost"), begun(2, "lost")]

    history = folded(
        [
            user(0, "Go."),
            *torn,
            done(2, "lost", "never ran"),
            reasoned(3, "r"),
            begun(4, "c"),
            counted(5, items=2),
        ]
    )

    assert decoded(history) == [{"user": "Go."}, {"reasoning": "r"}, {"call": "c", "name": "do"}]
    assert list(history.unfinished) == ["item_4"]
    assert (history.steps, history.usage, history.worked_seconds) == (1, Usage(10, 0, 1), 2.0)


def test_an_earlier_turn_that_died_leaves_no_call_without_answer() -> None:
    """Endpoints refuse a history with an open call; the model is told what is known."""
    earlier = [user(0, "First."), begun(1, "c1"), begun(2, "c2"), counted(3, items=2), done(1, "c1", "ok")]

    history = folded([user(0, "Second.")], earlier=earlier)

    assert decoded(history)[3:] == [
        {"answer_to": "c1", "text": "ok"},
        {"answer_to": "c2", "text": INTERRUPTED.text},
        {"user": "Second."},
    ]
    assert (history.steps, history.usage, history.unfinished) == (0, Usage(), {})
    assert history.next_id() == "item_1"


def test_only_notices_for_the_model_are_told() -> None:
    """A retry is the runtime's business."""
    notice = Notice(id=ItemId("item_1"), text="Asking again.")

    history = folded(
        [
            user(0, "Go."),
            Entry(1, Life.COMPLETED, notice),
            Entry(2, Life.COMPLETED, replace(notice, text="Be brief.", to_model=True)),
        ]
    )

    assert decoded(history) == [{"user": "Go."}, {"user": "Be brief."}]


def test_the_final_answer_stands_until_something_follows() -> None:
    """A turn is answered when the last thing said makes no calls, until someone speaks after it."""
    answered = [user(0, "Go."), spoke(1, "Done."), counted(2, items=1)]

    assert folded(answered).final_answer == "Done."
    assert folded([*answered, user(3, "And this?")]).final_answer is None
    assert folded([*answered, user(3, "And this?")]).last_message == "Done."


@st.composite
def journals(draw: st.DrawFn) -> Sequence[Entry]:
    """Whole turns with parallel calls and compactions, whose worker may have died at any line."""
    entries: list[Entry] = []
    for turn in range(draw(st.integers(1, 3))):
        number = 0
        life = [user(number, f"request {turn}")]
        for step in range(draw(st.integers(0, 3))):
            calls = draw(st.integers(0, 3))
            first, number = number + 2, number + calls + 2
            life.append(reasoned(first - 1, f"r{turn}.{step}"))
            life.extend(begun(first + call, f"c{turn}.{step}.{call}") for call in range(calls))
            life.append(counted(number, items=calls + 1))
            life.extend(done(first + call, f"c{turn}.{step}.{call}", "ok") for call in range(calls))
            if draw(st.integers(0, 5)) == 0:
                number += 1
                life.append(shortened(number, f"s{turn}.{step}"))
        entries.extend(life[: draw(st.integers(1, len(life)))])
    return entries


@given(journals(), st.data())
def test_history_only_grows_and_every_call_has_its_answer(
    journal: Sequence[Entry], data: st.DataObject
) -> None:
    """At any line the history is a prefix of what it becomes, up to a compaction; a finished one pairs calls
    and answers.
    """
    cut = data.draw(st.integers(0, len(journal)))
    growing = folded(journal[:cut])
    before = growing.encoded()
    for entry in journal[cut:]:
        growing.add(entry.life, entry.item)

    if not any(isinstance(entry.item, Compaction) for entry in journal[cut:]):
        assert growing.encoded().startswith(before)
    assert growing.encoded() == folded(journal).encoded()
    whole = decoded(History(encode, earlier=journal))
    made = [entry["call"] for entry in whole if "call" in entry]
    answered = [entry["answer_to"] for entry in whole if "answer_to" in entry]
    assert sorted(made) == sorted(answered)
    assert len(set(answered)) == len(answered)
