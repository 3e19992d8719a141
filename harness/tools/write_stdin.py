"""The tool `write_stdin`: type into a running command, or wait for more of its output. Never starts one."""

from typing import Final

from pydantic import Field

from harness.items import Call, CommandExecution, ItemId, ToolItem
from harness.protocols import ToolSpec
from harness.tools.arguments import Arguments, read_arguments, schema_of
from harness.tools.commands import (
    LEAST_YIELD_MS,
    MOST_OUTPUT_TOKENS,
    MOST_YIELD_MS,
    OUTPUT_TOKENS_TOLD,
    outcome_of,
    refused,
)
from harness.tools.context import ToolContext
from sandbox.base import StdinClosed

LEAST_POLL_MS: Final = 5_000
MOST_POLL_MS: Final = 300_000
"""Codex's range for a call that only waits: a short one would burn a model request for nothing."""


class WriteStdinArguments(Arguments):
    session_id: int = Field(description="The session ID that exec_command gave.")
    chars: str = Field("", description="Text to type; empty only waits.")
    yield_time_ms: int = Field(
        LEAST_YIELD_MS, description="How long to wait for output, 250-30000; 5000-300000 when chars is empty."
    )
    max_output_tokens: int = Field(MOST_OUTPUT_TOKENS, description=OUTPUT_TOKENS_TOLD)


class WriteStdin:
    is_parallel = False
    spec = ToolSpec(
        name="write_stdin",
        description="Types into a running session (tty: true) and returns its new output.",
        parameters=schema_of(WriteStdinArguments),
    )

    def __init__(self, context: ToolContext) -> None:
        self._context = context

    def begin(self, call: Call, item_id: ItemId) -> ToolItem:
        asked = read_arguments(WriteStdinArguments, call.arguments)
        shell = self._context.shells.find(asked.session_id)
        return CommandExecution(
            id=item_id,
            call=call,
            command=shell.command if shell else f"session {asked.session_id}",
            workdir=shell.workdir if shell else ".",
        )

    async def run(self, item: ToolItem) -> ToolItem:
        if not isinstance(item, CommandExecution):
            raise TypeError(f"{item.id} was not begun by {self.spec.name}")
        asked = read_arguments(WriteStdinArguments, item.call.arguments)
        shell = self._context.shells.find(asked.session_id)
        if shell is None:
            running = ", ".join(str(number) for number in self._context.shells.running()) or "none"
            return refused(item, f"No session {asked.session_id} is running. Running sessions: {running}.")
        begun = self._context.clock()
        if asked.chars:
            try:
                await shell.process.write(asked.chars.encode("utf-8", errors="replace"))
            except StdinClosed:
                return refused(
                    item,
                    f"Session {asked.session_id} takes no input: it has ended, or was started without "
                    "a terminal (start it again with tty: true).",
                )
        least, most = (LEAST_YIELD_MS, MOST_YIELD_MS) if asked.chars else (LEAST_POLL_MS, MOST_POLL_MS)
        return await outcome_of(
            item,
            shell,
            context=self._context,
            session_id=asked.session_id,
            begun=begun,
            yield_ms=min(max(asked.yield_time_ms, least), most),
            max_output_tokens=asked.max_output_tokens,
        )
