"""Long histories: what stays, what a summary stands for, and that the turn goes on with it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.compaction import INSTRUCTIONS, Room, compaction_of, draft_of, outline, weigher
from harness.history import History
from harness.items import (
    Call,
    Compaction,
    Completed,
    Failed,
    FileChange,
    ItemAdapter,
    ItemId,
    Life,
    ModelCall,
    Notice,
    PathChange,
    PlanStep,
    PlanUpdate,
    ToolItem,
    TurnResult,
    Usage,
    UserMessage,
    Waiting,
)
from harness.loop import run_turn
from harness.memory import MemoryJournal
from harness.past import read
from harness.protocols import Entry, ModelError, ModelOutput, ModelRequest, ModelResponse, Steering
from tests.harness.scripted import ScriptedModel, answer, called, said, thought, turn
from tests.harness.test_history import journals
from tests.harness.test_loop import StillSession
from tests.harness.tools_at_hand import Recorder, by_name

LONG = "line of output\n" * 80
SMALL = Room(window=6_000)
OVERFLOW = ModelError("context_overflow", "too long")
Said = ModelResponse | ModelError


@dataclass
class Worker(ScriptedModel):
    """Works through `replies`; asked for a summary, it takes the next of `summaries`, or says what it saw."""

    replies: Sequence[Said] = ()
    summaries: Sequence[Said] = ()
    asked_to_sum_up: list[ModelRequest] = field(default_factory=list)

    async def respond(self, request: ModelRequest, *, on_text: Callable[[str], None]) -> ModelResponse:
        if request.instructions != INSTRUCTIONS:
            return await super().respond(request, on_text=on_text)
        self.asked_to_sum_up.append(request)
        number = len(self.asked_to_sum_up)
        reply = self.summaries[number - 1] if number <= len(self.summaries) else summary(f"Summary {number}.")
        if isinstance(reply, ModelError):
            raise reply
        return reply


class Planner(Recorder):
    def begin(self, call: Call, item_id: ItemId) -> ToolItem:
        plan = (PlanStep("Look", "completed"), PlanStep("Mend", "in_progress"))
        return PlanUpdate(id=item_id, call=call, plan=plan)


class Patcher(Recorder):
    def begin(self, call: Call, item_id: ItemId) -> ToolItem:
        return FileChange(id=item_id, call=call, changes=(PathChange("src/purl.py", "update"),))


async def prints(_call: Call) -> str:
    return LONG


TOOLS = by_name(Recorder("print", prints), Planner("plan", prints), Patcher("patch", prints))


def uncounted(*output: ModelOutput) -> ModelResponse:
    """An answer of an endpoint that counts no tokens: the size is estimated."""
    return ModelResponse(output, Usage(), "completed")


def steps(count: int, *, first: int = 0) -> list[Said]:
    return [uncounted(thought(f"r{n}"), called(f"c{n}", "print", n=n)) for n in range(first, first + count)]


def summary(text: str) -> ModelResponse:
    return answer(said(text), tokens=500)


def compactions(journal: MemoryJournal) -> list[Compaction]:
    return [entry.item for entry in journal.entries if isinstance(entry.item, Compaction)]


async def run(
    model: ScriptedModel,
    journal: MemoryJournal,
    *,
    room: Room = SMALL,
    session: StillSession | None = None,
    request: str = "Fix the test.",
) -> TurnResult:
    return await run_turn(
        turn(request),
        model=model,
        tools=TOOLS,
        session=session or StillSession(),
        journal=journal,
        room=room,
    )


def calls_in(history: Sequence[dict[str, Any]]) -> tuple[list[str], list[str]]:
    made = [entry["call"] for entry in history if "call" in entry]
    return made, [entry["answer_to"] for entry in history if "answer_to" in entry]


async def test_a_long_turn_stays_below_its_share_of_the_window() -> None:
    """Every request fits, the request and the newest steps are verbatim, a summary stands for the rest."""
    model = Worker([*steps(40), uncounted(said("Done."))])
    journal = MemoryJournal()

    result = await run(model, journal)

    assert result.outcome == Completed("Done.")
    assert result.steps == 41
    assert max(len(request.history) for request in model.requests) < 6_000 * 3
    assert len(compactions(journal)) >= 2
    last = model.history()
    assert last[0] == {"user": "Fix the test."}
    assert f"Summary {len(compactions(journal))}." in last[1]["user"]
    assert last[-1] == {"answer_to": "c39", "text": LONG}
    made, answered = calls_in(last)
    assert made == answered
    assert made[-1] == "c39"


async def test_between_compactions_each_request_only_adds() -> None:
    """The prefix changes where a compaction lies, and nowhere else."""
    model = Worker([*steps(40), uncounted(said("Done."))])
    journal = MemoryJournal()

    await run(model, journal)

    broken = [
        after for before, after in pairwise(model.requests) if not after.history.startswith(before.history)
    ]
    assert len(broken) == len(compactions(journal))


async def test_a_resumed_turn_has_the_bytes_of_the_running_one() -> None:
    """Wherever a worker dies, the fold of the journal up to there is what it would have sent."""
    model = Worker([*steps(20), uncounted(said("Done."))])
    journal = MemoryJournal()
    await run(model, journal)

    for cut, entry in enumerate(journal.entries):
        if isinstance(entry.item, Compaction):
            again = Worker([uncounted(said("Done."))])
            await run(again, MemoryJournal(entries=journal.entries[: cut + 1]))
            assert again.requests[0].history in [request.history for request in model.requests]
            # Died between the summary's price and the compaction: it is asked for again, both are paid for.
            twice = MemoryJournal(entries=journal.entries[:cut])
            again = Worker([uncounted(said("Done."))])
            await run(again, twice)
            assert len(again.asked_to_sum_up) == 1
            made, answered = calls_in(again.history())
            assert made == answered


async def test_what_stays_is_stated_in_the_journal() -> None:
    """Request, words of people, plan and changed files are in the item; the summary's price is counted."""

    class Listening(StillSession):
        async def steering(self, after: int) -> Sequence[Steering]:
            return [Steering(1, "Mind Windows.")] if after == 0 else []

    model = Worker(
        [
            uncounted(called("p", "plan")),
            uncounted(called("f", "patch")),
            *steps(12),
            uncounted(said("Done.")),
        ],
        summaries=[summary("I looked at purl.")],
    )
    journal = MemoryJournal()

    result = await run(model, journal, session=Listening())

    [item] = compactions(journal)
    assert ItemAdapter.validate_json(ItemAdapter.dump_json(item)) == item
    assert [(block.kind, len(block.entries)) for block in item.pinned] == [("request", 1), ("steering", 1)]
    assert (item.by, item.reason, item.files) == ("model", "share", ("src/purl.py",))
    assert [step.step for step in item.plan] == ["Look", "Mend"]
    assert all(text in item.summary for text in ("I looked at purl.", "[in_progress] Mend", "- src/purl.py"))
    assert item.left_out > 0 < item.tokens_before
    priced = [entry.item for entry in journal.entries if isinstance(entry.item, ModelCall)]
    assert [call.usage.total_tokens for call in priced if call.purpose == "summary"] == [501]
    assert (result.usage.total_tokens, result.steps) == (501, 15)


