"""The fold of a thread's journal: what the model is sent, byte for byte, and where the turn stands. No I/O.

Only ever appended to, so that the history of each request is a prefix of the next one's and prompt caches
hold; each entry is encoded once. A compaction starts it anew, from what the compaction states. A turn read
back from its journal folds to the bytes of the running one.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, assert_never

from harness.items import (
    AgentMessage,
    Answer,
    ApprovalRequest,
    AssistantText,
    CallAnswered,
    CallMade,
    CommandExecution,
    Compaction,
    FileChange,
    HistoryEntry,
    Item,
    ItemId,
    ItemStatus,
    Life,
    ModelCall,
    Notice,
    PlanUpdate,
    Reasoning,
    ReasoningTrace,
    ToolCall,
    ToolItem,
    Usage,
    UserMessage,
    UserText,
)
from harness.protocols import Entry

INTERRUPTED: Final = Answer(
    "Interrupted: the outcome of this call is unknown, it may have run in part. "
    "Commands that were running are gone. Look at the workspace before repeating it."
)
"""What a call is answered with whose outcome nobody saw."""

BYTES_PER_TOKEN: Final = 3
"""Of JSON, for an estimate that is rather too high: codex takes 4 of text."""
IMAGE_TOKENS: Final = 2_000
"""Endpoints count an image by its pixels, not by its bytes; about what a large one costs."""


def weight_of(entry: HistoryEntry, encoded: bytes) -> int:
    """How much of a request `entry` is, in bytes of text."""
    if isinstance(entry, CallAnswered) and entry.answer.image is not None:
        return len(encoded) - len(entry.answer.image.base64) + IMAGE_TOKENS * BYTES_PER_TOKEN
    return len(encoded)


def entries_of(compaction: Compaction) -> Iterator[HistoryEntry]:
    """The history that `compaction` states."""
    for block in compaction.pinned:
        yield from block.entries
    yield UserText(compaction.summary)
    for block in compaction.newest:
        yield from block.entries


class History:
    """The accumulator of the fold. One owner: the running turn."""

    def __init__(self, encode: Callable[[HistoryEntry], bytes], *, earlier: Sequence[Entry] = ()) -> None:
        self._encode = encode
        self._encoded = bytearray()
        self._answer: list[Reasoning | AgentMessage | ToolItem] = []
        self._open: dict[ItemId, ToolItem] = {}
        self._weight = 0
        self._counted: tuple[int, int] | None = None
        """Tokens by the endpoint's own count, and the weight of what it counted."""
        self.compaction: Compaction | None = None
        """The last one, of this turn or an earlier one."""
        self._start_turn()
        for entry in earlier:
            self.add(entry.life, entry.item)
        self.begin_turn()

    def begin_turn(self) -> None:
        """What was folded in until now belongs to earlier turns."""
        self._close_open_calls()
        self._start_turn()

    def _start_turn(self) -> None:
        self._answer.clear()
        self.has_request = False
        """Whether the turn's first message is in the journal."""
        self.unfinished: dict[ItemId, ToolItem] = {}
        """Calls of this turn that were begun and have no outcome in the journal."""
        self.asked: ApprovalRequest | None = None
        """What a person must decide before the turn can go on."""
        self.unasked: dict[ItemId, ToolItem] = {}
        """Calls that nobody was asked about yet: begun as held back, not run, and so not unfinished."""
        self.held: dict[ItemId, ToolItem] = {}
        """Calls that wait for that decision: begun, not run, and so not unfinished."""
        self.usage = Usage()
        self.steps = 0
        self.worked_seconds = 0.0
        """Time in model calls and commands, as journaled: parked and dead time does not count."""
        self.last_message = ""
        self.final_answer: str | None = None
        """Set while the last thing in the history is a whole answer that makes no calls."""
        self.shortfall: Literal["cut", "empty"] | None = None
        """Set while the last answer was neither a whole message nor a call."""
        self.shortfalls = 0
        """How many answers in a row fell short."""
        self.was_warned = False
        """Whether the agent was asked to wrap up, because a budget is nearly spent."""
        self.heard = 0
        """The number of the last steering message that is in the journal."""
        self.overflows = 0
        """Compactions of this turn because the endpoint took no more."""
        self.overflows_in_a_row = 0
        """Those since the last answer."""
        self._next_number = 0

    def encoded(self) -> bytes:
        """Everything the model has said and was told."""
        return bytes(self._encoded)

    def tokens(self, fixed: int) -> int:
        """About how many the next request has: as the endpoint counted the last one, the rest estimated.

        `fixed`: an estimate for instructions and tools, where no endpoint has counted yet.
        """
        tokens, weight = self._counted or (fixed, 0)
        return tokens + (self._weight - weight) // BYTES_PER_TOKEN

    @property
    def is_settled(self) -> bool:
        """Whether every call has its answer."""
        return not self._open and not self.unfinished and not self.unasked

    def next_id(self) -> ItemId:
        """An id that no item of this turn has."""
        self._next_number += 1
        return ItemId(f"item_{self._next_number - 1}")

    def add(self, life: Life, item: Item) -> None:
        """Fold in one journal entry."""
        self._next_number = max(self._next_number, _number(item.id) + 1)
        match item:
            case UserMessage(text=text, heard=heard):
                self.has_request = True
                self.heard = max(self.heard, heard)
                self._tell(text)
            case Notice(text=text, to_model=to_model, heard=heard, about=about):
                self.heard = max(self.heard, heard)
                self.was_warned = self.was_warned or about == "budget"
                if to_model:
                    self._tell(text)
            case Reasoning() | AgentMessage():
                if life is Life.COMPLETED:
                    self._answer.append(item)
            case CommandExecution() | FileChange() | PlanUpdate() | ToolCall():
                self._add_call(life, item)
            case ModelCall(purpose="summary"):
                self.usage += item.usage
                self.worked_seconds += item.seconds
            case ModelCall():
                self._add_answer(item)
            case Compaction():
                self._start_anew(item)
            case ApprovalRequest():
                self._add_request(life, item)
            case _:
                assert_never(item)

    def _start_anew(self, compaction: Compaction) -> None:
        self._answer.clear()
        self._open.clear()
        self._encoded.clear()
        self._weight, self._counted = 0, None
        for entry in entries_of(compaction):
            self._append(entry)
        self.heard = max(self.heard, compaction.heard)
        self.compaction = compaction
        if compaction.reason == "overflow":
            self.overflows += 1
            self.overflows_in_a_row += 1

    def _tell(self, text: str) -> None:
        self._answer.clear()
        self._close_open_calls()
        self._append(UserText(text))
        self.final_answer = None
        self.shortfall = None

    def _add_call(self, life: Life, item: ToolItem) -> None:
        match life:
            case Life.STARTED:
                self._answer.append(item)
                self.unfinished[item.id] = item
            case Life.UPDATED:
                pass
            case Life.COMPLETED:
                self.unfinished.pop(item.id, None)
                self.unasked.pop(item.id, None)
                if isinstance(item, CommandExecution):
                    self.worked_seconds += item.seconds or 0.0
                if self._open.pop(item.id, None) is not None:
                    self._append(CallAnswered(item.call, item.answer or INTERRUPTED))
            case _:
                assert_never(life)

    def _add_request(self, life: Life, item: ApprovalRequest) -> None:
        """Open: its calls wait, and no crash has cut them off. Decided: they are run, or were cut off."""
        if life is Life.STARTED:
            self.asked = item
            begun = self.unfinished | self.unasked
            self.held = {held: begun[held] for held in item.held if held in begun}
            for held in self.held:
                self.unfinished.pop(held, None)
                self.unasked.pop(held, None)
        else:
            self.asked = None
            self.unfinished |= self.held
            self.held = {}

    def _add_answer(self, closing: ModelCall) -> None:
        """The answer counts: what stands before it in the journal goes to the history."""
        self._close_open_calls()
        count = len(self._answer) if closing.items is None else closing.items
        answer = self._answer[len(self._answer) - count :]
        self._answer.clear()
        messages: list[AgentMessage] = []
        for item in answer:
            match item:
                case Reasoning(wire=wire, provider=provider):
                    self._append(ReasoningTrace(wire, provider))
                case AgentMessage(text=text):
                    self._append(AssistantText(text))
                    messages.append(item)
                case _:
                    self._append(CallMade(item.call))
                    self._open[item.id] = item
                    if item.status is ItemStatus.HELD and item.id in self.unfinished:
                        self.unasked[item.id] = self.unfinished.pop(item.id)
        self.steps += 1
        self.usage += closing.usage
        self.worked_seconds += closing.seconds
        self.overflows_in_a_row = 0
        if closing.usage.input_tokens:
            self._counted = closing.usage.total_tokens, self._weight
        self._judge(closing, messages)

    def _judge(self, closing: ModelCall, messages: Sequence[AgentMessage]) -> None:
        finals = [message.text for message in messages if message.phase == "final_answer"]
        said = "\n\n".join(finals or [message.text for message in messages[-1:]])
        self.last_message = said or self.last_message
        self.final_answer = self.shortfall = None
        if self._open:
            self.shortfalls = 0
        elif closing.stop == "length":
            self.shortfall = "cut"
        elif said.strip():
            self.final_answer = said
        else:
            self.shortfall = "empty"
        self.shortfalls += self.shortfall is not None

    def _close_open_calls(self) -> None:
        for item in self._open.values():
            self._append(CallAnswered(item.call, INTERRUPTED))
        self._open.clear()

    def _append(self, entry: HistoryEntry) -> None:
        encoded = self._encode(entry)
        if not encoded:
            return
        if self._encoded:
            self._encoded += b","
        self._encoded += encoded
        self._weight += weight_of(entry, encoded)


def _number(item_id: ItemId) -> int:
    number = item_id.removeprefix("item_")
    return int(number) if number.isdecimal() else -1
