"""What a model is told when a rule stops its command: nothing runs, no sandbox is even asked for."""

import json
from typing import Any

import pytest

from harness.items import Call, CommandExecution, ItemId, ItemStatus
from harness.rules import Decision, Rule, Rules, read_rules
from harness.tools import ToolContext, make_tools
from sandbox.base import Sandbox


class Reached(Exception):
    """The command would have run."""


async def no_sandbox() -> Sandbox:
    raise Reached


async def ordered(context: ToolContext, cmd: str, **arguments: Any) -> CommandExecution:
    tool = make_tools(context)["exec_command"]
    call = Call(id="c1", name="exec_command", arguments=json.dumps({"cmd": cmd, **arguments}))
    item = await tool.run(tool.begin(call, ItemId("item_1")))
    assert isinstance(item, CommandExecution)
    return item


def told(item: CommandExecution) -> str:
    assert item.answer is not None
    return item.answer.text


async def test_a_forbidden_command_is_declined_with_the_reason() -> None:
    """The answer, which the journal keeps, names the command, the rule and what to do instead."""
    item = await ordered(
        ToolContext(no_sandbox, rules=read_rules(None)), "git add -A && git push -u origin x"
    )

    assert item.status is ItemStatus.DECLINED
    assert item.exit_code is None
    assert told(item) == (
        "The command was not run. `git push -u origin x` is forbidden (forbid git push). Leave your changes "
        "in the work tree: they are taken from there and published when the turn ends."
    )


async def test_what_a_person_should_be_asked_about_waits_for_one() -> None:
    """Where nobody can be asked the command does not run."""
    rules = Rules((Rule((("npm",), ("publish",)), Decision.ASK, "It goes public."),))

    item = await ordered(ToolContext(no_sandbox, rules=rules), "npm publish")
    assert item.status is ItemStatus.DECLINED
    assert told(item) == (
        "The command was not run. `npm publish` needs a person's leave (ask npm publish). It goes public. "
        "There is nobody to ask here."
    )


async def test_a_line_that_cannot_be_compared_does_not_run() -> None:
    """Closed, not open: padding a line is no way around the rules."""
    item = await ordered(ToolContext(no_sandbox, rules=read_rules(None)), "true;" * 5000)

    assert item.status is ItemStatus.DECLINED
    assert "too long to be compared with the rules" in told(item)


@pytest.mark.parametrize("cmd", ["git status", "echo git push", "cat <<'E' > x\ngit push\nE", "true;" * 100])
async def test_what_no_rule_speaks_of_runs(cmd: str) -> None:
    """In the sandbox, as ever."""
    with pytest.raises(Reached):
        await ordered(ToolContext(no_sandbox, rules=read_rules(None)), cmd)


async def test_without_rules_everything_runs() -> None:
    """Rules are the operator's to give."""
    with pytest.raises(Reached):
        await ordered(ToolContext(no_sandbox), "git push")
