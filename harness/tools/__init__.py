"""The tools of the agent: one file each, and one line in `TOOLS`. Never chosen by what a repository says."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final

from harness.protocols import Tool
from harness.tools.apply_patch import ApplyPatch
from harness.tools.context import ToolContext
from harness.tools.exec_command import ExecCommand
from harness.tools.update_plan import UpdatePlan
from harness.tools.view_image import ViewImage
from harness.tools.write_stdin import WriteStdin

__all__ = ["TOOLS", "ToolContext", "make_tools", "open_tools"]

TOOLS: Final[Mapping[str, Callable[[ToolContext], Tool]]] = MappingProxyType(
    {
        "exec_command": ExecCommand,
        "write_stdin": WriteStdin,
        "apply_patch": ApplyPatch,
        "update_plan": UpdatePlan,
        "view_image": ViewImage,
    }
)


def make_tools(context: ToolContext) -> Mapping[str, Tool]:
    """All tools over one context, in the order that every request lists them."""
    return MappingProxyType({name: make(context) for name, make in TOOLS.items()})


@asynccontextmanager
async def open_tools(context: ToolContext) -> AsyncIterator[Mapping[str, Tool]]:
    """The tools of one turn. When it ends, however it ends, nothing that they started runs any more."""
    try:
        yield make_tools(context)
    finally:
        await context.close()