async def test_the_summary_is_asked_for_without_tools_and_in_bounds() -> None:
    """Any endpoint takes such a request, also one whose window is nearly full."""
    model = Worker([*steps(14), uncounted(said("Done."))])

    await run(model, MemoryJournal())

    asked = model.asked_to_sum_up[0]
    assert asked.tools == ()
    assert len(asked.history) <= 6_000 * 3 // 2
    [told] = json.loads(b"[" + asked.history + b"]")
    assert "Fix the test." in told["user"]
    assert "[call] print" in told["user"]


@pytest.mark.parametrize(
    "fault",
    [
        ModelError("refused", "no"),
        ModelError("invalid_request", "no"),
        replace(summary("Half of it"), stop="length"),
        uncounted(called("x", "print")),
    ],
    ids=["refused", "invalid", "cut", "calls instead"],
)
async def test_without_a_summary_a_list_of_what_was_done_stands(fault: Said) -> None:
    """The turn goes on."""
    model = Worker(
        [uncounted(said("I look."), called("f", "patch")), *steps(12), uncounted(said("Done."))],
        summaries=[fault],
    )
    journal = MemoryJournal()

    result = await run(model, journal)

    assert result.outcome == Completed("Done.")
    [item] = compactions(journal)
    assert item.by == "runtime"
    assert "agent: I look." in item.summary
    assert "src/purl.py" in item.summary


