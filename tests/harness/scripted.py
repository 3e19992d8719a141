"""A model that answers from a list, in this process: a third implementation of the seam, for tests."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from harness.items import (
    AgentMessage,
    AssistantText,
    Call,
    CallAnswered,
    CallMade,
    HistoryEntry,
    ItemId,
    Reasoning,
    ReasoningTrace,
    ThreadId,
    Turn,
    TurnId,
    TurnLimits,
    Usage,
    UserText,
)
from harness.protocols import ModelError, ModelOutput, ModelRequest, ModelResponse

UNSET = ItemId("")
Reply = ModelResponse | ModelError | Callable[[ModelRequest], ModelResponse]


@dataclass
class ScriptedModel:
    """Gives one reply after the other and keeps the requests."""

    replies: Sequence[Reply]
    requests: list[ModelRequest] = field(default_factory=list)
    encoded: int = 0
    name: str = "scripted"

    def encode(self, entry: HistoryEntry) -> bytes:
        self.encoded += 1
        return json.dumps(_shape(entry), separators=(",", ":")).encode()

    async def respond(self, request: ModelRequest, *, on_text: Callable[[str], None]) -> ModelResponse:
        self.requests.append(request)
        reply = self.replies[len(self.requests) - 1]
        if isinstance(reply, ModelError):
            raise reply
        response = reply if isinstance(reply, ModelResponse) else reply(request)
        for output in response.output:
            if isinstance(output, AgentMessage):
                on_text(output.text)
        return response

    def history(self, index: int = -1) -> list[dict[str, Any]]:
        """What the request told, decoded."""
        decoded: list[dict[str, Any]] = json.loads(b"[" + self.requests[index].history + b"]")
        return decoded


def _shape(entry: HistoryEntry) -> dict[str, str]:
    match entry:
        case UserText(text=text):
            return {"user": text}
        case AssistantText(text=text):
            return {"assistant": text}
        case ReasoningTrace(wire=wire):
            return {"reasoning": wire}
        case CallMade(call=call):
            return {"call": call.id, "name": call.name}
        case CallAnswered(call=call, answer=answer):
            return {"answer_to": call.id, "text": answer.text}
        case _:
            assert_never(entry)


def said(text: str) -> AgentMessage:
    return AgentMessage(id=UNSET, text=text, phase="final_answer")


def thought(wire: str) -> Reasoning:
    return Reasoning(id=UNSET, summary="", wire=wire, provider="scripted")


def called(call_id: str, name: str, **arguments: Any) -> Call:
    return Call(id=call_id, name=name, arguments=json.dumps(arguments))


def answer(*output: ModelOutput, tokens: int = 10) -> ModelResponse:
    return ModelResponse(output=output, usage=Usage(tokens, 0, 1, 0), stop="completed")


def turn(request: str = "Fix the test.", *, limits: TurnLimits | None = None) -> Turn:
    return Turn(
        id=TurnId("turn-1"),
        thread_id=ThreadId("thread-1"),
        instructions="Be brief.",
        request=request,
        limits=limits or TurnLimits(),
    )
