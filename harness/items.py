"""The words of the runtime: threads, turns, items and outcomes. Imports nothing of the loop or the wires.

The names follow codex (`exec_events.rs`): every item is started, perhaps updated, and completed; what is
completed is authoritative.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Literal, NewType

from pydantic import Field, TypeAdapter

ThreadId = NewType("ThreadId", str)
TurnId = NewType("TurnId", str)
ItemId = NewType("ItemId", str)
"""`item_N`, N counting from 0 within a turn."""


class ItemStatus(StrEnum):
    IN_PROGRESS = "in_progress"
    HELD = "held"
    """Begun, and not to be run before a person gives leave to it or to a call in front of it."""
    COMPLETED = "completed"
    FAILED = "failed"
    DECLINED = "declined"
    INTERRUPTED = "interrupted"
    """Started by a worker that died: whether it had an effect is unknown."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call exactly as the model made it."""

    id: str
    name: str
    arguments: str
    """JSON for a function call, plain text for a custom (grammar) call."""
    kind: Literal["function", "custom"] = "function"


@dataclass(frozen=True, slots=True)
class Image:
    media_type: str
    base64: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came to."""

    text: str
    """What the model is shown: bounded, head and tail kept."""
    full: str | None = None
    """The whole text, when `text` is cut; only the journal keeps it."""
    image: Image | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMessage:
    """Text for the model from outside: the briefing of a turn, or a steering message."""

    id: ItemId
    text: str
    heard: int = 0
    """A steering message's number (`Steering.number`); 0 for the briefing."""
    type: Literal["user_message"] = "user_message"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMessage:
    id: ItemId
    text: str
    phase: Literal["commentary", "final_answer"] = "commentary"
    type: Literal["agent_message"] = "agent_message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoning:
    """The model's own reasoning: a readable summary, and the provider's opaque item to hand back."""

    id: ItemId
    summary: str
    wire: str
    """The provider's item as JSON (with `encrypted_content`), or empty."""
    provider: str
    """Who can read `wire`: it is sent back to this provider only."""
    type: Literal["reasoning"] = "reasoning"


@dataclass(frozen=True, slots=True)
class Program:
    """One program that a command started."""

    argv: tuple[str, ...]
    cwd: str
    exit_status: int | None = None
    seconds: float | None = None
    path: str = ""
    """The file, as it was named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandExecution:
    """`exec_command` or `write_stdin`."""

    id: ItemId
    call: Call
    command: str
    workdir: str
    status: ItemStatus = ItemStatus.IN_PROGRESS
    exit_code: int | None = None
    session_id: int | None = None
    """Set while the command still runs: the number `write_stdin` takes."""
    seconds: float | None = None
    programs: tuple[Program, ...] = ()
    """What the command started, as far as it was seen (audit)."""
    snapshot: str | None = None
    """The work tree after it, where it may have changed: see `Session.snapshot`."""
    answer: Answer | None = None
    type: Literal["command_execution"] = "command_execution"


@dataclass(frozen=True, slots=True)
class PathChange:
    path: str
    kind: Literal["add", "update", "delete"]
    moved_to: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """`apply_patch`."""

    id: ItemId
    call: Call
    changes: tuple[PathChange, ...]
    status: ItemStatus = ItemStatus.IN_PROGRESS
    snapshot: str | None = None
    """The work tree after it: see `Session.snapshot`."""
    answer: Answer | None = None
    type: Literal["file_change"] = "file_change"


@dataclass(frozen=True, slots=True)
class PlanStep:
    step: str
    status: Literal["pending", "in_progress", "completed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanUpdate:
    """`update_plan`."""

    id: ItemId
    call: Call
    plan: tuple[PlanStep, ...]
    explanation: str = ""
    status: ItemStatus = ItemStatus.IN_PROGRESS
    answer: Answer | None = None
    type: Literal["plan_update"] = "plan_update"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """Any other tool, and every call that could not be understood (its answer tells the model why)."""

    id: ItemId
    call: Call
    status: ItemStatus = ItemStatus.IN_PROGRESS
    answer: Answer | None = None
    type: Literal["tool_call"] = "tool_call"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the endpoint counted them; zero where it told nothing."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.output_tokens + other.output_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One answered request: what it cost. Journaled after its answer, which counts only from here on.

    An answer that a crash cut off before this entry was never acted upon: the fold leaves it out.
    """

    id: ItemId
    model: str
    usage: Usage
    seconds: float
    items: int | None = None
    """How many entries right before this one are the answer; None: all since the last answer or message."""
    stop: Literal["completed", "length"] = "completed"
    purpose: Literal["answer", "summary"] = "answer"
    """A summary is the runtime's own question: it is paid for, and no step of the turn."""
    type: Literal["model_call"] = "model_call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something the runtime tells: a retry, a limit, an interruption. Shown to the model when `to_model`."""

    id: ItemId
    text: str
    to_model: bool = False
    heard: int = 0
    """The message (`Steering.number`) that this answers; 0: none."""
    about: Literal["", "budget"] = ""
    """`budget`: the agent was asked to wrap up, which is said once a turn."""
    type: Literal["notice"] = "notice"


