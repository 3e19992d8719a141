"""The seams of the turn: what `run_turn` is given. Each has a real and a test implementation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from harness.budget import Allowance
from harness.items import (
    AgentMessage,
    AskKind,
    Call,
    DecisionKind,
    HistoryEntry,
    Item,
    ItemId,
    Life,
    Reasoning,
    ToolItem,
    Usage,
)


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model is told of it. The list of specs never changes within a turn."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON schema of the arguments (an object)."""
    grammar: str | None = None
    """A Lark grammar: offered as a custom (freeform) tool where the wire takes one."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    instructions: str
    tools: Sequence[ToolSpec]
    history: bytes
    """Entries as `Model.encode` made them, joined by commas: each request's is a prefix of the next one's,
    except after a compaction."""
    cache_key: str
    """The thread."""


ModelOutput = AgentMessage | Reasoning | Call
"""What a model answers with; item ids are placeholders (`""`), the loop assigns real ones."""


@dataclass(frozen=True, slots=True)
class ModelResponse:
    """A whole answer: the stream had its terminal event."""

    output: tuple[ModelOutput, ...]
    usage: Usage
    stop: Literal["completed", "length"]


class Model(Protocol):
    """One endpoint over one wire. Wires are listed in `harness.models.WIRES`."""

    @property
    def name(self) -> str: ...

    def encode(self, entry: HistoryEntry) -> bytes:
        """The entry as this wire's JSON item(s), joined by commas; empty when the wire does not carry it.

        A pure function of the entry: equal entries give equal bytes.
        """
        ...

    async def respond(self, request: ModelRequest, *, on_text: Callable[[str], None]) -> ModelResponse:
        """Ask once, without retries. Raises `ModelError`; text deltas go to `on_text` as they come."""
        ...


class ModelError(Exception):
    """The model gave no whole answer. `fault` decides what the loop does (table in `harness.retry`)."""

    def __init__(self, fault: "ModelFault", detail: str, *, retry_after: float | None = None) -> None:
        self.fault = fault
        self.detail = detail
        self.retry_after = retry_after
        super().__init__(f"{fault}: {detail}")


ModelFault = Literal[
    "rate_limited",
    "overloaded",
    "stream_cut",
    "connection",
    "server",
    "context_overflow",
    "quota",
    "refused",
    "authentication",
    "invalid_request",
    "malformed_answer",
]


class Tool(Protocol):
    """One tool of the agent. Tools are listed in `harness.tools.TOOLS`."""

    @property
    def spec(self) -> ToolSpec: ...

    @property
    def is_parallel(self) -> bool:
        """Whether calls may overlap with other parallel calls of the same answer."""
        ...

    def begin(self, call: Call, item_id: ItemId) -> ToolItem:
        """The item in progress (the intent). Raises `ArgumentsRefused`; has no effect."""
        ...

    async def run(self, item: ToolItem) -> ToolItem:
        """The item, completed or failed, with its answer. Faults of a command are answers, not errors."""
        ...


@dataclass(frozen=True, slots=True)
class Ask:
    """What must be decided by a person before a call is run; see `harness.items.ApprovalRequest`."""

    kind: AskKind
    wanted: tuple[str, ...]
    why: str
    digest: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of a request."""

    kind: DecisionKind
    by: str = ""
    words: str = ""


@runtime_checkable
class AskingTool(Tool, Protocol):
    """A tool of which some calls wait for a person."""

    def asks(self, item: ToolItem) -> Ask | None:
        """What must be decided before `item` may run; None: nothing. Has no effect."""
        ...

    async def run_decided(self, item: ToolItem, decision: Decision) -> ToolItem:
        """As `run`, of a call that a person has decided about."""
        ...


class ArgumentsRefused(Exception):
    """The call cannot be understood; the message is told to the model."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal."""

    seq: int
    life: Life
    item: Item


class Journal(Protocol):
    """The thread's append-only record; the truth about a turn."""

    async def load(self) -> Sequence[Entry]:
        """This turn's entries so far, in order (not empty when a crashed turn is resumed)."""
        ...

    async def earlier(self) -> Sequence[Entry]:
        """What the history of this turn begins with, in order: entries of earlier turns, a bounded number.

        From their last compaction on; of many turns without one the newest, behind a compaction that is in no
        journal (its reason is `outline`) and tells of the rest. The same at each call in a turn.
        """
        ...

    async def append(self, life: Life, item: Item) -> None:
        """Durable when it returns. Raises `OwnershipLost` when another worker has taken the turn over.

        May be called again before it returns (one answer's entries share a commit): the order of the calls
        is the order of the journal.
        """
        ...


class OwnershipLost(Exception):
    """Another worker owns this turn: stop at once, write nothing."""


@dataclass(frozen=True, slots=True)
class Steering:
    """What somebody says to a running turn."""

    number: int
    """Grows with every message of a turn; the journal keeps it, so that each is heard once."""
    text: str
    kind: Literal["say", "compact"] = "say"
    """For the model; or for the runtime: make the history short now."""


class Session(Protocol):
    """The world around one running turn."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None: ...

    async def steering(self, after: int) -> Sequence[Steering]:
        """Messages for the model with numbers above `after`, in order."""
        ...

    async def stop_requested(self) -> str | None:
        """Who asked the turn to stop, if someone did."""
        ...

    async def decision(self, request: str, *, is_due: bool) -> Decision | None:
        """What people have said to the request with this id; None: nothing yet.

        `is_due`: its time is up. Then there is an answer in any case: nobody's later word counts.
        """
        ...

    async def allowances(self) -> Sequence[Allowance]:
        """The budgets that hold now besides the turn's own limits; asked for before each model call."""
        ...

    async def pause_requested(self) -> str | None:
        """Who asked the turn to pause, while nobody has let it go on since."""
        ...

    async def snapshot(self) -> str | None:
        """Keep the work tree as it is, after a step that may have changed it; tell the name of what was kept.

        None where nothing is kept. Never raises: a turn goes on without.
        """
        ...

    def emit(self, life: Life, item: Item) -> None:
        """Show an item to whoever watches. Never blocks, never raises; called after the journal has it."""
        ...