async def test_an_endpoint_that_overflows_is_asked_again_over_less() -> None:
    """No window is known: the refusal tells it, and the turn keeps below from then on."""
    model = Worker([*steps(12), OVERFLOW, *steps(20, first=20), uncounted(said("Done."))])
    journal = MemoryJournal()

    result = await run(model, journal, room=Room())

    assert result.outcome == Completed("Done.")
    made = compactions(journal)
    assert [item.reason for item in made][:2] == ["overflow", "share"]
    assert {item.overflowed_at for item in made} == {made[0].tokens_before}
    refused = model.requests[12]
    assert max(len(request.history) for request in model.requests[13:]) < len(refused.history)


async def test_an_endpoint_that_overflows_again_and_again_is_left() -> None:
    """Each time less is kept; then the person is told what to do."""
    model = Worker([*steps(12), *[OVERFLOW] * 9], summaries=[OVERFLOW] * 20)
    journal = MemoryJournal()

    result = await run(model, journal, room=Room())

    assert isinstance(result.outcome, Failed)
    assert "no longer fits into the model's context window" in result.outcome.cause
    sizes = [len(request.history) for request in model.requests[12:]]
    assert sizes == sorted(sizes, reverse=True)
    assert 2 <= len(sizes) <= 5


async def test_a_request_that_is_longer_than_the_window_is_cut_in_its_middle() -> None:
    """Head and tail of it reach the model; there is nothing else to leave out, and no summary to ask for."""
    model = Worker([OVERFLOW, uncounted(said("Done."))])
    request = "Mend this: " + "x" * 40_000 + " End of the log."

    result = await run(model, MemoryJournal(), room=Room(), request=request)

    assert result.outcome == Completed("Done.")
    assert model.asked_to_sum_up == []
    note, told = (entry["user"] for entry in model.history())
    assert "cut in its middle" in note
    assert told.startswith("Mend this: ")
    assert "left out here" in told
    assert told.endswith("End of the log.")
    assert len(told) < 20_000


async def test_a_limited_endpoint_is_waited_for_while_it_sums_up() -> None:
    """What passes by itself costs no summary."""
    session = StillSession()
    model = Worker(
        [*steps(12), uncounted(said("Done."))],
        summaries=[ModelError("rate_limited", "", retry_after=3.0), summary("Looked.")],
    )
    journal = MemoryJournal()

    await run(model, journal, session=session)

    assert session.slept == [3.0]
    assert [item.by for item in compactions(journal)] == ["model"]


async def test_a_turn_that_is_parked_while_it_sums_up_goes_on_from_there() -> None:
    """A long wait holds nothing; taken up again, the turn asks for the summary anew and ends as ever."""
    journal = MemoryJournal()
    limited = ModelError("rate_limited", "", retry_after=600.0)
    parked = await run(Worker(steps(12), summaries=[limited]), journal)

    again = Worker([uncounted(said("Done."))])
    result = await run(again, journal)

    assert isinstance(parked.outcome, Waiting)
    assert result.outcome == Completed("Done.")
    assert [item.by for item in compactions(journal)] == ["model"]
    made, answered = calls_in(again.history())
    assert made == answered != []


@dataclass
class Wishing(StillSession):
    """Somebody says `compact` before one step, and a word after it."""

    said: Sequence[Steering] = (Steering(4, "", "compact"), Steering(5, "Go on."))
    after_looks: int = 9
    looks: int = 0

    async def steering(self, after: int) -> Sequence[Steering]:
        self.looks += 1
        if self.looks < self.after_looks:
            return ()
        return [message for message in self.said if message.number > after]


async def test_by_hand() -> None:
    """It is done before the next step, once, and what was said after it is still said."""
    model = Worker([*steps(30), uncounted(said("Done."))])
    journal = MemoryJournal()

    await run(model, journal, room=Room(), session=Wishing(after_looks=26))

    [item] = compactions(journal)
    assert (item.reason, item.heard) == ("asked", 4)
    assert len(model.history(25)) < len(model.history(24))
    assert {"user": "Go on."} in model.history(25)


async def test_by_hand_when_the_last_word_is_said() -> None:
    """The turn ends with it all the same; the next one has a short history."""
    model = Worker([*steps(30), uncounted(said("Done."))])
    journal = MemoryJournal()
    wish = (Steering(4, "", "compact"),)

    result = await run(model, journal, room=Room(), session=Wishing(said=wish, after_looks=32))

    assert result.outcome == Completed("Done.")
    assert journal.entries[-1].item == compactions(journal)[0]


