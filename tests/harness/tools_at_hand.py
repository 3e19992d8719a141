"""Small tools for tests of the loop: they say what they did, wait, or break, without a sandbox."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from harness.items import Answer, Call, ItemId, ItemStatus, ToolCall, ToolItem
from harness.protocols import Tool, ToolSpec


@dataclass
class Recorder:
    """Runs `behaviour` and keeps the order of what began and ended."""

    name: str
    behaviour: Callable[[Call], Awaitable[str]]
    is_parallel: bool = False
    log: list[str] = field(default_factory=list)
    begun: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(name=self.name, description="", parameters={"type": "object"})

    def begin(self, call: Call, item_id: ItemId) -> ToolItem:
        return ToolCall(id=item_id, call=call)

    async def run(self, item: ToolItem) -> ToolItem:
        self.log.append(f"begin {item.call.id}")
        self.begun.put_nowait(item.call.id)
        try:
            text = await self.behaviour(item.call)
        except asyncio.CancelledError:
            self.log.append(f"cancelled {item.call.id}")
            raise
        self.log.append(f"end {item.call.id}")
        return replace(item, status=ItemStatus.COMPLETED, answer=Answer(text))


async def echo(call: Call) -> str:
    await asyncio.sleep(0)
    return f"echo {call.arguments}"


async def forever(_call: Call) -> str:
    await asyncio.Event().wait()
    return "never"


def by_name(*tools: Tool) -> Mapping[str, Tool]:
    return {tool.spec.name: tool for tool in tools}
