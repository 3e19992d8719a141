"""One turn: ask the model, journal, act, repeat, until it answers without a call or a limit is reached.

Never touches the network, the disk or a process itself: model, tools, session and journal are given.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar, assert_never

from harness.approvals import request_id, told_of
from harness.budget import Allowance, exhausted_by, longest_spent, strictest, turn_allowances, wrap_up
from harness.compaction import (
    LEVELS,
    OVERFLOWS,
    Draft,
    Reason,
    Room,
    compaction_of,
    draft_of,
    read,
    sizes_for,
    summary_request,
    text_of,
    weigher,
)
from harness.history import BYTES_PER_TOKEN, INTERRUPTED, History
from harness.items import (
    WITHOUT_END,
    AgentMessage,
    Answer,
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
    ToolCall,
    ToolItem,
    Turn,
    TurnResult,
    UserMessage,
    Waiting,
)
from harness.protocols import (
    ArgumentsRefused,
    Ask,
    AskingTool,
    Decision,
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
from sandbox.base import SandboxError

POLL_SECONDS: Final = 0.2
"""How often a running model call or tool is looked after: stop requests and the wall-time limit."""
UPDATE_SECONDS: Final = 0.1
"""At most one `item.updated` of a message as it is written in this time."""
AT_ONCE: Final = 8
"""Calls that overlap at most: an answer may hold hundreds."""
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


@dataclass(frozen=True, slots=True)
class _Refused:
    """Stands in for the tool of a call that cannot be run: the answer says why."""

    message: str
    is_parallel = True

    async def run(self, item: ToolItem) -> ToolItem:
        return replace(item, status=ItemStatus.FAILED, answer=Answer(self.message))


@dataclass(frozen=True, slots=True)
class _Step:
    """A call of the model, begun and journaled, about to run."""

    item: ToolItem
    tool: Tool | _Refused
    decision: Decision | None = None
    """What a person has said to it, where one was asked."""

    def ask(self) -> Ask | None:
        """What a person must decide before it may run."""
        if self.decision is None and isinstance(self.tool, AskingTool):
            return self.tool.asks(self.item)
        return None

    async def run(self) -> ToolItem:
        if self.decision is not None and isinstance(self.tool, AskingTool):
            return await self.tool.run_decided(self.item, self.decision)
        return await self.tool.run(self.item)


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
        self.fixed_tokens = len(f"{self.turn.instructions}{self.specs}") // BYTES_PER_TOKEN
        self.useless_below = 0
        """Below so many tokens a compaction gains too little: it was tried."""
        self.message_id: ItemId | None = None

    async def run(self) -> Outcome:
        try:
            await self.take_up()
            while True:
                await self.listen()
                if self.history.final_answer is not None:
                    return Completed(self.history.final_answer)
                await self.check_pause()
                await self.make_room()
                await self.ask_to_wrap_up(await self.check_limits())
                answered = await self.ask()
                await self.carry_out(await self.journal_answer(answered))
        except _TurnEnded as end:
            if not isinstance(end.outcome, Waiting):
                await self.close_request()
            await self.close_unfinished()
            return end.outcome
        except SandboxError as error:
            await self.close_request()
            await self.close_unfinished()
            return Failed(cause=str(error), reference=self.reference())

    async def take_up(self) -> None:
        """A fresh turn begins with the briefing; a resumed one with closing what nobody saw the end of."""
        await self.close_unfinished()
        if not self.history.has_request:
            await self.record(
                (Life.COMPLETED, UserMessage(id=self.history.next_id(), text=self.turn.request))
            )
        if self.history.asked is not None:
            await self.go_on_with(self.history.asked)

    async def listen(self) -> None:
        """Between two steps: a request to stop, messages that came meanwhile, an answer that fell short."""
        await self.check_stop()
        for said in await self.session.steering(self.history.heard):
            if said.kind == "compact":
                await self.compact_as_asked(said.number)
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
                if error.fault == "context_overflow" and await self.made_room_after_overflow():
                    attempt = 0
                else:
                    await self.bear(error, attempt)
            else:
                return _Answered(response, self.session.now() - asked)

    def request(self) -> ModelRequest:
        return ModelRequest(
            instructions=self.turn.instructions,
            tools=self.specs,
            history=self.history.encoded(),
            cache_key=self.turn.thread_id,
        )

    async def make_room(self) -> None:
        """Before a request: make the history short where it takes too much of the model's window."""
        tokens = self.tokens()
        last = self.history.compaction
        if last is not None and last.reason == "outline":
            # Stated once, so that the turns after this one begin with it.
            await self.compact("length")
        elif (
            (window := self.window()) is not None
            and tokens >= window * self.room.compact_at
            and tokens >= self.useless_below
            and not await self.compact("share")
        ):
            self.useless_below = tokens + window // 20

    async def compact_as_asked(self, number: int) -> None:
        """The wish counts as heard in either case."""
        if not await self.compact("asked", heard=number):
            told = "The history is short already: nothing was left out of it."
            await self.record((Life.COMPLETED, Notice(id=self.history.next_id(), text=told, heard=number)))

    async def made_room_after_overflow(self) -> bool:
        """Whether the same question may be asked again, over a shorter history."""
        if self.history.overflows >= OVERFLOWS or not await self.compact("overflow"):
            return False
        await self.check_limits()
        return True

    async def compact(self, reason: Reason, *, heard: int = 0) -> bool:
        """Put a summary in the place of the older part of the history. False when that would gain nothing."""
        if not self.history.is_settled:
            return False
        tokens = self.tokens()
        window = self.window()
        if reason == "overflow":
            window = tokens if window is None else min(window, tokens)
        sizes = sizes_for(reason, window)
        past = read(await self.journal.earlier(), await self.journal.load())
        # What did not fit once more is cut harder each time.
        hardest = LEVELS if reason == "overflow" else 1
        levels = range(min(self.history.overflows_in_a_row, hardest - 1), hardest)
        drafts = (
            draft_of(past, weigh=weigher(self.model.encode), keep=sizes.kept, level=level) for level in levels
        )
        draft = next((made for made in drafts if made is not None and made.gain >= sizes.least_gain), None)
        if draft is None:
            return False
        written = await self.summary_of(draft, tokens=sizes.record)
        compaction = compaction_of(
            draft,
            self.history.next_id(),
            written,
            reason=reason,
            model=self.model.name,
            tokens_before=tokens,
            overflowed_at=tokens if reason == "overflow" else self.overflowed_at(),
            heard=heard,
        )
        await self.record((Life.COMPLETED, compaction))
        fields = {"thread": self.turn.thread_id, "reason": reason, "by": compaction.by, "tokens": tokens}
        logger.info("turn.compacted", extra={"fields": fields})
        return True

    async def summary_of(self, draft: Draft, *, tokens: int) -> str:
        """The model's own summary; empty where it gives none, so that the turn goes on without."""
        if not draft.left_out:
            return ""
        for size in (tokens, tokens // 4):
            request = summary_request(draft, self.model.encode, tokens=size, cache_key=self.turn.thread_id)
            try:
                answered = await self.answer_to(request)
            except ModelError as error:
                if error.fault == "context_overflow":
                    continue
                return ""
            closing = ModelCall(
                id=self.history.next_id(),
                model=self.model.name,
                usage=answered.response.usage,
                seconds=answered.seconds,
                items=0,
                stop=answered.response.stop,
                purpose="summary",
            )
            await self.record((Life.COMPLETED, closing))
            return text_of(answered.response)
        return ""

    async def answer_to(self, request: ModelRequest) -> _Answered:
        """The answer to a question of the runtime's own. Raises `ModelError` where waiting would not help."""
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
                return _Answered(response, self.session.now() - asked)

    def tokens(self) -> int:
        """About how many the next request has."""
        return self.history.tokens(self.fixed_tokens)

    def window(self) -> int | None:
        """What a request may have: as it is set, or as the model was seen to take."""
        seen = self.overflowed_at()
        known = [size for size in (self.room.window, seen) if size]
        return min(known) if known else None

    def overflowed_at(self) -> int:
        last = self.history.compaction
        return last.overflowed_at if last is not None and last.model == self.model.name else 0

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

    async def journal_answer(self, answered: _Answered) -> Sequence[_Step]:
        """The whole answer, its calls as intents. It counts once the `ModelCall` is there, the last one."""
        response = answered.response
        entries: list[tuple[Life, Item]] = []
        steps: list[_Step] = []
        for output in response.output:
            match output:
                case AgentMessage():
                    message_id, self.message_id = self.message_id or self.history.next_id(), None
                    entries.append((Life.COMPLETED, replace(output, id=message_id)))
                case Reasoning():
                    entries.append((Life.COMPLETED, replace(output, id=self.history.next_id())))
                case Call():
                    step = self.begin(output, self.history.next_id(), was_cut=response.stop == "length")
                    steps.append(step)
                    entries.append((Life.STARTED, step.item))
                case _:
                    assert_never(output)
        closing = ModelCall(
            id=self.history.next_id(),
            model=self.model.name,
            usage=response.usage,
            seconds=answered.seconds,
            items=len(response.output),
            stop=response.stop,
        )
        await self.record(*entries, (Life.COMPLETED, closing))
        return steps

    def begin(self, call: Call, item_id: ItemId, *, was_cut: bool) -> _Step:
        tool = self.tools.get(call.name)
        if tool is None:
            message = f"There is no tool named {call.name!r}. The tools are: {', '.join(self.tools)}."
            return _Step(ToolCall(id=item_id, call=call), _Refused(message))
        try:
            return _Step(tool.begin(call, item_id), tool)
        except ArgumentsRefused as refusal:
            cut = " (Your answer was cut off at the output limit: make smaller calls.)" if was_cut else ""
            return _Step(ToolCall(id=item_id, call=call), _Refused(f"{refusal}{cut}"))

    async def carry_out(self, steps: Sequence[_Step]) -> None:
        """Run the calls. Before one that needs a person the turn ends as waiting, and holds the rest back."""
        asks = ((number, ask) for number, step in enumerate(steps) if (ask := step.ask()) is not None)
        number, ask = next(asks, (len(steps), None))
        for group in _groups(steps[:number]):
            await self.act(group)
        if ask is not None:
            await self.ask_people(ask, steps[number:])

    async def ask_people(self, ask: Ask, steps: Sequence[_Step]) -> None:
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
        held = tuple(self.history.held.values())
        decided = replace(asked, decision=decision.kind, by=decision.by, words=decision.words)
        await self.record((Life.COMPLETED, decided))
        steps = [replace(self.begin(item.call, item.id, was_cut=False), item=item) for item in held]
        ask = steps[0].ask() if steps else None
        # What was approved is this: a tool that would ask for something else now has no leave for it.
        if steps and (ask is None or ask.digest == asked.digest):
            steps[0] = replace(steps[0], decision=decision)
        await self.carry_out(steps)

    async def close_request(self) -> None:
        """The turn ends: nobody need decide any more."""
        if self.history.asked is not None:
            await self.record((Life.COMPLETED, replace(self.history.asked, decision="void")))

    async def act(self, group: Sequence[_Step]) -> None:
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

    async def close_unfinished(self) -> None:
        """Calls that were begun and whose end nobody saw."""
        unfinished = tuple(self.history.unfinished.values())
        interrupted = (
            replace(item, status=ItemStatus.INTERRUPTED, answer=INTERRUPTED) for item in unfinished
        )
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


def _groups(steps: Sequence[_Step]) -> Sequence[Sequence[_Step]]:
    """Neighbours that may overlap together, every other call alone, in the model's order."""
    groups: list[list[_Step]] = []
    for step in steps:
        last = groups[-1] if groups else []
        if step.tool.is_parallel and 0 < len(last) < AT_ONCE and last[0].tool.is_parallel:
            last.append(step)
        else:
            groups.append([step])
    return groups


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
