"""The tool `exec_command`: one shell command line in the sandbox. Never runs anything outside it."""

import asyncio
import re
from dataclasses import replace
from typing import Final, assert_never

from pydantic import Field

from harness.approvals import LONGEST_PLACE, LONGEST_SHOWN, digest_of, is_shown_whole
from harness.items import Call, CommandExecution, FileChange, ItemId, ToolItem
from harness.protocols import Ask, Decision, ToolSpec
from harness.rules import Allowed, Asks, Forbidden, Undecided, Unreadable, Verdict, judge
from harness.tools.apply_patch import ApplyPatch
from harness.tools.arguments import Arguments, read_arguments, schema_of
from harness.tools.commands import (
    DEFAULT_YIELD_MS,
    LEAST_YIELD_MS,
    MOST_OUTPUT_TOKENS,
    MOST_YIELD_MS,
    OUTPUT_TOKENS_TOLD,
    declined,
    outcome_of,
    refused,
)
from harness.tools.context import Shell, ToolContext
from harness.tools.decided import told_of_refusal
from sandbox.base import WORKSPACE, Command, CommandRefused, PathRefused

PATCH_HEREDOC: Final = re.compile(
    r"\s*apply_patch\s+<<\s*(?P<quote>['\"]?)(?P<word>\w+)(?P=quote)[ \t]*\n(?P<patch>.*\n)(?P=word)\s*",
    re.DOTALL,
)
"""A command line that is a here-document for `apply_patch` and nothing else: models write it by habit."""


class ExecCommandArguments(Arguments):
    cmd: str = Field(min_length=1, description="Shell command (bash).")
    workdir: str = Field(".", description="Directory, default the checkout.")
    tty: bool = Field(False, description="Give it a terminal (for interactive programs).")
    login: bool = Field(False, description="Use a login shell.")
    yield_time_ms: int = Field(DEFAULT_YIELD_MS, description="How long to wait for output, 250-30000.")
    max_output_tokens: int = Field(MOST_OUTPUT_TOKENS, description=OUTPUT_TOKENS_TOLD)


class ExecCommand:
    """Runs a command; one that outlasts the yield time stays as a session for `write_stdin`."""

    is_parallel = True
    spec = ToolSpec(
        name="exec_command",
        description=(
            "Runs a shell command in the sandbox; gives its output, or a session ID while it runs. "
            "Background jobs end with it."
        ),
        parameters=schema_of(ExecCommandArguments),
    )

    def __init__(self, context: ToolContext) -> None:
        self._context = context
        self._patch = ApplyPatch(context)
        self._patching = asyncio.Lock()

    def begin(self, call: Call, item_id: ItemId) -> ToolItem:
        asked = read_arguments(ExecCommandArguments, call.arguments)
        heredoc = PATCH_HEREDOC.fullmatch(asked.cmd)
        if heredoc is not None and asked.workdir in {".", WORKSPACE}:
            return replace(self._patch.begin(_patch_call(call, heredoc), item_id), call=call)
        return CommandExecution(id=item_id, call=call, command=asked.cmd, workdir=asked.workdir)

    def asks(self, item: ToolItem) -> Ask | None:
        """A command that needs a person's leave, where somebody can be asked and shown all of it."""
        ask = self._ask(item)
        return ask if ask is not None and self._context.askable.may_ask and is_shown_whole(ask) else None

    def _ask(self, item: ToolItem) -> Ask | None:
        if not isinstance(item, CommandExecution):
            return None
        asked = read_arguments(ExecCommandArguments, item.call.arguments)
        match judge(self._context.rules, asked.cmd):
            case Asks(rule=rule, command=command):
                why = f"A rule wants to be asked about `{command}`. {rule.justification}".rstrip()
            case Undecided() if self._context.askable.is_untrusted:
                why = "No rule of the operator allows it."
            case _:
                return None
        if asked.login:
            why = f"{why} It would run in a login shell, which reads its start files first."
        digest = digest_of("command", (asked.cmd,), asked.workdir, asked.tty, asked.login)
        return Ask("command", (asked.cmd,), why, digest, place=asked.workdir)

    async def run(self, item: ToolItem) -> ToolItem:
        return await self._run(item, has_leave=False)

    async def run_decided(self, item: ToolItem, decision: Decision) -> ToolItem:
        if decision.kind == "approved":
            return await self._run(item, has_leave=True)
        if not isinstance(item, CommandExecution):
            raise TypeError(f"{item.id} is no command that somebody was asked about")
        return declined(item, f"The command was not run. {told_of_refusal(decision)}")

    async def _run(self, item: ToolItem, *, has_leave: bool) -> ToolItem:
        asked = read_arguments(ExecCommandArguments, item.call.arguments)
        if not isinstance(item, CommandExecution):
            return await self._run_patch(item, asked.cmd)
        objection = self._objection(judge(self._context.rules, asked.cmd), has_leave=has_leave)
        if objection is not None:
            return declined(item, f"The command was not run. {objection}")
        sandbox = await self._context.sandbox()
        begun = self._context.clock()
        argv = ("bash", "-lc" if asked.login else "-c", asked.cmd)
        try:
            process = await sandbox.start(Command(argv, workdir=asked.workdir, tty=asked.tty))
        except (PathRefused, CommandRefused) as refusal:
            return refused(item, f"The command was not run. {refusal}")
        # The item's number: no two sessions of a turn share it, also not across a crash.
        session_id = int(item.id.removeprefix("item_"))
        shell = Shell(asked.cmd, asked.workdir, process)
        await self._context.shells.keep(session_id, shell)
        return await outcome_of(
            item,
            shell,
            context=self._context,
            session_id=session_id,
            begun=begun,
            yield_ms=min(max(asked.yield_time_ms, LEAST_YIELD_MS), MOST_YIELD_MS),
            max_output_tokens=asked.max_output_tokens,
        )

    def _objection(self, verdict: Verdict, *, has_leave: bool) -> str | None:
        """What the model is told instead of running the command; None when it may run."""
        match verdict:
            case Forbidden(rule=rule, command=command):
                return f"`{command}` is forbidden ({rule}). {rule.justification}".rstrip()
            case Unreadable():
                return "It is too long to be compared with the rules. Put it into a file and run that."
            case Asks(rule=rule, command=command):
                if has_leave:
                    return None
                said = f"`{command}` needs a person's leave ({rule}). {rule.justification}".rstrip()
                return f"{said} {self._why_not_asked()}"
            case Undecided() if self._context.askable.is_untrusted and not has_leave:
                return f"No rule allows it. {self._why_not_asked()}"
            case Allowed() | Undecided():
                return None
            case _:
                assert_never(verdict)

    def _why_not_asked(self) -> str:
        if self._context.askable.may_ask:
            return (
                f"Nobody was asked: a person can be shown {LONGEST_SHOWN:,} characters of it at most, and a "
                f"directory of {LONGEST_PLACE} plain ones."
            )
        return "There is nobody to ask here."

    async def _run_patch(self, item: ToolItem, cmd: str) -> ToolItem:
        heredoc = PATCH_HEREDOC.fullmatch(cmd)
        if heredoc is None or not isinstance(item, FileChange):
            raise TypeError(f"{item.id} was not begun by {self.spec.name}")
        async with self._patching:  # Commands may overlap, patches must not.
            done = await self._patch.run(replace(item, call=_patch_call(item.call, heredoc)))
        return replace(done, call=item.call)


def _patch_call(call: Call, heredoc: re.Match[str]) -> Call:
    return Call(id=call.id, name="apply_patch", arguments=heredoc["patch"], kind="custom")
