"""A turn that asks people: what is journaled, what it waits with, and what comes of each answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from harness.approvals import digest_of, request_id
from harness.history import INTERRUPTED
from harness.items import (
    Answer,
    ApprovalRequest,
    Call,
    Completed,
    ItemStatus,
    Life,
    Outcome,
    Stopped,
    ToolCall,
    ToolItem,
    TurnId,
    Waiting,
)
from harness.loop import run_turn
from harness.memory import MemoryJournal, PlainSession
from harness.protocols import Ask, Decision, Entry, Tool
from tests.harness.scripted import ScriptedModel, answer, called, said, turn
from tests.harness.tools_at_hand import Recorder, by_name, echo

THREE_DAYS = 72 * 3600.0


@dataclass
class Desk(PlainSession):
    """People who answer when they are asked to, and a clock that stands still."""

    clock: float = 1_000.0
    answers: dict[str, Decision] = field(default_factory=dict)
    stopped_by: str | None = None

    def now(self) -> float:
        return self.clock

    async def decision(self, request: str, *, is_due: bool) -> Decision | None:
        return self.answers.get(request, Decision("expired") if is_due else None)

    async def stop_requested(self) -> str | None:
        return self.stopped_by


@dataclass
class Guarded(Recorder):
    """Asks before each call."""

    place: str = "."
    """What else the call depends on, as a command does on its directory."""

    def asks(self, item: ToolItem) -> Ask | None:
        wanted = (item.call.arguments, self.place)
        return Ask("command", wanted, "A rule.", digest_of("command", wanted))

    async def run_decided(self, item: ToolItem, decision: Decision) -> ToolItem:
        if decision.kind == "approved":
            return await self.run(item)
        self.log.append(f"{decision.kind} {item.call.id}")
        return replace(item, status=ItemStatus.DECLINED, answer=Answer(f"{decision.kind} by {decision.by}"))


@dataclass
class Case:
    """One turn over several runs, as a worker that comes back to it sees it."""

    calls: Sequence[Call]
    desk: Desk = field(default_factory=Desk)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = ScriptedModel([answer(*self.calls), answer(said("Done."))])
        self.tools: dict[str, Tool] = dict(
            by_name(Guarded("guarded", echo, log=self.log), Recorder("free", echo, log=self.log))
        )

    async def run(self) -> Outcome:
        result = await run_turn(
            turn(), model=self.model, tools=self.tools, session=self.desk, journal=self.journal
        )
        return result.outcome

    @property
    def asked(self) -> list[ApprovalRequest]:
        return [e.item for e in self.journal.entries if isinstance(e.item, ApprovalRequest)]

    def name(self, number: int = -1) -> str:
        return request_id(TurnId("turn-1"), self.asked[number].id)


def guarded(name: str) -> Call:
    return called(name, "guarded", n=name)


async def test_a_turn_waits_with_the_call_that_asks_and_all_after_it() -> None:
    """What stands before it in the answer is done; nothing is asked twice, however often it is looked at."""
    case = Case([called("c1", "free"), guarded("c2"), called("c3", "free")])

    outcome = await case.run()
    again = await case.run()

    [asked] = case.asked
    assert (
        outcome
        == again
        == Waiting(
            f"The turn waits for leave to run a command (request {case.name()}).",
            until=1_000.0 + THREE_DAYS,
            request=asked.id,
        )
    )
    assert case.log == ["begin c1", "end c1"]
    assert [case_item.call.id for case_item in _begun(case) if case_item.id in asked.held] == ["c2", "c3"]
    assert (asked.wanted, asked.decision) == (('{"n": "c2"}', "."), None)
    assert len(case.model.requests) == 1


async def test_what_is_approved_runs_once_and_what_was_behind_it_after_it() -> None:
    case = Case([guarded("c1"), called("c2", "free")])
    await case.run()
    case.desk.answers[case.name()] = Decision("approved", "maya")

    assert await case.run() == Completed("Done.")

    assert case.log == ["begin c1", "end c1", "begin c2", "end c2"]
    assert (case.asked[-1].decision, case.asked[-1].by) == ("approved", "maya")
    assert [entry.get("answer_to") for entry in case.model.history()[-2:]] == ["c1", "c2"]


async def test_an_approval_is_for_what_was_asked_and_nothing_else() -> None:
    """A call that would do something else by now has no leave: people are asked anew."""
    case = Case([guarded("c1")])
    await case.run()
    case.desk.answers[case.name()] = Decision("approved", "maya")
    case.tools["guarded"] = Guarded("guarded", echo, log=case.log, place="/etc")

    outcome = await case.run()

    assert isinstance(outcome, Waiting)
    assert case.log == []
    assert case.asked[-1].wanted == ('{"n": "c1"}', "/etc")


def test_another_kind_order_or_option_is_another_question() -> None:
    asked = digest_of("paths", ("a", "b"))

    others = [
        digest_of("network", ("a", "b")),
        digest_of("paths", ("b", "a")),
        digest_of("paths", ("a", "b"), True),
    ]
    assert asked not in others
    assert len(set(others)) == len(others)


async def test_two_that_ask_are_asked_one_after_the_other() -> None:
    """An answer to one is no answer to the other."""
    case = Case([guarded("c1"), guarded("c2")])
    await case.run()
    case.desk.answers[case.name()] = Decision("denied", "maya")
    outcome = await case.run()
    assert isinstance(outcome, Waiting)
    assert case.log == ["denied c1"]
    case.desk.answers[case.name()] = Decision("approved", "cole")

    assert await case.run() == Completed("Done.")

    assert case.log == ["denied c1", "begin c2", "end c2"]
    assert len({request.digest for request in case.asked}) == 2


async def test_when_the_time_is_up_the_turn_goes_on_without() -> None:
    case = Case([guarded("c1")])
    await case.run()
    case.desk.clock += THREE_DAYS

    assert await case.run() == Completed("Done.")

    assert case.log == ["expired c1"]
    assert case.asked[-1].decision == "expired"


async def test_a_crash_before_the_question_asks_it_all_the_same() -> None:
    """What was held back for it was not run: people are asked, under the same name; nothing is cut off."""
    case = Case([called("c1", "free"), guarded("c2"), called("c3", "free")])
    await case.run()
    name = case.name()
    case.journal.entries.pop()
    assert case.asked == []

    assert isinstance(await case.run(), Waiting)
    assert case.name() == name
    case.desk.answers[name] = Decision("approved", "maya")
    assert await case.run() == Completed("Done.")

    assert case.log == [f"{what} {call}" for call in ("c1", "c2", "c3") for what in ("begin", "end")]
    assert INTERRUPTED.text not in str(case.model.history())


async def test_a_crash_in_a_call_before_the_question_cuts_off_that_call_only() -> None:
    case = Case([called("c1", "free"), guarded("c2")])
    await case.run()
    del case.journal.entries[-2:]

    assert isinstance(await case.run(), Waiting)

    statuses = {item.call.id: item.status for item in _begun(case)} | {
        e.item.call.id: e.item.status
        for e in case.journal.entries
        if e.life is Life.COMPLETED and isinstance(e.item, ToolCall)
    }
    assert statuses == {"c1": ItemStatus.INTERRUPTED, "c2": ItemStatus.HELD}


async def test_what_needs_no_leave_any_more_runs_after_a_crash() -> None:
    """The rules of today decide about what was not run yet."""
    case = Case([guarded("c1")])
    await case.run()
    case.journal.entries.pop()
    case.tools["guarded"] = Recorder("guarded", echo, log=case.log)

    assert await case.run() == Completed("Done.")

    assert case.log == ["begin c1", "end c1"]


async def test_an_answer_that_was_never_whole_asks_nobody() -> None:
    """Without its last entry it does not count, and the model is asked again."""
    case = Case([guarded("c1")])
    await case.run()
    del case.journal.entries[-2:]
    case.model = ScriptedModel([answer(said("Done."))])

    assert await case.run() == Completed("Done.")

    assert (case.asked, case.log) == ([], [])


async def test_a_stop_before_the_question_closes_what_was_held_back() -> None:
    case = Case([guarded("c1")])
    await case.run()
    case.journal.entries.pop()
    case.desk.stopped_by = "maya"
    case.tools["guarded"] = Recorder("guarded", echo, log=case.log)

    assert await case.run() == Stopped("maya")

    assert getattr(case.journal.entries[-1].item, "status", None) is ItemStatus.INTERRUPTED


async def test_a_crash_between_answer_and_run_runs_nothing_twice() -> None:
    """From the journaled decision on nobody knows whether it ran: it is closed, and not run again."""
    case = Case([guarded("c1"), called("c2", "free")])
    await case.run()
    decided = replace(case.asked[0], decision="approved", by="maya")
    case.journal.entries.append(Entry(len(case.journal.entries), Life.COMPLETED, decided))

    assert await case.run() == Completed("Done.")

    assert case.log == []
    told = [entry["text"] for entry in case.model.history() if "answer_to" in entry]
    assert told == [INTERRUPTED.text, INTERRUPTED.text]


async def test_a_stop_while_it_waits_closes_all_of_it() -> None:
    case = Case([guarded("c1")])
    await case.run()
    case.desk.stopped_by = "maya"

    assert await case.run() == Stopped("maya")

    assert case.asked[-1].decision == "void"
    assert case.log == []
    last = case.journal.entries[-1].item
    assert getattr(last, "status", None) is ItemStatus.INTERRUPTED


def _begun(case: Case) -> list[ToolItem]:
    return [
        entry.item
        for entry in case.journal.entries
        if entry.life is Life.STARTED and isinstance(entry.item, ToolItem)
    ]
