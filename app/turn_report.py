"""What a turn's journal tells of it: its plan, the tests that were run, the state of its files."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from handlers import comments
from harness.items import (
    ApprovalRequest,
    CommandExecution,
    FileChange,
    ItemStatus,
    Life,
    PlanStep,
    PlanUpdate,
)
from harness.protocols import Entry

TEST_COMMAND: Final = re.compile(
    r"(?<![\w.-])(pytest|unittest|tox|nox|make (test|check)|npm (run )?test|yarn test|pnpm test|jest|vitest"
    r"|go test|cargo (test|nextest)|mvn test|gradle test|ctest|rspec|phpunit)(?![\w-]|\.\w)"
)
"""A program's name as a word of its own: neither a path that has it in it, nor its settings file."""

MOST_TESTS: Final = 5


def last_plan(entries: Sequence[Entry]) -> tuple[PlanStep, ...]:
    """The plan as the agent left it."""
    for entry in reversed(entries):
        if entry.life is Life.COMPLETED and isinstance(entry.item, PlanUpdate):
            return entry.item.plan
    return ()


def tests_run(entries: Sequence[Entry]) -> tuple[str, ...]:
    """The last result of each command that looks like a test run; of many commands the newest."""
    found: dict[str, str] = {}
    for entry in entries:
        item = entry.item
        if entry.life is not Life.COMPLETED or not isinstance(item, CommandExecution):
            continue
        if item.exit_code is not None and TEST_COMMAND.search(item.command):
            found[item.command] = comments.checked(item.command, exit_code=item.exit_code)
    return tuple(found.values())[-MOST_TESTS:]


def open_request(entries: Sequence[Entry]) -> ApprovalRequest | None:
    """What the turn has asked of people, and nobody has decided."""
    asked = [entry for entry in entries if isinstance(entry.item, ApprovalRequest)]
    if asked and asked[-1].life is Life.STARTED and isinstance(asked[-1].item, ApprovalRequest):
        return asked[-1].item
    return None


@dataclass(frozen=True, slots=True)
class TreeState:
    """What the files of a turn that goes on must be."""

    snapshot: str | None
    """None: as the commit has them."""


def last_state(entries: Sequence[Entry]) -> TreeState | None:
    """The state after the last step whose end is known; None when that one was not kept.

    What a command had half done when its worker died is not part of it.
    """
    for entry in reversed(entries):
        item = entry.item
        if entry.life is not Life.COMPLETED or not isinstance(item, CommandExecution | FileChange):
            continue
        if item.status is not ItemStatus.INTERRUPTED:
            return None if item.snapshot is None else TreeState(item.snapshot)
    return TreeState(None)
