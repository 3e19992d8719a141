"""The calls of one answer of the model: begun, to be asked about, run alone or side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from harness.items import Answer, Call, ItemId, ItemStatus, ToolCall, ToolItem
from harness.protocols import ArgumentsRefused, Ask, AskingTool, Decision, Tool

AT_ONCE: Final = 8
"""Calls that overlap at most: an answer may hold hundreds."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Stands in for the tool of a call that cannot be run: the answer says why."""

    message: str
    is_parallel = True

    async def run(self, item: ToolItem) -> ToolItem:
        return replace(item, status=ItemStatus.FAILED, answer=Answer(self.message))


@dataclass(frozen=True, slots=True)
class Step:
    """A call of the model, begun and to be journaled, not yet run."""

    item: ToolItem
    tool: Tool | Refused
    decision: Decision | None = None
    """What a person has said to it, where one was asked."""

    def ask(self) -> Ask | None:
        """What a person must decide before it may run."""
        if self.decision is None and isinstance(self.tool, AskingTool):
            return self.tool.asks(self.item)
        return None

    def held(self) -> "Step":
        """The same, as the journal tells of one that waits for a person."""
        return replace(self, item=replace(self.item, status=ItemStatus.HELD))

    async def run(self) -> ToolItem:
        """The item with its answer; what `Tool.run` raises."""
        if self.decision is not None and isinstance(self.tool, AskingTool):
            return await self.tool.run_decided(self.item, self.decision)
        return await self.tool.run(self.item)


def begin(tools: Mapping[str, Tool], call: Call, item_id: ItemId, *, was_cut: bool = False) -> Step:
    """The call as a step; one that no tool takes is a step whose answer says so.

    `was_cut`: the answer that made the call ended at the output limit.
    """
    tool = tools.get(call.name)
    if tool is None:
        message = f"There is no tool named {call.name!r}. The tools are: {', '.join(tools)}."
        return Step(ToolCall(id=item_id, call=call), Refused(message))
    try:
        return Step(tool.begin(call, item_id), tool)
    except ArgumentsRefused as refusal:
        cut = " (Your answer was cut off at the output limit: make smaller calls.)" if was_cut else ""
        return Step(ToolCall(id=item_id, call=call), Refused(f"{refusal}{cut}"))


def groups(steps: Sequence[Step]) -> Sequence[Sequence[Step]]:
    """Neighbours that may overlap together, every other call alone, in the model's order."""
    found: list[list[Step]] = []
    for step in steps:
        last = found[-1] if found else []
        if step.tool.is_parallel and 0 < len(last) < AT_ONCE and last[0].tool.is_parallel:
            last.append(step)
        else:
            found.append([step])
    return found
