"""The tool `request_user_input`: asks people a question. Its answer is what they write."""

from dataclasses import replace

from pydantic import Field

from harness.approvals import digest_of
from harness.items import Answer, Call, ItemId, ItemStatus, ToolCall, ToolItem
from harness.protocols import Ask, Decision, ToolSpec
from harness.tools.arguments import Arguments, read_arguments, schema_of
from harness.tools.context import ToolContext
from harness.tools.decided import told_of_refusal


class RequestUserInputArguments(Arguments):
    question: str = Field(min_length=1, max_length=2000, description="One question, whole in itself.")
    options: list[str] = Field(
        default=[], max_length=6, description="Answers to choose from; others stay possible."
    )


class RequestUserInput:
    is_parallel = False
    spec = ToolSpec(
        name="request_user_input",
        description=(
            "Asks the people who gave you this task a question, and gives you their answer. Hours may pass, "
            "and running commands end meanwhile: ask only what you cannot find out and must not guess."
        ),
        parameters=schema_of(RequestUserInputArguments),
    )

    def __init__(self, context: ToolContext) -> None:
        self._may_ask = context.askable.may_ask

    def begin(self, call: Call, item_id: ItemId) -> ToolItem:
        read_arguments(RequestUserInputArguments, call.arguments)
        return ToolCall(id=item_id, call=call)

    def asks(self, item: ToolItem) -> Ask | None:
        if not self._may_ask:
            return None
        asked = read_arguments(RequestUserInputArguments, item.call.arguments)
        wanted = (asked.question, *(option[:200] for option in asked.options))
        return Ask("question", wanted, "", digest_of("question", wanted))

    async def run(self, item: ToolItem) -> ToolItem:
        told = Answer("There is nobody to ask here. Go on by your best judgement, and say what you assumed.")
        return replace(item, status=ItemStatus.FAILED, answer=told)

    async def run_decided(self, item: ToolItem, decision: Decision) -> ToolItem:
        match decision.kind:
            case "answered":
                return replace(
                    item,
                    status=ItemStatus.COMPLETED,
                    answer=Answer(f"{decision.by}, who may direct this turn, answers:\n\n{decision.words}"),
                )
            case "expired":
                said = "Nobody answered in time."
            case _:
                said = told_of_refusal(decision)
        told = Answer(f"{said} Go on by your best judgement, and say what you assumed.")
        return replace(item, status=ItemStatus.DECLINED, answer=told)
