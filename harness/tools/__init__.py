"""The tools of the agent: one file each, and one line in `TOOLS`. Never chosen by what a repository says."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final, Literal

from harness.protocols import Tool
from harness.tools.apply_patch import ApplyPatch
from harness.tools.context import ToolContext
from harness.tools.exec_command import ExecCommand
from harness.tools.read_file import ReadFile
from harness.tools.report_finding import JudgeFinding, ReportFinding
from harness.tools.request_permissions import RequestPermissions
from harness.tools.request_user_input import RequestUserInput
from harness.tools.update_plan import UpdatePlan
from harness.tools.view_image import ViewImage
from harness.tools.write_stdin import WriteStdin

__all__ = [
    "ASKING_TOOLS",
    "READING_TOOLS",
    "REVIEW_TOOLS",
    "TOOLS",
    "WORK_TOOLS",
    "ToolContext",
    "ToolName",
    "make_tools",
    "open_tools",
]

ToolName = Literal[
    "exec_command",
    "write_stdin",
    "apply_patch",
    "update_plan",
    "view_image",
    "read_file",
    "report_finding",
    "judge_finding",
    "request_permissions",
    "request_user_input",
]

TOOLS: Final[Mapping[ToolName, Callable[[ToolContext], Tool]]] = MappingProxyType(
    {
        "exec_command": ExecCommand,
        "write_stdin": WriteStdin,
        "apply_patch": ApplyPatch,
        "update_plan": UpdatePlan,
        "view_image": ViewImage,
        "read_file": ReadFile,
        "report_finding": ReportFinding,
        "judge_finding": JudgeFinding,
        "request_permissions": RequestPermissions,
        "request_user_input": RequestUserInput,
    }
)
WORK_TOOLS: Final[Sequence[ToolName]] = (
    "exec_command",
    "write_stdin",
    "apply_patch",
    "update_plan",
    "view_image",
)
"""What a turn has that is asked for work."""
ASKING_TOOLS: Final[Sequence[ToolName]] = ("request_permissions", "request_user_input")
"""What it has besides where people can be asked."""
REVIEW_TOOLS: Final[Sequence[ToolName]] = (
    "exec_command",
    "write_stdin",
    "update_plan",
    "view_image",
    "report_finding",
    "judge_finding",
)
"""What a review has: it changes no file."""
READING_TOOLS: Final[Sequence[ToolName]] = (
    "read_file",
    "update_plan",
    "view_image",
    "report_finding",
    "judge_finding",
)
"""What it has where nothing of the checkout may be run."""


def make_tools(context: ToolContext, names: Sequence[ToolName] = WORK_TOOLS) -> Mapping[str, Tool]:
    """The named tools over one context, in the order that every request lists them."""
    return MappingProxyType({name: TOOLS[name](context) for name in names})


@asynccontextmanager
async def open_tools(
    context: ToolContext, names: Sequence[ToolName] = WORK_TOOLS
) -> AsyncIterator[Mapping[str, Tool]]:
    """The tools of one turn. When it ends, however it ends, nothing that they started runs any more."""
    try:
        yield make_tools(context, names)
    finally:
        await context.close()
