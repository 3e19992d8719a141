"""A journal read as blocks: what of a history belongs together, and what it tells besides. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from harness.history import History
from harness.items import (
    Block,
    CallAnswered,
    CommandExecution,
    Compaction,
    FileChange,
    HistoryEntry,
    Item,
    ItemStatus,
    Life,
    ModelCall,
    Notice,
    PlanStep,
    PlanUpdate,
    UserMessage,
    UserText,
)
from harness.output import one_line
from harness.protocols import Entry


@dataclass(frozen=True, slots=True)
class Past:
    """The history so far in blocks, and what its journal tells besides."""

    blocks: tuple[Block, ...]
    own: int
    """Where this turn's blocks begin."""
    plan: tuple[PlanStep, ...]
    files: tuple[str, ...]
    commands: tuple[str, ...]
    """Each with what came of it, oldest first."""


@dataclass
class _Reader:
    """Folds a journal as `History` does, and remembers which entries belong together."""

    told: list[HistoryEntry] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    own: int = 0
    plan: tuple[PlanStep, ...] = ()
    files: dict[str, None] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.history = History(self._keep)

    def _keep(self, entry: HistoryEntry) -> bytes:
        self.told.append(entry)
        return b""

    def begin_turn(self) -> None:
        self.history.begin_turn()
        self._answered()
        self.own = len(self.blocks)

    def add(self, entry: Entry) -> None:
        self.history.add(entry.life, entry.item)
        item = entry.item
        match item:
            case Compaction():
                self._start_anew(item)
            case UserMessage(heard=heard):
                self._put("steering" if heard else "request")
            case Notice(about=about):
                # That a budget is nearly spent is said once: it stays, as people's words do.
                self._put("steering" if about == "budget" else "notice")
            case ModelCall():
                self._put("step")
            case _:
                self._answered()
        if entry.life is Life.COMPLETED:
            self._note(item)

    def _start_anew(self, compaction: Compaction) -> None:
        self.told.clear()
        summary = Block("summary", (UserText(compaction.summary),))
        self.blocks = [*compaction.pinned, summary, *compaction.newest]
        self.own = min(self.own, len(self.blocks))
        requests = [place for place, block in enumerate(self.blocks) if block.kind == "request"]
        if self.history.has_request and requests:
            # Of this turn: its request is the last one.
            self.own = requests[-1]
        self.plan = compaction.plan
        self.files = dict.fromkeys(compaction.files)
        self.commands.clear()

    def _answered(self) -> None:
        """Answers to calls belong to the newest step: a call is answered before anything else is said."""
        if not self.told:
            return
        place = max(place for place, block in enumerate(self.blocks) if block.kind == "step")
        block = self.blocks[place]
        self.blocks[place] = replace(block, entries=(*block.entries, *self.told))
        self.told.clear()

    def _put(self, kind: Literal["request", "steering", "notice", "step"]) -> None:
        new = [entry for entry in self.told if not isinstance(entry, CallAnswered)]
        self.told = [entry for entry in self.told if isinstance(entry, CallAnswered)]
        self._answered()
        if new:
            self.blocks.append(Block(kind, tuple(new)))

    def _note(self, item: Item) -> None:
        match item:
            case PlanUpdate(plan=plan):
                self.plan = plan
            case FileChange(status=ItemStatus.COMPLETED, changes=changes):
                for change in changes:
                    for path in (change.path, change.moved_to):
                        if path:
                            self.files.pop(path, None)
                            self.files[path] = None
            case CommandExecution(command=command, exit_code=exit_code):
                came = "no exit status" if exit_code is None else f"exit {exit_code}"
                self.commands.append(f"{one_line(command)} → {came}")
            case _:
                pass


def read(earlier: Iterable[Entry], entries: Iterable[Entry]) -> Past:
    """The thread as a running turn has it: `earlier` turns, then its own `entries`."""
    reader = _Reader()
    for entry in earlier:
        reader.add(entry)
    reader.begin_turn()
    for entry in entries:
        reader.add(entry)
    return Past(
        tuple(reader.blocks),
        reader.own,
        () if all(step.status == "completed" for step in reader.plan) else reader.plan,
        tuple(reader.files),
        tuple(reader.commands),
    )
