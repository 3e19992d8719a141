"""Shows a local turn: for people on standard error, for programs one JSON event a line. Decides nothing."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, assert_never

from harness.events import Event, item_event, line, thread_started, told, turn_ended, turn_started
from harness.items import (
    AgentMessage,
    ApprovalRequest,
    CommandExecution,
    Compaction,
    Completed,
    FileChange,
    Item,
    ItemId,
    ItemStatus,
    Life,
    ModelCall,
    Notice,
    PathChange,
    PlanUpdate,
    Reasoning,
    ThreadId,
    ToolCall,
    TurnId,
    TurnResult,
    UserMessage,
    Waiting,
)
from harness.output import printed_part, readable
from sandbox.checkout.local import ChangedFile

if TYPE_CHECKING:
    from rich.console import Console

OUTPUT_LINES: Final = 8
"""Of each command, the last ones."""
MARKS: Final = {"pending": "☐", "in_progress": "▶", "completed": "☑"}
LETTERS: Final = {"add": "A", "update": "M", "delete": "D"}


class JsonLines:
    """Codex's event names, one JSON object a line."""

    def __init__(self, *, on_closed: Callable[[], object]) -> None:
        self._on_closed = on_closed
        self._is_closed = False

    def started(self, thread: ThreadId, turn: TurnId) -> None:
        self._print(thread_started(thread))
        self._print(turn_started(turn))

    def item(self, life: Life, item: Item) -> None:
        self._print(item_event(life, item))

    def waiting(self, outcome: Waiting) -> None:
        """The turn goes on: programs see its next item."""

    def ended(self, turn: TurnId, result: TurnResult, changes: Sequence[ChangedFile]) -> None:
        told_changes = [
            {"path": change.path, "kind": change.kind}
            | ({"problem": change.problem} if change.problem else {})
            for change in changes
        ]
        self._print({**turn_ended(turn, result), "changes": told_changes})

    def _print(self, event: Event) -> None:
        if self._is_closed:
            return
        try:
            sys.stdout.write(f"{line(event)}\n")
            sys.stdout.flush()
        except BrokenPipeError:
            self._is_closed = True
            # What is left in the buffer must not fail again when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._on_closed()


class Transcript:
    """What a person wants to follow. The final message is left to standard output."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._held: AgentMessage | None = None
        """The newest message: shown when something follows it, for the last one is the final message."""
        self._newest_command = ItemId("")
        self._thread = ThreadId("")

    def started(self, thread: ThreadId, turn: TurnId) -> None:
        del turn
        self._thread = thread

    def item(self, life: Life, item: Item) -> None:
        if isinstance(item, AgentMessage):
            if life is Life.COMPLETED:
                self.catch_up()
                self._held = item
            return
        if not isinstance(item, ModelCall):
            self.catch_up()
        match item:
            case CommandExecution():
                self._command(life, item)
            case FileChange():
                self._patch(life, item)
            case PlanUpdate() if life is Life.COMPLETED:
                self._plan(item)
            case ToolCall() if life is Life.COMPLETED:
                self._say(f"{item.call.name}: {item.status}", style="cyan")
            case Reasoning() if item.summary:
                self._say(item.summary, style="dim italic")
            case Notice() | Compaction():
                self._say(_aside(item), style="yellow")
            case ApprovalRequest():
                self._request(life, item)
            case UserMessage() | ModelCall() | Reasoning() | PlanUpdate() | ToolCall():
                pass
            case _:
                assert_never(item)

    def heading(self, text: str) -> None:
        """Whose items follow, where there are several turns to follow."""
        self.catch_up()
        self._say(f"\n{text}", style="dim bold")

    def waiting(self, outcome: Waiting) -> None:
        self._say(f"Waiting: {outcome.reason} (Ctrl-C ends the turn)", style="yellow")

    def ended(self, turn: TurnId, result: TurnResult, changes: Sequence[ChangedFile]) -> None:
        del turn
        if not isinstance(result.outcome, Completed):
            self.catch_up()
        for change in changes:
            problem = f"  not put into the directory: {change.problem}" if change.problem else ""
            self._say(f"{LETTERS[change.kind]} {change.path}{problem}", style="red" if problem else "green")
        tokens = f"{result.usage.total_tokens:,} tokens"
        self._say(f"{result.steps} steps, {tokens}, {result.seconds:.1f} s", style="dim")
        if not isinstance(result.outcome, Completed):
            self._say(told(result.outcome), style="bold red")
        self._say(f"Go on with: darner exec --resume {self._thread} PROMPT", style="dim")

    def catch_up(self) -> None:
        """Show the newest message now: what follows, if anything, is not known yet."""
        if self._held is not None:
            self._say(self._held.text)
        self._held = None

    def _command(self, life: Life, item: CommandExecution) -> None:
        if life is Life.STARTED:
            self._newest_command = item.id
            self._say(f"$ {_command_line(item)}", style="bold")
        if life is not Life.COMPLETED:
            return
        if item.id != self._newest_command:
            # Commands may overlap: say whose output follows.
            self._say(f"↳ {_command_line(item)}", style="dim bold")
        lines = printed_part(item.answer.text if item.answer else "").rstrip().splitlines()
        if len(lines) > OUTPUT_LINES:
            self._say(f"  … {len(lines) - OUTPUT_LINES} lines", style="dim")
        for shown in lines[-OUTPUT_LINES:]:
            self._say(f"  {shown}", style="dim")
        if item.exit_code:
            self._say(f"  exit status {item.exit_code}", style="red")

    def _patch(self, life: Life, item: FileChange) -> None:
        if life is not Life.COMPLETED:
            return
        if item.status is not ItemStatus.COMPLETED:
            self._say(f"patch {item.status}: {item.answer.text if item.answer else ''}", style="red")
            return
        for change in item.changes:
            self._say(f"patched {_shown(change)}", style="green")

    def _request(self, life: Life, item: ApprovalRequest) -> None:
        if life is Life.STARTED:
            self._say(f"? {item.kind}: {'; '.join(item.wanted)}", style="yellow")
        elif life is Life.COMPLETED:
            by = f" by {item.by}" if item.by else ""
            self._say(f"{item.decision}{by}{f': {item.words}' if item.words else ''}", style="yellow")

    def _plan(self, item: PlanUpdate) -> None:
        for step in item.plan:
            self._say(f"{MARKS[step.status]} {step.step}", style="blue")

    def _say(self, text: str, *, style: str = "") -> None:
        # What models and commands print may hold control sequences; none reaches the person's terminal.
        clean = readable(text)
        self._console.print(clean, style=style, markup=False, highlight=False, emoji=False, soft_wrap=True)


def print_error_event(message: str) -> None:
    """For programs: what kept a turn from starting."""
    sys.stdout.write(json.dumps({"type": "error", "message": message}, ensure_ascii=False) + "\n")


def _aside(item: Notice | Compaction) -> str:
    if isinstance(item, Notice):
        return item.text
    about = f"about {item.tokens_before:,} tokens" if item.tokens_before else "long"
    return f"The history was {about}: a summary stands for its older part"


def _command_line(item: CommandExecution) -> str:
    return item.command or "(the running command)"


def _shown(change: PathChange) -> str:
    return f"{change.path} → {change.moved_to}" if change.moved_to else change.path
