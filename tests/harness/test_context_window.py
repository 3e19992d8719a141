"""When a history is made short, and how hard: before a request, after an overflow, by a person's wish."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from harness.compaction import OVERFLOWS, Room
from harness.context_window import ContextWindow
from harness.history import History
from harness.items import (
    AgentMessage,
    Call,
    Compaction,
    Item,
    Life,
    ModelCall,
    ThreadId,
    ToolCall,
    Usage,
    UserMessage,
    UserText,
)
from harness.memory import MemoryJournal
from harness.protocols import Entry, ModelError, ModelRequest, ModelResponse
from tests.harness.scripted import ScriptedModel, answer, said

STEP_TOKENS = 100
"""Of one step: what a model says, by the estimate of three bytes a token."""


@dataclass
class Journal(MemoryJournal):
    """Counts how often it is read: a look for what could be left out reads all of it."""

    looks: int = 0

    async def load(self) -> Sequence[Entry]:
        self.looks += 1
        return await super().load()


@dataclass
class Desk:
    """One turn's history and its window; nothing is run."""

    room: Room = field(default_factory=Room)
    summaries: list[ModelResponse | ModelError] = field(default_factory=list)
    """One after the other; when they are used up, the model sums up."""
    fixed_tokens: int = 0

    def __post_init__(self) -> None:
        self.model = ScriptedModel([])
        self.journal = Journal()
        self.history = History(self.model.encode)
        self.asked: list[ModelRequest] = []
        self.window = ContextWindow(
            thread=ThreadId("t"),
            model=self.model,
            journal=self.journal,
            history=self.history,
            room=self.room,
            fixed_tokens=self.fixed_tokens,
            ask_model=self._sum_up,
            record=self._record,
        )

    async def _sum_up(self, request: ModelRequest) -> ModelResponse:
        self.asked.append(request)
        reply = self.summaries.pop(0) if self.summaries else answer(said("Summed up."))
        if isinstance(reply, ModelError):
            raise reply
        return reply

    async def _record(self, entry: tuple[Life, Item]) -> None:
        await self.journal.append(*entry)
        self.history.add(*entry)

    async def says(self, text: str, *, heard: int = 0) -> None:
        await self._record((Life.COMPLETED, UserMessage(id=self.history.next_id(), text=text, heard=heard)))

    async def steps(self, count: int, *, tokens: int = STEP_TOKENS) -> None:
        for _ in range(count):
            shape = len(self.model.encode(_text("")))
            text = "s" * (3 * tokens - shape - 1)
            await self._record((Life.COMPLETED, AgentMessage(id=self.history.next_id(), text=text)))
            call = ModelCall(id=self.history.next_id(), model="m", usage=Usage(), seconds=0.0, items=1)
            await self._record((Life.COMPLETED, call))

    @property
    def tokens(self) -> int:
        return self.history.tokens(self.fixed_tokens)

    @property
    def last(self) -> Compaction:
        assert self.history.compaction is not None
        return self.history.compaction

    @property
    def kept_steps(self) -> int:
        return sum(block.kind == "step" for block in self.last.newest)

    @property
    def request_length(self) -> int:
        """Characters of the turn's request, as the history has it now."""
        texts = (
            entry.text for block in self.last.pinned for entry in block.entries if isinstance(entry, UserText)
        )
        return max(map(len, texts))


def _text(text: str) -> UserText:
    return UserText(text)


async def test_a_share_of_the_window_makes_the_history_short_and_no_less() -> None:
    """At the share that is set, not before; the summary of what was left out is asked for once."""
    desk = Desk(Room(window=10_000, compact_at=0.5))
    await desk.says("Fix the test.")
    await desk.steps(49)
    await desk.window.make_room()
    assert desk.history.compaction is None

    await desk.steps(2)
    await desk.window.make_room()

    assert (desk.last.reason, desk.last.tokens_before >= 5_000, len(desk.asked)) == ("share", True, 1)
    assert desk.tokens < 5_000


async def test_where_nothing_can_be_left_out_it_is_tried_again_when_the_history_has_grown() -> None:
    """By a twentieth of the window: to look costs a reading of the whole journal. Nothing is cut harder."""
    desk = Desk(Room(window=6_000))
    await desk.says("x" * 15_000)
    await desk.window.make_room()
    for _ in range(2):
        await desk.steps(1)
        await desk.window.make_room()
    assert desk.journal.looks == 1

    await desk.steps(1)
    await desk.steps(1)
    await desk.window.make_room()

    assert desk.journal.looks == 2
    assert desk.history.compaction is None


async def test_a_call_without_its_answer_is_never_parted_from_it() -> None:
    """While one is open nothing is left out, whatever the size."""
    desk = Desk(Room(window=4_000))
    await desk.says("Fix the test.")
    await desk.steps(40)
    call = ToolCall(id=desk.history.next_id(), call=Call("c", "exec_command", "{}"))
    await desk.window.record((Life.STARTED, call))
    closing = ModelCall(id=desk.history.next_id(), model="m", usage=Usage(), seconds=0.0, items=1)
    await desk.window.record((Life.COMPLETED, closing))

    await desk.window.make_room()

    assert desk.history.compaction is None
    assert not await desk.window.has_made_room_after_overflow()


