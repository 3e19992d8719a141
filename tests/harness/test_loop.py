"""Stories of one turn: what the model is asked, what the journal keeps, how the turn ends."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import MappingProxyType

import pytest

from harness.history import INTERRUPTED
from harness.items import (
    AgentMessage,
    Answer,
    Call,
    CommandExecution,
    Completed,
    Declined,
    Exhausted,
    Failed,
    FileChange,
    Item,
    ItemId,
    ItemStatus,
    Life,
    ModelCall,
    Notice,
    Stopped,
    ToolCall,
    ToolItem,
    TurnLimits,
    Usage,
    UserMessage,
    Waiting,
)
from harness.loop import run_turn
from harness.memory import MemoryJournal, PlainSession
from harness.protocols import Entry, ModelError, ModelRequest, ModelResponse, OwnershipLost
from harness.tools import ToolContext, make_tools
from sandbox.base import Sandbox, SandboxUnavailable
from tests.harness.scripted import ScriptedModel, answer, called, said, thought, turn
from tests.harness.tools_at_hand import Recorder, by_name, echo, forever

NO_TOOLS: MappingProxyType[str, Recorder] = MappingProxyType({})


@dataclass
class StillSession(PlainSession):
    """Time stands still unless the turn sleeps; nobody waits."""

    clock: float = 1_000.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.clock

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock += seconds


async def test_a_turn_goes_from_request_to_final_answer() -> None:
    """The request is the first message, calls are answered, and the answer without a call ends the turn."""
    model = ScriptedModel([answer(thought("r1"), called("c1", "echo", text="hi")), answer(said("Fixed it."))])
    journal = MemoryJournal()

    result = await run_turn(
        turn("Fix the test."),
        model=model,
        tools=by_name(Recorder("echo", echo)),
        session=StillSession(),
        journal=journal,
    )

    assert result.outcome == Completed("Fixed it.")
    assert (result.steps, result.usage) == (2, Usage(20, 0, 2, 0))
    assert model.history(0) == [{"user": "Fix the test."}]
    assert model.history(1) == [
        {"user": "Fix the test."},
        {"reasoning": "r1"},
        {"call": "c1", "name": "echo"},
        {"answer_to": "c1", "text": 'echo {"text": "hi"}'},
    ]


async def test_the_journal_has_intents_before_outcomes() -> None:
    """A call is journaled as begun with the answer it came in, and as done when it is done."""
    model = ScriptedModel([answer(thought("r1"), called("c1", "echo", n=1)), answer(said("Done."))])
    journal = MemoryJournal()

    await run_turn(
        turn("Go."),
        model=model,
        tools=by_name(Recorder("echo", echo)),
        session=StillSession(),
        journal=journal,
    )

    call = called("c1", "echo", n=1)
    done = Answer('echo {"n": 1}')
    assert journal.entries == [
        Entry(0, Life.COMPLETED, UserMessage(id=ItemId("item_0"), text="Go.")),
        Entry(1, Life.COMPLETED, replace(thought("r1"), id=ItemId("item_1"))),
        Entry(2, Life.STARTED, ToolCall(id=ItemId("item_2"), call=call)),
        Entry(3, Life.COMPLETED, closing("item_3", items=2)),
        Entry(
            4,
            Life.COMPLETED,
            ToolCall(id=ItemId("item_2"), call=call, status=ItemStatus.COMPLETED, answer=done),
        ),
        Entry(5, Life.COMPLETED, replace(said("Done."), id=ItemId("item_4"))),
        Entry(6, Life.COMPLETED, closing("item_5", items=1)),
    ]


@dataclass
class KeepingSession(StillSession):
    """Names the states of a work tree that it is asked to keep."""

    kept: int = 0

    async def snapshot(self) -> str | None:
        self.kept += 1
        return f"state-{self.kept}"


async def test_what_may_change_files_is_kept_before_it_is_journaled() -> None:
    """Commands and patches carry the name of the state that they left; other tools leave none."""

    class Shell(Recorder):
        def begin(self, call: Call, item_id: ItemId) -> ToolItem:
            return CommandExecution(id=item_id, call=call, command="false", workdir=".")

    class Patch(Recorder):
        def begin(self, call: Call, item_id: ItemId) -> ToolItem:
            return FileChange(id=item_id, call=call, changes=())

    calls = (called("c1", "shell"), called("c2", "echo"), called("c3", "patch"))
    model = ScriptedModel([answer(*calls), answer(said("Done."))])
    journal = MemoryJournal()

    await run_turn(
        turn("Go."),
        model=model,
        tools=by_name(Shell("shell", echo), Recorder("echo", echo), Patch("patch", echo)),
        session=KeepingSession(),
        journal=journal,
    )

    done = [entry.item for entry in journal.entries if entry.life is Life.COMPLETED]
    assert [item.snapshot for item in done if isinstance(item, CommandExecution | FileChange)] == [
        "state-1",
        "state-2",
    ]


def closing(item_id: str, *, items: int) -> ModelCall:
    return ModelCall(id=ItemId(item_id), model="scripted", usage=Usage(10, 0, 1, 0), seconds=0.0, items=items)


async def test_each_request_begins_with_the_bytes_of_the_last_one() -> None:
    """Parallel calls, steering, a resumed worker and earlier turns only ever add to what was sent before."""
    session = StillSession()
    tools = by_name(Recorder("echo", echo, is_parallel=True), Recorder("slow", echo))

    def steered(_request: ModelRequest) -> ModelResponse:
        session.steer("Also the docs, please.")
        return answer(thought("r2"), called("c1", "slow"), called("c2", "echo"), called("c3", "echo"))

    first_turn = MemoryJournal()
    first_model = ScriptedModel([answer(thought("r1"), called("c1", "echo")), steered, answer(said("One."))])
    await run_turn(turn("First."), model=first_model, tools=tools, session=session, journal=first_turn)

    second_turn = MemoryJournal(past=first_turn.thread())
    second_model = ScriptedModel([answer(called("c1", "echo"), called("c1", "echo")), Crash()])
    with pytest.raises(Killed):
        await run_turn(turn("Two."), model=second_model, tools=tools, session=session, journal=second_turn)
    third_model = ScriptedModel([answer(called("c4", "slow")), answer(said("Two."))])
    await run_turn(turn("Two."), model=third_model, tools=tools, session=session, journal=second_turn)

    requests = [*first_model.requests, *second_model.requests, *third_model.requests]
    assert len(requests) == 7
    for before, after in pairwise(requests):
        assert after.history.startswith(before.history)
        assert after.instructions == before.instructions
        assert after.tools == before.tools
    assert {"user": "Also the docs, please."} in first_model.history()


class Killed(BaseException):
    """The worker dies: nothing of ours may catch this."""


class Crash:
    def __call__(self, _request: ModelRequest) -> ModelResponse:
        raise Killed


async def test_an_entry_is_encoded_once() -> None:
    """The work for a step does not grow with the steps before it."""
    model = ScriptedModel([*(answer(called("c", "echo")) for _ in range(30)), answer(said("Done."))])

    await run_turn(
        turn(),
        model=model,
        tools=by_name(Recorder("echo", echo)),
        session=StillSession(),
        journal=MemoryJournal(),
    )

    assert model.encoded == 1 + 30 * 2 + 1


async def test_parallel_calls_overlap_and_serial_ones_do_not() -> None:
    """Neighbouring parallel calls run at once; the journal has their outcomes in the order of the calls."""
    log: list[str] = []
    release = asyncio.Event()

    async def first_waits(call: Call) -> str:
        if call.id == "p1":
            await release.wait()
        else:
            release.set()
        return call.id

    model = ScriptedModel(
        [
            answer(called("p1", "par"), called("p2", "par"), called("s1", "ser"), called("s2", "ser")),
            answer(said("Done.")),
        ]
    )
    tools = by_name(Recorder("par", first_waits, is_parallel=True, log=log), Recorder("ser", echo, log=log))
    journal = MemoryJournal()

    await run_turn(turn(), model=model, tools=tools, session=StillSession(), journal=journal)

    assert log == [
        *("begin p1", "begin p2", "end p2", "end p1"),
        *("begin s1", "end s1", "begin s2", "end s2"),
    ]
    assert outcomes(journal) == ["p1", "p2", "s1", "s2"]


async def test_an_answer_with_very_many_calls_is_run_in_portions() -> None:
    """At most eight calls run at once, whatever the model asks for."""
    tool = Recorder("par", echo, is_parallel=True)
    calls = [called(f"p{n}", "par") for n in range(20)]

    await run_turn(
        turn(),
        model=ScriptedModel([answer(*calls), answer(said("Done."))]),
        tools=by_name(tool),
        session=StillSession(),
        journal=MemoryJournal(),
    )

    running = most = 0
    for line in tool.log:
        running += 1 if line.startswith("begin") else -1
        most = max(most, running)
    assert (len(tool.log), most) == (40, 8)


def outcomes(journal: MemoryJournal) -> list[str]:
    return [
        entry.item.call.id
        for entry in journal.entries
        if isinstance(entry.item, ToolCall) and entry.life is Life.COMPLETED
    ]


async def test_a_call_that_nobody_understands_is_told_to_the_model() -> None:
    """An unknown tool and broken arguments are answered, not raised."""

    async def no_sandbox() -> Sandbox:
        raise AssertionError("no tool here needs a sandbox")

    broken = Call(id="c2", name="update_plan", arguments='{"plan": [')
    wrong = called("c3", "update_plan", plan=[{"step": "Look", "status": "later"}])
    model = ScriptedModel([answer(called("c1", "teleport"), broken, wrong), answer(said("Sorry."))])

    await run_turn(
        turn(),
        model=model,
        tools=make_tools(ToolContext(sandbox=no_sandbox)),
        session=StillSession(),
        journal=MemoryJournal(),
    )

    told = [entry["text"] for entry in model.history() if "answer_to" in entry]
    assert told[0].startswith("There is no tool named 'teleport'. The tools are: exec_command, ")
    assert told[1].startswith("The call was not run, its arguments are wrong: arguments: Invalid JSON")
    assert told[2] == (
        "The call was not run, its arguments are wrong: "
        "plan.0.status: Input should be 'pending', 'in_progress' or 'completed'."
    )


async def test_a_dead_workers_call_is_closed_and_not_repeated() -> None:
    """The next worker tells the model that the outcome is unknown, and keeps what was finished."""
    log: list[str] = []

    async def dies_on_second(call: Call) -> str:
        if call.id == "c2":
            raise Killed
        return "fine"

    journal = MemoryJournal()
    before = ScriptedModel([answer(called("c1", "do"), called("c2", "do"), called("c3", "do"))])
    with pytest.raises(Killed):
        await run_turn(
            turn(),
            model=before,
            tools=by_name(Recorder("do", dies_on_second, log=log)),
            session=StillSession(),
            journal=journal,
        )

    after = ScriptedModel([answer(said("I looked: all is well."))])
    result = await run_turn(
        turn(),
        model=after,
        tools=by_name(Recorder("do", echo, log=log)),
        session=StillSession(),
        journal=journal,
    )

    assert log == ["begin c1", "end c1", "begin c2"]
    assert after.history()[4:] == [
        {"answer_to": "c1", "text": "fine"},
        {"answer_to": "c2", "text": INTERRUPTED.text},
        {"answer_to": "c3", "text": INTERRUPTED.text},
    ]
    assert result.outcome == Completed("I looked: all is well.")
    assert result.steps == 2


@dataclass
class DyingJournal(MemoryJournal):
    """The worker dies before the append number `dies_at`."""

    dies_at: int = 1_000

    async def append(self, life: Life, item: Item) -> None:
        if len(self.entries) >= self.dies_at:
            raise Killed
        await super().append(life, item)


@pytest.mark.parametrize("dies_at", range(13))
async def test_a_turn_killed_at_any_append_is_carried_on(dies_at: int) -> None:
    """Whatever the last journaled line was, the next worker ends the turn and no finished call runs again."""
    log: list[str] = []
    tools = by_name(Recorder("do", echo, log=log))
    replies = [
        answer(thought("r1"), said("Looking."), called("c1", "do")),
        answer(thought("r2"), called("c2", "do")),
        answer(thought("r3"), said("Done.")),
    ]
    journal = DyingJournal(dies_at=dies_at)
    with pytest.raises(Killed):
        await run_turn(
            turn(), model=ScriptedModel(replies), tools=tools, session=StillSession(), journal=journal
        )

    journal.dies_at = 1_000
    answered = sum(isinstance(entry.item, ModelCall) for entry in journal.entries)
    finished = outcomes(journal)
    log.clear()
    model = ScriptedModel(replies[answered:])
    result = await run_turn(turn(), model=model, tools=tools, session=StillSession(), journal=journal)

    assert result.outcome == Completed("Done.")
    assert (result.steps, result.usage) == (3, Usage(30, 0, 3, 0))
    assert not [line for line in log if line.removeprefix("begin ") in finished]
    for request in range(len(model.requests)):
        assert_whole(model.history(request))


def assert_whole(history: Sequence[dict[str, str]]) -> None:
    """Every call has one answer, and no reasoning stands without what followed it."""
    calls = [entry["call"] for entry in history if "call" in entry]
    answers = [entry["answer_to"] for entry in history if "answer_to" in entry]
    assert calls == answers
    assert not [one for one, after in pairwise(history) if "reasoning" in one and "user" in after]
    assert not history or "reasoning" not in history[-1]


async def test_a_turn_whose_answer_is_journaled_asks_nobody_again() -> None:
    """A worker that dies between the final answer and its outcome leaves nothing to do."""
    journal = MemoryJournal()
    model = ScriptedModel([answer(said("Done."))])
    await run_turn(turn(), model=model, tools=NO_TOOLS, session=StillSession(), journal=journal)

    again = await run_turn(
        turn(), model=ScriptedModel([]), tools=NO_TOOLS, session=StillSession(), journal=journal
    )

    assert again.outcome == Completed("Done.")


async def test_a_message_that_comes_with_the_final_answer_is_heard() -> None:
    """Steering that arrives while the model writes its last answer carries the turn on."""
    session = StillSession()

    def last(_request: ModelRequest) -> ModelResponse:
        session.steer("And the changelog?")
        return answer(said("Done."))

    model = ScriptedModel([last, answer(said("Changelog too."))])

    result = await run_turn(
        turn("Go."), model=model, tools=NO_TOOLS, session=session, journal=MemoryJournal()
    )

    assert result.outcome == Completed("Changelog too.")
    assert model.history() == [{"user": "Go."}, {"assistant": "Done."}, {"user": "And the changelog?"}]


async def test_stop_ends_a_running_call() -> None:
    """A stop is noticed while a tool runs: it is cancelled once and closed in the journal."""
    session = PlainSession()
    tool = Recorder("wait", forever)
    journal = MemoryJournal()
    model = ScriptedModel([answer(called("c1", "wait"))])

    async def stop_soon() -> None:
        await tool.begun.get()
        session.stop("octocat")

    _, result = await asyncio.gather(
        stop_soon(),
        run_turn(turn(), model=model, tools=by_name(tool), session=session, journal=journal),
    )

    assert result.outcome == Stopped("octocat")
    assert tool.log == ["begin c1", "cancelled c1"]
    last = journal.entries[-1].item
    assert isinstance(last, ToolCall)
    assert (last.status, last.answer) == (ItemStatus.INTERRUPTED, INTERRUPTED)


async def test_a_stop_before_the_first_request_asks_no_model() -> None:
    """Between two steps a stop is noticed at once."""
    session = StillSession()
    session.stop("octocat")
    model = ScriptedModel([])

    result = await run_turn(turn(), model=model, tools=NO_TOOLS, session=session, journal=MemoryJournal())

    assert (result.outcome, model.requests) == (Stopped("octocat"), [])


async def test_cancelling_the_turn_cancels_what_runs() -> None:
    """A worker that shuts down takes its calls with it and hears of the cancellation."""
    tool = Recorder("wait", forever, is_parallel=True)
    model = ScriptedModel([answer(called("c1", "wait"), called("c2", "wait"))])
    running = asyncio.create_task(
        run_turn(turn(), model=model, tools=by_name(tool), session=PlainSession(), journal=MemoryJournal())
    )
    assert [await tool.begun.get(), await tool.begun.get()] == ["c1", "c2"]

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert tool.log == ["begin c1", "begin c2", "cancelled c1", "cancelled c2"]


@dataclass
class TakenJournal(MemoryJournal):
    async def append(self, life: Life, item: Item) -> None:
        if len(self.entries) == 3:
            raise OwnershipLost
        await super().append(life, item)


async def test_a_worker_that_lost_its_turn_stops_at_once() -> None:
    """It writes nothing more and runs no call: the new owner works on."""
    tool = Recorder("do", echo)
    journal = TakenJournal()
    model = ScriptedModel([answer(called("c1", "do")), answer(said("Never."))])

    with pytest.raises(OwnershipLost):
        await run_turn(turn(), model=model, tools=by_name(tool), session=StillSession(), journal=journal)

    assert (len(journal.entries), len(model.requests)) == (3, 1)


async def test_limits_end_the_turn_with_what_it_has() -> None:
    """Steps and tokens: the last thing said is kept."""
    replies = [answer(said(f"Step {n}."), called(f"c{n}", "echo"), tokens=40) for n in range(9)]

    async def run(limits: TurnLimits) -> Exhausted:
        result = await run_turn(
            turn(limits=limits),
            model=ScriptedModel(replies),
            tools=by_name(Recorder("echo", echo)),
            session=StillSession(),
            journal=MemoryJournal(),
        )
        assert isinstance(result.outcome, Exhausted)
        return result.outcome

    assert await run(TurnLimits(steps=2)) == Exhausted("steps", 2, "Step 1.")
    assert await run(TurnLimits(tokens=100)) == Exhausted("tokens", 100, "Step 2.")


async def test_the_last_step_may_be_the_answer() -> None:
    """A turn that answers with its last allowed request is completed, not exhausted."""
    result = await run_turn(
        turn(limits=TurnLimits(steps=1)),
        model=ScriptedModel([answer(said("Done."))]),
        tools=NO_TOOLS,
        session=StillSession(),
        journal=MemoryJournal(),
    )

    assert result.outcome == Completed("Done.")


async def test_the_time_limit_ends_a_running_call() -> None:
    """Nothing outlasts the turn's wall time."""
    tool = Recorder("wait", forever)

    result = await run_turn(
        turn(limits=TurnLimits(wall_seconds=0.3)),
        model=ScriptedModel([answer(called("c1", "wait"))]),
        tools=by_name(tool),
        session=PlainSession(),
        journal=MemoryJournal(),
    )

    assert result.outcome == Exhausted("wall_time", 0.3, "")
    assert tool.log == ["begin c1", "cancelled c1"]


