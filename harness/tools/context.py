"""What the tools of one turn share: the sandbox, and the commands that still run. Never outlives the turn."""

import asyncio
import codecs
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from harness.approvals import Askable
from harness.findings import CheckFinding, CheckJudgement, takes_no_finding, takes_no_judgement
from harness.rules import Rules
from sandbox.base import Process, Sandbox

UTF8: Final = codecs.getincrementaldecoder("utf-8")
MOST_SHELLS: Final = 64
"""Codex's limit on commands that run at once; the least recently used one gives way."""


@dataclass(frozen=True, slots=True)
class Shell:
    """A running command that the model can come back to."""

    command: str
    workdir: str
    process: Process
    decoder: codecs.IncrementalDecoder = field(default_factory=lambda: UTF8(errors="replace"))
    """Output may be taken in the middle of a character; the rest comes with the next part."""


class Shells:
    """The running commands of one turn by session number. Every one is dead after `close`."""

    def __init__(self) -> None:
        self._shells: OrderedDict[int, Shell] = OrderedDict()

    async def keep(self, session_id: int, shell: Shell) -> None:
        """Hold `shell`, as the most recently used one."""
        self._shells[session_id] = shell
        while len(self._shells) > MOST_SHELLS:
            _, oldest = self._shells.popitem(last=False)
            await oldest.process.kill()

    def find(self, session_id: int) -> Shell | None:
        """The running command with this number, which counts as used now."""
        if session_id in self._shells:
            self._shells.move_to_end(session_id)
        return self._shells.get(session_id)

    def forget(self, session_id: int) -> None:
        """The command has ended."""
        self._shells.pop(session_id, None)

    def running(self) -> tuple[int, ...]:
        return tuple(self._shells)

    async def close(self) -> None:
        """End all that still runs, and wait until it is gone."""
        shells = tuple(self._shells.values())
        self._shells.clear()
        await asyncio.gather(*(shell.process.kill() for shell in shells))


@dataclass(frozen=True, slots=True)
class ToolContext:
    sandbox: Callable[[], Awaitable[Sandbox]]
    """The turn's sandbox, always the same one. The first tool call waits for it: the checkout is made ready
    while the model already reads its first request."""
    shells: Shells = field(default_factory=Shells)
    rules: Rules = field(default_factory=Rules)
    """What the operator decided about command lines."""
    askable: Askable = field(default_factory=Askable)
    """What may be asked of people, while the turn is set aside."""
    check_finding: CheckFinding = takes_no_finding
    """Takes or refuses what a review reports."""
    check_judgement: CheckJudgement = takes_no_judgement
    clock: Callable[[], float] = time.monotonic

    async def close(self) -> None:
        """Kill what the tools of this turn left running."""
        await self.shells.close()
