"""One turn: ask the model, journal, act, repeat, until it answers without a call or a limit is reached.

Never touches the network, the disk or a process itself: model, tools, session and journal are given.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeVar, assert_never

from harness.approvals import request_id, told_of
from harness.budget import Allowance, exhausted_by, longest_spent, strictest, turn_allowances, wrap_up
from harness.compaction import Room
from harness.context_window import ContextWindow
from harness.history import BYTES_PER_TOKEN, INTERRUPTED, History
from harness.items import (
    WITHOUT_END,
    AgentMessage,
    ApprovalRequest,
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
    Outcome,
    Reasoning,
    Stopped,
    ToolItem,
    Turn,
    TurnResult,
    UserMessage,
    Waiting,
)
from harness.protocols import (
    Ask,
    Journal,
    Model,
    ModelError,
    ModelRequest,
    ModelResponse,
    OwnershipLost,
    Session,
    Tool,
)
from harness.retry import Pause, after_fault
from harness.steps import Step, begin, groups
from sandbox.base import SandboxError

POLL_SECONDS: Final = 0.2
"""How often a running model call or tool is looked after: stop requests and the wall-time limit."""
UPDATE_SECONDS: Final = 0.1
"""At most one `item.updated` of a message as it is written in this time."""
SHORTFALLS: Final = 3
"""Answers in a row without a whole message or a call; then the turn fails."""
TOLD: Final = {
    "cut": "Your answer was cut off at the output limit. Go on, in smaller pieces.",
    "empty": "Your answer was empty. Go on with the task, or end with a final message.",
}

ANY_ROOM: Final = Room()

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


async def run_turn(
    turn: Turn,
    *,
    model: Model,
    tools: Mapping[str, Tool],
    session: Session,
    journal: Journal,
    room: Room = ANY_ROOM,
    jitter: Callable[[], float] = random.random,
) -> TurnResult:
    """Run `turn`, or carry it on where its journal ends: what is finished is never run again.

    Raises `OwnershipLost` when another worker has the turn, having written nothing more. A cancellation
    ends what runs and passes on, and so does a journal that cannot be read. All else is an outcome.

    The wall-time limit counts this run and the model calls and commands of earlier runs, but not the time
    that the turn was parked or its worker was dead.
    """
    begun = session.now()
    history = History(model.encode, earlier=await journal.earlier())
    for entry in await journal.load():
        history.add(entry.life, entry.item)
    running = _RunningTurn(
        turn, model, tools, session, journal, history, room, jitter, begun - history.worked_seconds
    )
    try:
        outcome = await running.run()
    except OwnershipLost:
        raise
    except Exception:  # The turn border: whatever it is, the people who asked get an answer.
        reference = running.reference()
        logger.exception("turn.crashed", extra={"fields": {"thread": turn.thread_id, "reference": reference}})
        outcome = Failed(
            cause="Something went wrong inside Darner. Retry; if it happens again, tell the operator.",
            reference=reference,
            retryable=True,
        )
    return TurnResult(outcome, history.usage, history.steps, running.elapsed())


class _TurnEnded(Exception):
    """Ends the turn from wherever it is noticed."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(outcome.status)


@dataclass(frozen=True, slots=True)
class _Answered:
    response: ModelResponse
    seconds: float