ToolItem = CommandExecution | FileChange | PlanUpdate | ToolCall
"""An item that answers a call: started is the intent, completed the outcome."""

# What the model sees: the history is the fold of the journal into these, in order. It only ever grows, until
# a compaction puts a shorter one in its place.


@dataclass(frozen=True, slots=True)
class UserText:
    text: str
    type: Literal["user_text"] = "user_text"


@dataclass(frozen=True, slots=True)
class AssistantText:
    text: str
    type: Literal["assistant_text"] = "assistant_text"


@dataclass(frozen=True, slots=True)
class ReasoningTrace:
    wire: str
    provider: str
    type: Literal["reasoning_trace"] = "reasoning_trace"


@dataclass(frozen=True, slots=True)
class CallMade:
    call: Call
    type: Literal["call_made"] = "call_made"


@dataclass(frozen=True, slots=True)
class CallAnswered:
    call: Call
    answer: Answer
    type: Literal["call_answered"] = "call_answered"


HistoryEntry = UserText | AssistantText | ReasoningTrace | CallMade | CallAnswered


@dataclass(frozen=True, slots=True)
class Block:
    """Entries that stay or go together: a call and its answer are never parted."""

    kind: Literal["request", "steering", "notice", "step", "summary"]
    """A turn's first message; what was said to it since, by people and by the runtime; one whole answer of
    the model with what its calls came to; what stands for blocks that are left out."""
    entries: tuple[Annotated[HistoryEntry, Field(discriminator="type")], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """From here on the history is `pinned`, `summary`, `newest`, whatever was before: it is stated whole."""

    id: ItemId
    reason: Literal["share", "overflow", "asked", "length", "outline"]
    """A share of the window is reached; the endpoint took no more; a person's wish; too many turns before
    this one to be read. `outline` is in no journal: it stands for the turns that were not read."""
    summary: str
    """What stands for all that is left out, as the model is told it."""
    by: Literal["model", "runtime"]
    """Who wrote it: the runtime's is a mere list of what was done."""
    pinned: tuple[Block, ...] = ()
    """What was asked in this turn and lies before the newest."""
    newest: tuple[Block, ...] = ()
    plan: tuple[PlanStep, ...] = ()
    """As it stands."""
    files: tuple[str, ...] = ()
    """Changed by patches that are left out."""
    left_out: int = 0
    """How many blocks."""
    tokens_before: int = 0
    """About as many as the next request would have had."""
    model: str = ""
    overflowed_at: int = 0
    """About so many tokens were more than `model` takes; 0: not known."""
    heard: int = 0
    """The message that asked for it (`Steering.number`)."""
    type: Literal["compaction"] = "compaction"


AskKind = Literal["command", "network", "paths", "question"]
"""What a running turn asks of people: leave for a command, for hosts, for protected paths; an answer."""

DecisionKind = Literal["approved", "denied", "answered", "expired", "void"]
"""`expired`: nobody answered in time. `void`: what was asked about is no more (the head moved, a stop)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """Something that only a person can decide. Started: it is asked; completed: it is decided.

    While it is open the turn is parked, and the calls that it holds have not been run.
    """

    id: ItemId
    for_item: ItemId
    """The call that asks."""
    kind: AskKind
    wanted: tuple[str, ...]
    """Exactly what is asked for: the command; the hosts; the paths; the question and its options."""
    place: str = ""
    """Of a command: the directory that it would run in."""
    why: str
    """The rule's words, or the agent's: then untrusted text."""
    digest: str
    """Of what is asked: an answer is to this and to nothing else."""
    until: float
    """Seconds since the epoch."""
    held: tuple[ItemId, ...]
    """The calls of that answer that wait, in the model's order; the asking one is the first."""
    decision: DecisionKind | None = None
    by: str = ""
    words: str = ""
    """What the person said with it: why not, or the answer."""
    type: Literal["approval_request"] = "approval_request"


Item = UserMessage | AgentMessage | Reasoning | ToolItem | ModelCall | Notice | Compaction | ApprovalRequest
ItemAdapter: Final[TypeAdapter[Item]] = TypeAdapter(Annotated[Item, Field(discriminator="type")])


class Life(StrEnum):
    STARTED = "started"
    UPDATED = "updated"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """A turn that reaches one of these ends with what it has (`Exhausted`)."""

    steps: int = 200
    """Model requests."""
    tokens: int = 4_000_000
    """Input and output together, over all requests."""
    wall_seconds: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One execution in a thread, as it was asked for. Never changes while it runs."""

    id: TurnId
    thread_id: ThreadId
    instructions: str
    """The fixed part of what the model is told: who it is and how to work."""
    request: str
    """The briefing: the turn's first user message."""
    limits: TurnLimits = TurnLimits()
    approval_seconds: float = 72 * 3600.0
    """How long people have to answer what it asks of them."""
    under_way_since: float | None = None
    """When it was begun, if it can be parked through an outage of the model endpoint; None: it fails then."""


@dataclass(frozen=True, slots=True)
class Completed:
    message: str
    """The final answer, as the model wrote it: untrusted text."""
    status: Literal["completed"] = "completed"


@dataclass(frozen=True, slots=True)
class Declined:
    """The model would not do it."""

    reason: str
    status: Literal["declined"] = "declined"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Parked until `until` (seconds since the epoch): nothing is held meanwhile."""

    reason: str
    until: float
    request: ItemId | None = None
    """The `ApprovalRequest` whose answer is waited for."""
    status: Literal["waiting"] = "waiting"


WITHOUT_END: Final = 253_402_300_799.0
"""The `until` of a turn that waits for somebody's word only: the end of the year 9999."""


@dataclass(frozen=True, slots=True)
class Stopped:
    by: str
    status: Literal["stopped"] = "stopped"


BudgetScope = Literal["turn", "thread", "repository", "actor", "day"]
"""What a budget is for: the first two as a whole, the others for a day (in UTC); `day`: the whole server."""
BudgetUnit = Literal["steps", "tokens", "money", "wall_time"]


@dataclass(frozen=True, slots=True)
class Exhausted:
    limit: BudgetUnit
    allowed: float
    """Money in micros, time in seconds."""
    message: str
    """The last thing the agent said, perhaps empty."""
    scope: BudgetScope = "turn"
    currency: str = ""
    """Of money."""
    frees_at: float | None = None
    """When it is counted anew, in seconds since the epoch; None: never."""
    is_raisable: bool = False
    """Whether people may raise it themselves, with `budget`."""
    status: Literal["exhausted"] = "exhausted"


@dataclass(frozen=True, slots=True)
class Failed:
    cause: str
    """For people: what happened and what to do next. Never holds a secret."""
    reference: str
    """Finds the log line."""
    retryable: bool = False
    status: Literal["failed"] = "failed"


Outcome = Completed | Declined | Waiting | Stopped | Exhausted | Failed
OutcomeAdapter: Final[TypeAdapter[Outcome]] = TypeAdapter(Annotated[Outcome, Field(discriminator="status")])


@dataclass(frozen=True, slots=True)
class TurnResult:
    outcome: Outcome
    usage: Usage
    steps: int
    seconds: float
