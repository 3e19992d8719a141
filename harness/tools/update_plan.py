"""The tool `update_plan`: the agent's checklist, shown to the people who asked. Touches nothing."""

from dataclasses import replace
from typing import Literal

from pydantic import Field

from harness.items import Answer, Call, ItemId, ItemStatus, PlanStep, PlanUpdate, ToolItem
from harness.protocols import ToolSpec
from harness.tools.arguments import Arguments, read_arguments, schema_of
from harness.tools.context import ToolContext


class StepArguments(Arguments):
    step: str = Field(min_length=1, max_length=500)
    status: Literal["pending", "in_progress", "completed"]


class UpdatePlanArguments(Arguments):
    plan: list[StepArguments] = Field(max_length=50)
    explanation: str = Field("", max_length=2000)


class UpdatePlan:
    is_parallel = False
    spec = ToolSpec(
        name="update_plan",
        description="Sets the checklist of this task: the whole list, at most one step in progress.",
        parameters=schema_of(UpdatePlanArguments),
    )

    def __init__(self, context: ToolContext) -> None:
        self._context = context

    def begin(self, call: Call, item_id: ItemId) -> ToolItem:
        asked = read_arguments(UpdatePlanArguments, call.arguments)
        plan = tuple(PlanStep(step.step, step.status) for step in asked.plan)
        return PlanUpdate(id=item_id, call=call, plan=plan, explanation=asked.explanation)

    async def run(self, item: ToolItem) -> ToolItem:
        return replace(item, status=ItemStatus.COMPLETED, answer=Answer("Plan updated"))