async def test_by_hand_with_nothing_to_leave_out() -> None:
    """The wish is heard, and not asked for again after a crash."""
    model = Worker([*steps(1), uncounted(said("Done."))])
    journal = MemoryJournal()

    await run(model, journal, room=Room(), session=Wishing(after_looks=2))

    assert compactions(journal) == []
    heard = [entry.item.heard for entry in journal.entries if isinstance(entry.item, Notice)]
    assert heard == [4]
    resumed = Worker([uncounted(said("Done."))])
    await run(resumed, MemoryJournal(entries=journal.entries[:-3]), session=Wishing(after_looks=1))
    assert resumed.asked_to_sum_up == []


async def test_five_hundred_turns_in_a_thread() -> None:
    """Each is answered, each request is bounded, and each knows its own request."""
    past: Sequence[Entry] = ()
    largest = 0
    for number in range(500):
        model = Worker([*steps(1), uncounted(said(f"Answer {number}."))])
        journal = MemoryJournal(past=past)
        result = await run(model, journal, request=f"Request {number}.")
        assert result.outcome == Completed(f"Answer {number}.")
        assert {"user": f"Request {number}."} in model.history()
        largest = max(largest, *(len(request.history) for request in model.requests))
        past = from_last_compaction(journal.thread())

    assert largest < 6_000 * 3


def from_last_compaction(entries: Sequence[Entry]) -> Sequence[Entry]:
    places = [place for place, entry in enumerate(entries) if isinstance(entry.item, Compaction)]
    return entries[places[-1] :] if places else entries


async def test_many_turns_that_were_not_read_are_stated_once() -> None:
    """What stood for them is in no journal: the turn makes a compaction of its own of it."""
    old = outline(["asked: Mend purl; answered: Mended."], turns=1)
    model = Worker([uncounted(said("Done."))])
    journal = MemoryJournal(past=[Entry(-1, Life.COMPLETED, old)])

    await run(model, journal, room=Room())

    [item] = compactions(journal)
    assert item.reason == "length"
    assert "Mend purl" in json.dumps(json.loads(b"[" + model.asked_to_sum_up[0].history + b"]"))
    assert model.history(0)[-1] == {"user": "Fix the test."}


@given(journals(), st.integers(1, 400), st.integers(0, 2))
def test_whatever_is_cut_every_call_keeps_its_answer(journal: Sequence[Entry], keep: int, level: int) -> None:
    """A compaction lies between whole steps, and a second one upon it, too."""
    encode = ScriptedModel([]).encode
    past = read(journal, ())
    told = b",".join(encode(entry) for block in past.blocks for entry in block.entries)
    assert told == History(encode, earlier=journal).encoded()

    entries = [*journal, Entry(0, Life.COMPLETED, UserMessage(id=ItemId("item_0"), text="Now."))]
    for number in (1, 2):
        draft = draft_of(read(entries, ()), weigh=weigher(encode), keep=keep // number, level=level)
        if draft is None:
            return
        item = compaction_of(
            draft,
            ItemId(f"item_{number}"),
            "S.",
            reason="asked",
            model="m",
            tokens_before=1,
            overflowed_at=0,
        )
        entries.append(Entry(number, Life.COMPLETED, item))
        history: list[dict[str, Any]] = json.loads(b"[" + History(encode, earlier=entries).encoded() + b"]")
        made, answered = calls_in(history)
        assert sorted(made) == sorted(answered)
        assert {"user": "Now."} in history


def test_a_compaction_starts_the_fold_anew_and_the_counts_go_on() -> None:
    """Steps, money and what was heard are the turn's, whatever the model is shown."""
    history = History(ScriptedModel([]).encode)
    history.add(Life.COMPLETED, UserMessage(id=ItemId("item_0"), text="Go.", heard=3))
    usage = Usage(100, 0, 10)
    history.add(Life.COMPLETED, ModelCall(id=ItemId("item_1"), model="m", usage=usage, seconds=1.0))
    history.add(Life.COMPLETED, Compaction(id=ItemId("item_2"), reason="asked", summary="S.", by="model"))

    assert history.encoded() == b'{"user":"S."}'
    assert (history.steps, history.usage, history.heard, history.has_request) == (1, usage, 3, True)
    assert history.next_id() == "item_3"
    assert history.tokens(50) < 60
