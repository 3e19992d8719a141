"""The tool `read_file`: lines of a file of the checkout, for turns that may run nothing there."""

import asyncio
from dataclasses import replace
from typing import Final

from pydantic import Field

from harness.items import Answer, Call, ItemId, ItemStatus, ToolCall, ToolItem
from harness.protocols import ToolSpec
from harness.tools.arguments import Arguments, read_arguments, schema_of
from harness.tools.context import ToolContext
from sandbox.base import FileMissing, FileTooLarge, PathRefused

MOST_BYTES: Final = 4 * 1024 * 1024
MOST_LINES: Final = 800
LONGEST_LINE: Final = 500


class ReadFileArguments(Arguments):
    path: str = Field(min_length=1, description="Path in the checkout.")
    start_line: int = Field(1, ge=1, description="First line, from 1.")
    lines: int = Field(200, ge=1, le=MOST_LINES, description="How many.")


class ReadFile:
    is_parallel = True
    spec = ToolSpec(
        name="read_file",
        description="Shows you lines of a text file of the checkout, with their numbers.",
        parameters=schema_of(ReadFileArguments),
    )

    def __init__(self, context: ToolContext) -> None:
        self._context = context

    def begin(self, call: Call, item_id: ItemId) -> ToolItem:
        read_arguments(ReadFileArguments, call.arguments)
        return ToolCall(id=item_id, call=call)

    async def run(self, item: ToolItem) -> ToolItem:
        asked = read_arguments(ReadFileArguments, item.call.arguments)
        files = (await self._context.sandbox()).files
        try:
            content = await asyncio.to_thread(files.read, asked.path, limit=MOST_BYTES)
        except (FileMissing, PathRefused, FileTooLarge) as refusal:
            return replace(item, status=ItemStatus.FAILED, answer=Answer(str(refusal)))
        return replace(item, status=ItemStatus.COMPLETED, answer=Answer(_shown(asked, content.data)))


def _shown(asked: ReadFileArguments, data: bytes) -> str:
    if b"\0" in data[:8000]:
        return f"{asked.path}: binary, {len(data):,} bytes"
    lines = data.decode("utf-8", "replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    first, last = asked.start_line, min(asked.start_line + asked.lines - 1, len(lines))
    shown = [f"{number:>6} {lines[number - 1][:LONGEST_LINE]}" for number in range(first, last + 1)]
    return "\n".join([f"{asked.path}: lines {first} to {last} of {len(lines)}", *shown])