@dataclass
class _RunningTurn:
    turn: Turn
    model: Model
    tools: Mapping[str, Tool]
    session: Session
    journal: Journal
    history: History
    room: Room
    jitter: Callable[[], float]
    started: float

    def __post_init__(self) -> None:
        self.specs = tuple(tool.spec for tool in self.tools.values())
        self.window = ContextWindow(
            thread=self.turn.thread_id,
            model=self.model,
            journal=self.journal,
            history=self.history,
            room=self.room,
            fixed_tokens=len(f"{self.turn.instructions}{self.specs}") // BYTES_PER_TOKEN,
            ask_model=self.summary,
            record=self.record,
        )
        self.message_id: ItemId | None = None

    async def run(self) -> Outcome:
        try:
            await self.take_up()
            while True:
                await self.listen()
                if self.history.final_answer is not None:
                    return Completed(self.history.final_answer)
                await self.check_pause()
                await self.window.make_room()
                await self.ask_to_wrap_up(await self.check_limits())
                answered = await self.ask()
                await self.carry_out(await self.journal_answer(answered))
        except _TurnEnded as end:
            if not isinstance(end.outcome, Waiting):
                await self.close_request()
            await self.close(self.history.unfinished, self.history.unasked)
            return end.outcome
        except SandboxError as error:
            await self.close_request()
            await self.close(self.history.unfinished, self.history.unasked)
            return Failed(cause=str(error), reference=self.reference())

    async def take_up(self) -> None:
        """A fresh turn begins with the briefing; a resumed one with closing what nobody saw the end of."""
        await self.close(self.history.unfinished)
        if not self.history.has_request:
            await self.record(
                (Life.COMPLETED, UserMessage(id=self.history.next_id(), text=self.turn.request))
            )
        if self.history.asked is not None:
            await self.go_on_with(self.history.asked)
        elif self.history.unasked:
            await self.check_stop()
            await self.carry_out(self.begun_again(self.history.unasked))

    async def listen(self) -> None:
        """Between two steps: a request to stop, messages that came meanwhile, an answer that fell short."""
        await self.check_stop()
        for said in await self.session.steering(self.history.heard):
            if said.kind == "compact":
                await self.window.compact_as_asked(said.number)
                continue
            message = UserMessage(id=self.history.next_id(), text=said.text, heard=said.number)
            await self.record((Life.COMPLETED, message))
        if self.history.shortfall is None:
            return
        if self.history.shortfalls >= SHORTFALLS:
            raise _TurnEnded(
                Failed(
                    "The model gave no usable answer. Retry, or use another model.",
                    self.reference(),
                    retryable=True,
                )
            )
        told = TOLD[self.history.shortfall]
        await self.record((Life.COMPLETED, Notice(id=self.history.next_id(), text=told, to_model=True)))

    async def check_limits(self) -> Sequence[Allowance]:
        """Before each request: ends the turn when any budget is spent; tells how much of each is used."""
        own = turn_allowances(self.turn.limits, self.history.steps, self.history.usage, self.elapsed())
        allowances = (*own, *await self.session.allowances())
        if (spent := longest_spent(allowances)) is not None:
            raise _TurnEnded(exhausted_by(spent, self.history.last_message))
        return allowances

    async def ask_to_wrap_up(self, allowances: Sequence[Allowance]) -> None:
        """Once a turn, when a budget is nearly spent."""
        nearest = strictest(allowances)
        if nearest is None or not nearest.is_nearly_spent or self.history.was_warned:
            return
        notice = Notice(id=self.history.next_id(), text=wrap_up(nearest), to_model=True, about="budget")
        await self.record((Life.COMPLETED, notice))

    def check_time(self) -> None:
        allowed = self.turn.limits.wall_seconds
        if self.elapsed() >= allowed:
            raise _TurnEnded(Exhausted("wall_time", allowed, self.history.last_message))

    async def check_stop(self) -> None:
        if (by := await self.session.stop_requested()) is not None:
            raise _TurnEnded(Stopped(by))

    async def check_pause(self) -> None:
        """Between two steps only: nothing is cut off, and nothing is held meanwhile."""
        if (by := await self.session.pause_requested()) is not None:
            raise _TurnEnded(Waiting(f"Paused by {by}.", WITHOUT_END))

    async def ask(self) -> _Answered:
        """The model's next answer; faults go by the table in `harness.retry`."""
        attempt = 0
        while True:
            attempt += 1
            asked = self.session.now()
            try:
                response = await self.watched(self.model.respond(self.request(), on_text=self.shown_text()))
            except ModelError as error:
                if error.fault != "context_overflow" or not await self.window.has_made_room_after_overflow():
                    await self.bear(error, attempt)
                    continue
                await self.check_limits()
                attempt = 0
            else:
                return _Answered(response, self.session.now() - asked)

    def request(self) -> ModelRequest:
        return ModelRequest(
            instructions=self.turn.instructions,
            tools=self.specs,
            history=self.history.encoded(),
            cache_key=self.turn.thread_id,
        )

    async def summary(self, request: ModelRequest) -> ModelResponse:
        """The answer to the question for a summary, journaled as paid for.

        Raises `ModelError` where waiting would not help: the turn goes on without.
        """
        attempt = 0
        while True:
            attempt += 1
            await self.check_limits()
            asked = self.session.now()
            try:
                response = await self.watched(self.model.respond(request, on_text=_to_nobody))
            except ModelError as error:
                try:
                    await self.bear(error, attempt)
                except _TurnEnded as end:
                    if isinstance(end.outcome, Failed | Declined):
                        raise error from None
                    raise
            else:
                closing = self.closing(_Answered(response, self.session.now() - asked), purpose="summary")
                await self.record((Life.COMPLETED, closing))
                return response

    async def bear(self, error: ModelError, attempt: int) -> None:
        fields = {"thread": self.turn.thread_id, "fault": error.fault, "attempt": attempt}
        logger.warning("model.fault", extra={"fields": fields})
        now, since = self.session.now(), self.turn.under_way_since
        next_move = after_fault(
            error,
            attempt=attempt,
            now=now,
            jitter=self.jitter(),
            reference=self.reference(),
            age=None if since is None else now - since,
        )
        if not isinstance(next_move, Pause):
            raise _TurnEnded(next_move)
        await self.record((Life.COMPLETED, Notice(id=self.history.next_id(), text=next_move.told)))
        await self.watched(self.session.sleep(next_move.seconds))

    def shown_text(self) -> Callable[[str], None]:
        """Shows the message as it is written: only to whoever watches, the journal takes it when whole."""
        parts: list[str] = []
        shown_at = 0.0

        def on_text(delta: str) -> None:
            nonlocal shown_at
            parts.append(delta)
            now = self.session.now()
            if now - shown_at < UPDATE_SECONDS:
                return
            shown_at = now
            life = Life.STARTED if self.message_id is None else Life.UPDATED
            self.message_id = self.message_id or self.history.next_id()
            self.session.emit(life, AgentMessage(id=self.message_id, text="".join(parts)))

        return on_text

    async def journal_answer(self, answered: _Answered) -> Sequence[Step]:
        """The whole answer, its calls as intents. It counts once the `ModelCall` is there, the last one."""
        response = answered.response
        entries: list[tuple[Life, Item]] = []
        steps: list[Step] = []
        for output in response.output:
            match output:
                case AgentMessage():
                    message_id, self.message_id = self.message_id or self.history.next_id(), None
                    entries.append((Life.COMPLETED, replace(output, id=message_id)))
                case Reasoning():
                    entries.append((Life.COMPLETED, replace(output, id=self.history.next_id())))
                case Call():
                    step = begin(
                        self.tools, output, self.history.next_id(), was_cut=response.stop == "length"
                    )
                    is_behind = bool(steps) and steps[-1].item.status is ItemStatus.HELD
                    step = step.held() if is_behind or step.ask() is not None else step
                    steps.append(step)
                    entries.append((Life.STARTED, step.item))
                case _:
                    assert_never(output)
        await self.record(*entries, (Life.COMPLETED, self.closing(answered)))
        return steps

    def closing(self, answered: _Answered, *, purpose: Literal["answer", "summary"] = "answer") -> ModelCall:
        """What the request cost: the last entry of its answer. A summary is told by its compaction alone."""
        return ModelCall(
            id=self.history.next_id(),
            model=self.model.name,
            usage=answered.response.usage,
            seconds=answered.seconds,
            items=len(answered.response.output) if purpose == "answer" else 0,
            stop=answered.response.stop,
            purpose=purpose,
        )

    async def carry_out(self, steps: Sequence[Step]) -> None:
        """Run the calls. Before one that needs a person the turn ends as waiting, and holds the rest back."""
        asks = ((number, ask) for number, step in enumerate(steps) if (ask := step.ask()) is not None)
        number, ask = next(asks, (len(steps), None))
        for group in groups(steps[:number]):
            await self.act(group)
        if ask is not None:
            await self.ask_people(ask, steps[number:])

    async def ask_people(self, ask: Ask, steps: Sequence[Step]) -> None:
        asked = ApprovalRequest(
            id=self.history.next_id(),
            for_item=steps[0].item.id,
            kind=ask.kind,
            wanted=ask.wanted,
            place=ask.place,
            why=ask.why,
            digest=ask.digest,
            until=self.session.now() + self.turn.approval_seconds,
            held=tuple(step.item.id for step in steps),
        )
        await self.record((Life.STARTED, asked))
        raise self.waiting_for(asked)

    def waiting_for(self, asked: ApprovalRequest) -> _TurnEnded:
        return _TurnEnded(Waiting(told_of(self.turn.id, asked), until=asked.until, request=asked.id))

    async def go_on_with(self, asked: ApprovalRequest) -> None:
        """A turn that was parked with a request: decided, or still to wait for.

        The decision is journaled before the held calls are run: a crash from there on closes them as cut off,
        and what was approved is run once at most.
        """
        await self.check_stop()
        is_due = self.session.now() >= asked.until
        decision = await self.session.decision(request_id(self.turn.id, asked.id), is_due=is_due)
        if decision is None:
            raise self.waiting_for(asked)
        steps = self.begun_again(self.history.held)
        decided = replace(asked, decision=decision.kind, by=decision.by, words=decision.words)
        await self.record((Life.COMPLETED, decided))
        ask = steps[0].ask() if steps else None
        # What was approved is this: a tool that would ask for something else now has no leave for it.
        if steps and (ask is None or ask.digest == asked.digest):
            steps[0] = replace(steps[0], decision=decision)
        await self.carry_out(steps)

    def begun_again(self, held: Mapping[ItemId, ToolItem]) -> list[Step]:
        """Calls that are in the journal, and that nobody has run."""
        return [
            replace(begin(self.tools, item.call, item.id), item=replace(item, status=ItemStatus.IN_PROGRESS))
            for item in held.values()
        ]

    async def close_request(self) -> None:
        """The turn ends: nobody need decide any more."""
        if self.history.asked is not None:
            await self.record((Life.COMPLETED, replace(self.history.asked, decision="void")))

    async def act(self, group: Sequence[Step]) -> None:
        """Run the calls of `group` at once; journal their outcomes in the order of the calls."""
        tasks = [asyncio.create_task(step.run()) for step in group]
        try:
            for task in tasks:
                item = await self.look_after(task)
                if isinstance(item, CommandExecution | FileChange):
                    item = replace(item, snapshot=await self.session.snapshot())
                await self.record((Life.COMPLETED, item))
        finally:
            await _cancelled(tasks)

    async def close(self, *calls: Mapping[ItemId, ToolItem]) -> None:
        """Those whose end nobody saw, or nobody will see."""
        interrupted = [
            replace(item, status=ItemStatus.INTERRUPTED, answer=INTERRUPTED)
            for some in calls
            for item in some.values()
        ]
        await self.record(*((Life.COMPLETED, item) for item in interrupted))

    async def record(self, *entries: tuple[Life, Item]) -> None:
        """Journal first, then fold, then show. Several entries are begun at once, to share a commit."""
        appending = (self.journal.append(life, item) for life, item in entries)
        for failure in await asyncio.gather(*appending, return_exceptions=True):
            if failure is not None:
                raise failure
        for life, item in entries:
            self.history.add(life, item)
            self.session.emit(life, item)

    async def watched(self, work: Coroutine[Any, Any, Result]) -> Result:
        task = asyncio.create_task(work)
        try:
            return await self.look_after(task)
        finally:
            await _cancelled([task])

    async def look_after(self, task: asyncio.Task[Result]) -> Result:
        """The task's result, unless somebody asks to stop or the wall time is up before it is there."""
        while not (await asyncio.wait({task}, timeout=POLL_SECONDS))[0]:
            await self.check_stop()
            self.check_time()
        return task.result()

    def elapsed(self) -> float:
        return self.session.now() - self.started

    def reference(self) -> str:
        return f"{self.turn.id}/{self.history.steps}"


def _to_nobody(delta: str) -> None:
    """What is written for the runtime is shown to nobody."""


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Each task over: cancelled once where it still ran, and its clean-up waited for."""
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # Seen: the first failure is what the turn ends with.