async def test_faults_are_retried_with_growing_pauses_and_noted() -> None:
    """A cut stream and a busy server cost time, not the turn; the model never hears of it."""
    session = StillSession()
    model = ScriptedModel(
        [
            ModelError("stream_cut", "no terminal event"),
            ModelError("server", "500"),
            ModelError("overloaded", "503", retry_after=7.0),
            answer(said("Done.")),
        ]
    )
    journal = MemoryJournal()

    result = await run_turn(
        turn("Go."), model=model, tools=NO_TOOLS, session=session, journal=journal, jitter=lambda: 0.0
    )

    assert result.outcome == Completed("Done.")
    assert result.steps == 1
    assert session.slept == [0.5, 1.0, 7.0]
    assert [entry.item.text for entry in journal.entries if isinstance(entry.item, Notice)] == [
        "The model's answer was cut off; asking again in 0.5 s (try 2).",
        "The model endpoint had an error; asking again in 1.0 s (try 3).",
        "The model endpoint is overloaded; asking again in 7.0 s (try 4).",
    ]
    assert {request.history for request in model.requests} == {b'{"user":"Go."}'}


async def test_a_long_rate_limit_parks_the_turn_and_later_it_goes_on() -> None:
    """Nothing is held while the endpoint wants us to wait; the same journal is carried on."""
    journal = MemoryJournal()
    parked = await run_turn(
        turn(),
        model=ScriptedModel([ModelError("rate_limited", "429", retry_after=600.0)]),
        tools=NO_TOOLS,
        session=StillSession(),
        journal=journal,
    )
    assert parked.outcome == Waiting("The model endpoint limits its rate.", until=1_600.0)

    later = await run_turn(
        turn(),
        model=ScriptedModel([answer(said("Done."))]),
        tools=NO_TOOLS,
        session=StillSession(clock=1_601.0),
        journal=journal,
    )
    assert later.outcome == Completed("Done.")


