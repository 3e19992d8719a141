"""The tools that ask people: what is asked, what is answered at once, and what the model reads."""

import json
from typing import Any

import pytest

from harness.approvals import LONGEST_SHOWN, Askable
from harness.items import Call, ItemId, ItemStatus, ToolItem
from harness.protocols import ArgumentsRefused, Ask, AskingTool, Decision
from harness.rules import Decision as RuleDecision
from harness.rules import Rule, Rules
from harness.tools import ASKING_TOOLS, WORK_TOOLS, ToolContext, make_tools
from sandbox.base import Sandbox

OPEN = Askable(
    may_ask=True,
    hosts=("*.wool.example", "index.example:8443@10.1.0.0/16"),
    allowed_hosts=("pypi.org",),
    paths=(".github/workflows", "AGENTS.md", "deploy"),
)
RULES = Rules(
    (
        Rule((("npm",), ("publish",)), RuleDecision.ASK, "It goes public."),
        Rule((("ls",),), RuleDecision.ALLOW),
        Rule((("sudo",),), RuleDecision.FORBID),
    )
)


async def no_sandbox() -> Sandbox:
    raise AssertionError("something ran")


def ordered(name: str, askable: Askable = OPEN, **arguments: Any) -> tuple[AskingTool, ToolItem]:
    context = ToolContext(no_sandbox, rules=RULES, askable=askable)
    tool = make_tools(context, (*WORK_TOOLS, *ASKING_TOOLS))[name]
    assert isinstance(tool, AskingTool)
    return tool, tool.begin(Call("c1", name, json.dumps(arguments)), ItemId("item_1"))


def asked(name: str, askable: Askable = OPEN, **arguments: Any) -> Ask | None:
    tool, item = ordered(name, askable, **arguments)
    return tool.asks(item)


async def told(name: str, decision: Decision | None, askable: Askable = OPEN, **arguments: Any) -> str:
    tool, item = ordered(name, askable, **arguments)
    done = await (tool.run(item) if decision is None else tool.run_decided(item, decision))
    assert done.answer is not None
    assert done.status is not ItemStatus.IN_PROGRESS
    return done.answer.text


async def permission(decision: Decision | None = None, askable: Askable = OPEN, **wanted: Any) -> str:
    return await told("request_permissions", decision, askable, **wanted, justification="Needed.")


@pytest.mark.parametrize(
    ("hosts", "why"),
    [
        (["steel.example"], "The operator does not let people approve steel.example."),
        (["wool.example"], "The operator does not let people approve wool.example."),
        (["a.wool.example", "steel.example"], "The operator does not let people approve steel.example."),
        (["*.example"], "'*.example' would open every name below .example: name the hosts."),
        (["index.example:8443@10.2.0.0/16"], "only the operator's settings may open a private network."),
        (["http://a.wool.example/x"], "leave out the scheme and the path."),
        (["10.0.0.1"], "is not a host of an allow-list"),
    ],
)
async def test_hosts_beyond_the_operators_list_are_refused_at_once(hosts: list[str], why: str) -> None:
    """Nobody is bothered with what they could not grant."""
    assert asked("request_permissions", hosts=hosts, justification="x") is None
    assert why in await permission(hosts=hosts)


async def test_hosts_of_the_operators_list_are_asked_for_as_rules() -> None:
    ask = asked("request_permissions", hosts=["A.wool.example", "index.example:8443"], justification="Yarn.")

    assert ask is not None
    assert (ask.kind, ask.wanted, ask.why) == ("network", ("a.wool.example", "index.example:8443"), "Yarn.")


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        (["deploy/keys.txt"], ("deploy",)),
        (["Deploy", ".github/workflows/ci.yml"], (".github/workflows", "deploy")),
        (["docs/AGENTS.md"], ("AGENTS.md",)),
        (["src/main.py"], None),
        ([".github"], None),
        ([".git/config"], None),
        (["deploy/../.git/hooks"], None),
        (["deploy/keys.txt", "src/main.py"], None),
    ],
)
async def test_protected_paths_are_asked_for_by_their_entries(
    paths: list[str], wanted: tuple[str, ...] | None
) -> None:
    """People decide about what the list of protected paths names; Git's own directory is nobody's."""
    ask = asked("request_permissions", paths=paths, justification="x")

    assert (None if ask is None else ask.wanted) == wanted
    if wanted is None:
        assert (await permission(paths=paths)).startswith("Not granted. ")


