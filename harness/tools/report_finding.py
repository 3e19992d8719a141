"""The tools of a review: `report_finding` tells what is wrong, `judge_finding` what became of it later.

They decide nothing: the context's checks take or refuse, and the model reads why. The journal keeps each
call; `findings_in` and `judgements_in` read them back from it.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, assert_never

from pydantic import ConfigDict, Field

from harness.findings import (
    CheckFinding,
    CheckJudgement,
    Finding,
    FindingJudged,
    JudgementVerdict,
    Refused,
    Severity,
    Side,
    Taken,
)
from harness.items import Answer, Call, Item, ItemId, ItemStatus, ToolCall, ToolItem
from harness.protocols import ArgumentsRefused, ToolSpec
from harness.tools.arguments import Arguments, read_arguments, schema_of
from harness.tools.context import ToolContext

REPORT_FINDING: Final = "report_finding"
JUDGE_FINDING: Final = "judge_finding"

_REPORT: Final = """\
Reports one problem that this change brings in or uncovers. One call a problem; only what you have checked \
in the code. The answer tells whether it was taken, or what to correct."""
_JUDGE: Final = """\
Says once what became of an earlier finding, by its id: still_there, fixed (the code is right now), \
withdrawn (the finding was wrong), or new_evidence (someone disagrees, and you can show that it holds)."""


class ReportFindingArguments(Arguments):
    """Strict, other than most tools' arguments: a finding with an unknown part is not what was meant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(min_length=1, max_length=4096, description="Path in the checkout.")
    start_line: int = Field(description="First line, from 1.")
    end_line: int = Field(description="Last line; the same as start_line for one line.")
    side: Side = Field("RIGHT", description="RIGHT: line numbers of the new file. LEFT: of the old one.")
    severity: Severity = Field(
        description="P0 must not be merged, P1 should be mended first, P2 worth mending, P3 a remark."
    )
    confidence: float = Field(ge=0, le=1, description="How sure you are, from 0 to 1.")
    title: str = Field(min_length=1, max_length=1000, description="The claim in one sentence.")
    why: str = Field(
        min_length=1,
        max_length=8000,
        description="One to three sentences, with the input or path that fails.",
    )
    rule: str = Field("", max_length=200, description="Short name of the kind of problem.")
    replacement: str | None = Field(
        None,
        max_length=20_000,
        description="The exact new text of these lines, indented as in the file; only if you are certain.",
    )


class ReportFinding:
    is_parallel = False
    spec = ToolSpec(name=REPORT_FINDING, description=_REPORT, parameters=schema_of(ReportFindingArguments))

    def __init__(self, context: ToolContext) -> None:
        self._check = context.check_finding

    def begin(self, call: Call, item_id: ItemId) -> ToolItem:
        _finding_of(call)
        return ToolCall(id=item_id, call=call)

    async def run(self, item: ToolItem) -> ToolItem:
        checked = self._check(_finding_of(item.call))
        match checked:
            case Taken(finding=finding, notes=notes):
                where = f"{finding.path}, {_lines_of(finding)}, {finding.severity}"
                told = " ".join((f"Taken: {where}.", *notes))
                return replace(item, status=ItemStatus.COMPLETED, answer=Answer(told))
            case Refused(reason=reason):
                return replace(item, status=ItemStatus.FAILED, answer=Answer(f"Not taken. {reason}"))
            case _:
                assert_never(checked)


class JudgeFindingArguments(Arguments):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, max_length=100, description="The finding's id.")
    verdict: JudgementVerdict
    why: str = Field(min_length=1, max_length=4000, description="One to three sentences, with the evidence.")


class JudgeFinding:
    is_parallel = False
    spec = ToolSpec(name=JUDGE_FINDING, description=_JUDGE, parameters=schema_of(JudgeFindingArguments))

    def __init__(self, context: ToolContext) -> None:
        self._check = context.check_judgement

    def begin(self, call: Call, item_id: ItemId) -> ToolItem:
        _judgement_of(call)
        return ToolCall(id=item_id, call=call)

    async def run(self, item: ToolItem) -> ToolItem:
        judged = _judgement_of(item.call)
        refused = self._check(judged)
        if refused is not None:
            return replace(item, status=ItemStatus.FAILED, answer=Answer(f"Not taken. {refused.reason}"))
        told = Answer(f"Taken: finding {judged.id} is {judged.verdict.replace('_', ' ')}.")
        return replace(item, status=ItemStatus.COMPLETED, answer=told)


def findings_in(items: Iterable[Item], check: CheckFinding) -> tuple[Taken, ...]:
    """The findings that were taken, in the order of the calls.

    `items` are completed ones; `check` is the one that the turn had.
    """
    checked = [check(_finding_of(call)) for call in _completed_calls(items, REPORT_FINDING)]
    return tuple(taken for taken in checked if isinstance(taken, Taken))


def judgements_in(items: Iterable[Item], check: CheckJudgement) -> tuple[FindingJudged, ...]:
    """The judgements that were taken, the last one for each finding."""
    judged = [_judgement_of(call) for call in _completed_calls(items, JUDGE_FINDING)]
    return tuple({each.id: each for each in judged if check(each) is None}.values())


def _completed_calls(items: Iterable[Item], name: str) -> list[Call]:
    return [
        item.call
        for item in items
        if isinstance(item, ToolCall) and item.call.name == name and item.status is ItemStatus.COMPLETED
    ]


def _finding_of(call: Call) -> Finding:
    asked = read_arguments(ReportFindingArguments, call.arguments)
    if asked.start_line < 1 or asked.end_line < 1:
        raise ArgumentsRefused("The finding was not taken: lines are counted from 1.")
    return Finding(
        path=asked.path,
        start_line=asked.start_line,
        end_line=asked.end_line,
        side=asked.side,
        severity=asked.severity,
        confidence=asked.confidence,
        title=asked.title,
        why=asked.why,
        rule=asked.rule,
        replacement=asked.replacement,
    )


def _judgement_of(call: Call) -> FindingJudged:
    asked = read_arguments(JudgeFindingArguments, call.arguments)
    return FindingJudged(id=asked.id, verdict=asked.verdict, why=asked.why)


def _lines_of(finding: Finding) -> str:
    if finding.start_line == finding.end_line:
        return f"line {finding.start_line}"
    return f"lines {finding.start_line} to {finding.end_line}"