async def test_no_wait_is_for_good() -> None:
    """A header that is wrong by years parks the turn for a day; then the endpoint is asked again."""
    parked = await run_turn(
        turn(),
        model=ScriptedModel([ModelError("rate_limited", "429", retry_after=1e15)]),
        tools=NO_TOOLS,
        session=StillSession(),
        journal=MemoryJournal(),
    )
    assert parked.outcome == Waiting("The model endpoint limits its rate.", until=1_000.0 + 24 * 3600)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (
            ModelError("quota", "insufficient_quota"),
            Failed(
                "The quota of the model endpoint's account is used up. Raise it or add credit, then retry.",
                reference="turn-1/0",
            ),
        ),
        (
            ModelError("authentication", "Incorrect API key provided: sk-1234"),
            Failed(
                "The model endpoint refused the key. The operator has to check the key and its permissions.",
                reference="turn-1/0",
            ),
        ),
        (
            ModelError("invalid_request", "Unknown parameter: 'store'."),
            Failed(
                "The model endpoint refused the request. It said: Unknown parameter: 'store'.",
                reference="turn-1/0",
            ),
        ),
        (
            ModelError("context_overflow", "too long"),
            Failed(
                "The conversation no longer fits into the model's context window. "
                "Start anew with a smaller request, or use a model with a larger window.",
                reference="turn-1/0",
            ),
        ),
        (ModelError("refused", "I can't help with that."), Declined("I can't help with that.")),
    ],
)
async def test_faults_that_asking_again_cannot_cure_end_the_turn(
    error: ModelError, outcome: Failed | Declined
) -> None:
    """One request, one clear sentence, and no word of a key."""
    model = ScriptedModel([error])

    result = await run_turn(
        turn(), model=model, tools=NO_TOOLS, session=StillSession(), journal=MemoryJournal()
    )

    assert (result.outcome, len(model.requests)) == (outcome, 1)