async def test_where_nobody_can_be_asked_the_answer_is_no() -> None:
    """Neither leave nor an answer; the model is told to go on."""
    assert await permission(askable=Askable(), hosts=["a.wool.example"]) == (
        "Not granted. There is nobody to ask here."
    )
    assert "nobody to ask" in await told("request_user_input", None, Askable(), question="Left?")
    assert asked("exec_command", Askable(), cmd="npm publish") is None


async def test_what_the_operator_has_taken_back_meanwhile_is_not_granted() -> None:
    """The policy decides; an approval of yesterday is only an approval."""
    yes = Decision("approved", "maya")
    granted = Askable(may_ask=True, hosts=OPEN.hosts, allowed_hosts=("a.wool.example",))

    assert await permission(yes, granted, hosts=["a.wool.example"]) == (
        "Approved by maya: this turn may reach a.wool.example."
    )
    assert "no longer grants a.wool.example" in await permission(yes, hosts=["a.wool.example"])


def test_hosts_and_paths_are_two_requests() -> None:
    for wanted in ({}, {"hosts": ["a.wool.example"], "paths": ["deploy"]}):
        with pytest.raises(ArgumentsRefused):
            ordered("request_permissions", OPEN, justification="x", **wanted)


async def test_a_question_nobody_answers_is_answered_by_best_judgement() -> None:
    assert await told("request_user_input", Decision("expired"), question="Left?") == (
        "Nobody answered in time. Go on by your best judgement, and say what you assumed."
    )


def test_only_what_needs_leave_is_asked_for() -> None:
    """By a rule, or without one where nothing else is trusted; what is forbidden is not asked for."""
    untrusting = Askable(may_ask=True, is_untrusted=True)

    assert asked("exec_command", cmd="make") is None
    assert asked("exec_command", cmd="sudo npm publish") is None
    assert asked("exec_command", untrusting, cmd="ls -l") is None
    unknown = asked("exec_command", untrusting, cmd="make")
    assert unknown is not None
    assert unknown.why == "No rule of the operator allows it."


async def test_what_cannot_be_shown_whole_is_not_asked_for() -> None:
    """Nobody approves what they have not seen."""
    long = "npm publish " + "x" * LONGEST_SHOWN

    assert asked("exec_command", cmd=long) is None
    assert "can be shown 4,000 characters" in await told("exec_command", None, cmd=long)


@pytest.mark.parametrize("place", ["d" * 201, "a  b", "a`b", "a\u3164b", "a\nb"])
def test_a_directory_that_cannot_be_read_as_it_is_is_not_asked_for(place: str) -> None:
    """The same command in another directory is another command."""
    assert asked("exec_command", cmd="npm publish", workdir="packages/core") is not None
    assert asked("exec_command", cmd="npm publish", workdir=place) is None


def test_who_approves_is_told_of_a_login_shell() -> None:
    ask = asked("exec_command", cmd="npm publish", login=True)

    assert ask is not None
    assert ask.why.endswith("It would run in a login shell, which reads its start files first.")


def test_each_difference_gives_another_digest() -> None:
    """Leave is for this command, in this directory, in this way."""
    variants: list[dict[str, Any]] = [{}, {"workdir": "sub"}, {"tty": True}, {"login": True}]
    asks = [asked("exec_command", cmd="npm publish", **variant) for variant in variants]
    asks.append(asked("exec_command", cmd="npm  publish"))

    assert len({ask.digest for ask in asks if ask is not None}) == 5
