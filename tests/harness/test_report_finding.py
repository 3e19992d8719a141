"""The tools of a review: a finding is taken, or the model reads why not; the journal gives them back."""

import json
from typing import Any

import pytest

from harness.findings import Checked, Finding, FindingJudged, Refused, Taken
from harness.items import Answer, Call, ItemId, ItemStatus, ToolItem
from harness.protocols import ArgumentsRefused
from harness.tools import REVIEW_TOOLS, WORK_TOOLS, ToolContext, make_tools
from harness.tools.report_finding import findings_in, judgements_in
from sandbox.base import Sandbox

FINDING: dict[str, Any] = {
    "path": "calc.py",
    "start_line": 5,
    "end_line": 6,
    "severity": "P1",
    "confidence": 0.9,
    "title": "Divides by zero",
    "why": "`average([])`.",
}


async def no_sandbox() -> Sandbox:
    raise AssertionError("a finding needs no sandbox")


def check(finding: Finding) -> Checked:
    if finding.path != "calc.py":
        return Refused("There is no such file.")
    return Taken(finding, ("It was repaired.",) if finding.start_line == 7 else ())


def check_judgement(judged: FindingJudged) -> Refused | None:
    return None if judged.id == "f1" else Refused("There is no finding of this id.")


CONTEXT = ToolContext(sandbox=no_sandbox, check_finding=check, check_judgement=check_judgement)


async def called(name: str, arguments: dict[str, Any], context: ToolContext = CONTEXT) -> ToolItem:
    tool = make_tools(context, REVIEW_TOOLS)[name]
    call = Call("call_1", name, json.dumps(arguments))
    return await tool.run(tool.begin(call, ItemId("item_1")))


def told(item: ToolItem) -> tuple[ItemStatus, str]:
    assert isinstance(item.answer, Answer)
    return item.status, item.answer.text


async def test_the_answer_tells_what_was_taken_or_why_not() -> None:
    taken = await called("report_finding", FINDING)
    repaired = await called(
        "report_finding", {**FINDING, "start_line": 7, "end_line": 7, "replacement": None}
    )
    refused = await called("report_finding", {**FINDING, "path": "other.py"})

    assert told(taken) == (ItemStatus.COMPLETED, "Taken: calc.py, lines 5 to 6, P1.")
    assert told(repaired) == (ItemStatus.COMPLETED, "Taken: calc.py, line 7, P1. It was repaired.")
    assert told(refused) == (ItemStatus.FAILED, "Not taken. There is no such file.")


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"severity": "high"}, "severity"),
        ({"confidence": 90}, "confidence"),
        ({"side": "right"}, "side"),
        ({"start_line": 0}, "counted from 1"),
        ({"line": 5}, "line"),
        ({"title": ""}, "title"),
    ],
)
async def test_a_finding_that_is_not_of_the_shape_is_refused_by_name(
    wrong: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ArgumentsRefused, match=problem):
        await called("report_finding", {**FINDING, **wrong})


async def test_the_journal_gives_back_what_was_taken() -> None:
    """After a crash, and at the end of the turn: refused ones do not count, the last judgement does."""
    judged = {"id": "f1", "verdict": "still_there", "why": "It is."}
    items: list[ToolItem] = [
        await called("report_finding", FINDING),
        await called("report_finding", {**FINDING, "path": "other.py"}),
        await called("judge_finding", judged),
        await called("judge_finding", {**judged, "verdict": "fixed", "why": "It is not."}),
        await called("judge_finding", {**judged, "id": "f2"}),
    ]

    assert [taken.finding.title for taken in findings_in(items, check)] == ["Divides by zero"]
    assert judgements_in(items, check_judgement) == (
        FindingJudged(id="f1", verdict="fixed", why="It is not."),
    )
    assert [told(item)[1] for item in items[2:]] == [
        "Taken: finding f1 is still there.",
        "Taken: finding f1 is fixed.",
        "Not taken. There is no finding of this id.",
    ]


async def test_only_a_review_is_given_the_tools_of_a_review() -> None:
    """A turn that is asked for work has neither; one that has them by mistake is told so."""
    assert list(make_tools(CONTEXT)) == list(WORK_TOOLS)
    assert "apply_patch" not in make_tools(CONTEXT, REVIEW_TOOLS)

    astray = await called("report_finding", FINDING, ToolContext(sandbox=no_sandbox))

    assert told(astray)[0] is ItemStatus.FAILED
    assert "This turn is no review" in told(astray)[1]