async def test_an_endpoint_that_stays_away_fails_the_turn_for_a_retry() -> None:
    """After six tries in about half a minute the people who asked are told."""
    session = StillSession()
    model = ScriptedModel([ModelError("connection", "refused")] * 6)

    result = await run_turn(
        turn(), model=model, tools=NO_TOOLS, session=session, journal=MemoryJournal(), jitter=lambda: 0.0
    )

    assert result.outcome == Failed(
        "The model endpoint could not be reached. Check its address and that it runs, then retry.",
        reference="turn-1/0",
        retryable=True,
    )
    assert session.slept == [0.5, 1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize(
    ("age", "pause"), [(0.0, 60.0), (1_800.0, 450.0), (7_200.0, 900.0), (90_000.0, None)]
)
async def test_an_outage_parks_a_turn_for_longer_and_longer_and_for_a_day_at_most(
    age: float, pause: float | None
) -> None:
    """Where a turn can be parked it holds nothing through the hours in which the endpoint is away."""
    session = StillSession()
    under_way = replace(turn(), under_way_since=session.clock - age)
    model = ScriptedModel([ModelError("overloaded", "503")] * 6)

    result = await run_turn(
        under_way, model=model, tools=NO_TOOLS, session=session, journal=MemoryJournal(), jitter=lambda: 0.0
    )

    if pause is None:
        assert result.outcome == Failed(
            "The model endpoint stayed overloaded. Retry later.", reference="turn-1/0", retryable=True
        )
    else:
        # The tries themselves took some seconds of that age.
        assert isinstance(result.outcome, Waiting)
        assert result.outcome.until - session.clock == pytest.approx(pause, abs=5)
        assert result.outcome.reason == (
            "The model endpoint is overloaded; it is asked again from time to time."
        )


async def test_an_answer_cut_at_the_output_limit_is_continued() -> None:
    """The model is told and goes on; after three such answers in a row the turn fails."""
    cut = replace(answer(said("The cause is")), stop="length")
    model = ScriptedModel([cut, answer(said("Done."))])
    result = await run_turn(
        turn("Go."), model=model, tools=NO_TOOLS, session=StillSession(), journal=MemoryJournal()
    )
    assert result.outcome == Completed("Done.")
    assert model.history() == [
        {"user": "Go."},
        {"assistant": "The cause is"},
        {"user": "Your answer was cut off at the output limit. Go on, in smaller pieces."},
    ]

    stuck = ScriptedModel([cut, answer(), cut])
    result = await run_turn(
        turn(), model=stuck, tools=NO_TOOLS, session=StillSession(), journal=MemoryJournal()
    )
    assert result.outcome == Failed(
        "The model gave no usable answer. Retry, or use another model.", reference="turn-1/3", retryable=True
    )


async def test_a_sandbox_that_cannot_be_had_fails_the_turn_with_its_remedy() -> None:
    """No tool runs with less confinement than the policy says."""

    async def unavailable(_call: Call) -> str:
        raise SandboxUnavailable("bubblewrap is missing.", remedy="Install it: apt install bubblewrap.")

    result = await run_turn(
        turn(),
        model=ScriptedModel([answer(called("c1", "do"))]),
        tools=by_name(Recorder("do", unavailable)),
        session=StillSession(),
        journal=MemoryJournal(),
    )

    assert result.outcome == Failed(
        "bubblewrap is missing. Install it: apt install bubblewrap.", reference="turn-1/1"
    )


async def test_a_bug_of_ours_ends_the_turn_with_a_reference(caplog: pytest.LogCaptureFixture) -> None:
    """The people get a sentence and a reference; the log has the trace under the same reference."""

    async def bug(_call: Call) -> str:
        raise KeyError("oops")

    result = await run_turn(
        turn(),
        model=ScriptedModel([answer(called("c1", "do"))]),
        tools=by_name(Recorder("do", bug)),
        session=StillSession(),
        journal=MemoryJournal(),
    )

    assert result.outcome == Failed(
        "Something went wrong inside Darner. Retry; if it happens again, tell the operator.",
        reference="turn-1/1",
        retryable=True,
    )
    assert [record.__dict__["fields"] for record in caplog.records] == [
        {"thread": "thread-1", "reference": "turn-1/1"}
    ]
    assert "KeyError: 'oops'" in caplog.text


async def test_watchers_see_a_message_grow() -> None:
    """Text is shown as it comes, under the id that the whole message then has; the journal has it once."""
    seen: list[tuple[Life, Item]] = []
    session = StillSession(show=lambda life, item: seen.append((life, item)))
    journal = MemoryJournal()

    await run_turn(
        turn(),
        model=ScriptedModel([answer(thought("r1"), said("Done."))]),
        tools=NO_TOOLS,
        session=session,
        journal=journal,
    )

    messages = [(life, item.id, item.text) for life, item in seen if isinstance(item, AgentMessage)]
    assert messages == [(Life.STARTED, "item_1", "Done."), (Life.COMPLETED, "item_1", "Done.")]
    assert sum(isinstance(entry.item, AgentMessage) for entry in journal.entries) == 1


async def test_a_rate_limit_without_an_end_parks_the_turn() -> None:
    """After eight tries nothing is held: the turn sleeps for a minute."""
    session = StillSession()
    model = ScriptedModel([ModelError("rate_limited", "429")] * 8)

    result = await run_turn(
        turn(), model=model, tools=NO_TOOLS, session=session, journal=MemoryJournal(), jitter=lambda: 1.0
    )

    assert session.slept == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0]
    assert result.outcome == Waiting("The model endpoint limits its rate.", until=session.clock + 60.0)


async def test_the_time_limit_counts_earlier_runs_but_not_the_time_between() -> None:
    """What the journal remembers of work counts; a night with a dead worker does not."""
    journal = MemoryJournal()
    session = StillSession()

    def slow(_request: ModelRequest) -> ModelResponse:
        session.clock += 40.0
        return answer(called("c1", "echo"))

    tools = by_name(Recorder("echo", echo))
    with pytest.raises(Killed):
        await run_turn(
            turn(), model=ScriptedModel([slow, Crash()]), tools=tools, session=session, journal=journal
        )
    session.clock += 50_000.0

    result = await run_turn(
        turn(limits=TurnLimits(wall_seconds=60.0)),
        model=ScriptedModel([slow, answer(said("Too late."))]),
        tools=tools,
        session=session,
        journal=journal,
    )

    assert result.outcome == Exhausted("wall_time", 60.0, "")
    assert result.seconds == 80.0