async def test_a_turn_makes_room_after_so_many_overflows_and_no_more() -> None:
    """However much there is to leave out by then: an endpoint that never takes it is not asked for ever."""
    desk = Desk()
    await desk.says("Fix the test.")
    made = []
    for _ in range(OVERFLOWS + 1):
        await desk.steps(60)
        made.append(await desk.window.has_made_room_after_overflow())

    assert made == [True] * OVERFLOWS + [False]
    assert OVERFLOWS == 4


async def test_what_was_too_much_counts_though_the_window_is_said_to_be_larger() -> None:
    """The newest steps get a fifth of what the endpoint refused; what it refused is remembered for it."""
    desk = Desk(Room(window=100_000))
    await desk.says("Fix the test.")
    await desk.steps(60)
    before = desk.tokens

    assert await desk.window.has_made_room_after_overflow()

    assert desk.last.overflowed_at == before
    assert desk.kept_steps == before // 5 // STEP_TOKENS
    await desk.steps(60)
    await desk.window.make_room()
    assert (desk.last.reason, desk.last.overflowed_at) == ("share", before)


async def test_a_window_that_is_smaller_than_what_was_refused_counts_still() -> None:
    desk = Desk(Room(window=3_000))
    await desk.says("Fix the test.")
    await desk.steps(60)

    assert await desk.window.has_made_room_after_overflow()

    assert desk.kept_steps <= 6
    await desk.steps(25)
    await desk.window.make_room()
    assert desk.last.reason == "share"


async def test_what_another_model_did_not_take_says_nothing_of_this_one() -> None:
    """A thread that goes on with a larger model uses its window."""
    desk = Desk()
    await desk.says("Fix the test.")
    await desk.steps(60)
    assert await desk.window.has_made_room_after_overflow()
    desk.model.name = "larger"
    await desk.steps(100)

    await desk.window.make_room()

    assert desk.last.reason == "overflow"


async def test_each_overflow_in_a_row_cuts_harder_and_an_answer_begins_anew() -> None:
    """First whole words of people and a fifth of the steps; then they are cut in their middle, twice."""
    desk = Desk()
    await desk.says("x" * 30_000)
    await desk.steps(200)
    lengths = []
    for _ in range(2):
        assert await desk.window.has_made_room_after_overflow()
        lengths.append(desk.request_length)
    assert (lengths[0], 10_000 < lengths[1] < 20_000) == (30_000, True)
    assert await desk.window.has_made_room_after_overflow()
    assert desk.request_length < 5_000
    # As hard as it gets, for as long as something can be cut.
    await desk.says("y" * 30_000, heard=1)
    assert await desk.window.has_made_room_after_overflow()

    again = Desk()
    await again.says("x" * 30_000)
    for _ in range(2):
        await again.steps(200)
        assert await again.window.has_made_room_after_overflow()
        assert again.request_length == 30_000


OVERFLOW = ModelError("context_overflow", "too long")
REFUSED = ModelError("refused", "no")


@pytest.mark.parametrize(
    ("summaries", "by", "asked"),
    [
        ([], "model", 1),
        ([OVERFLOW], "model", 2),
        ([OVERFLOW, OVERFLOW], "runtime", 2),
        ([REFUSED], "runtime", 1),
    ],
    ids=["at once", "over less", "over nothing", "refused"],
)
async def test_a_summary_is_asked_for_over_less_where_the_record_was_too_long(
    summaries: list[ModelResponse | ModelError], by: str, asked: int
) -> None:
    """Once, over a quarter; what is refused for another reason is not asked again."""
    desk = Desk(summaries=list(summaries))
    await desk.says("Fix the test.")
    await desk.steps(200)

    assert await desk.window.has_made_room_after_overflow()

    assert (desk.last.by, len(desk.asked)) == (by, asked)
    sizes = [len(request.history) for request in desk.asked]
    assert all(later < first / 2 for first, later in pairwise(sizes))


async def test_a_wish_is_heard_with_the_compaction_that_it_led_to() -> None:
    desk = Desk()
    await desk.says("Fix the test.")
    await desk.steps(200)

    await desk.window.compact_as_asked(7)

    assert (desk.last.reason, desk.last.heard, desk.history.heard) == ("asked", 7, 7)


async def test_instructions_and_tools_count_where_no_endpoint_has_counted() -> None:
    """They are in each request, and in no history."""
    desk = Desk(Room(window=10_000), fixed_tokens=6_000)
    await desk.says("Fix the test.")
    await desk.steps(40)

    await desk.window.make_room()

    assert desk.last.reason == "share"
    assert desk.last.tokens_before > 8_000
