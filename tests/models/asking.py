"""What tests of models ask, and how an answer becomes history. Runs no tool."""

from collections.abc import Iterable

from harness.items import (
    AgentMessage,
    Answer,
    AssistantText,
    Call,
    CallAnswered,
    CallMade,
    HistoryEntry,
    Reasoning,
    ReasoningTrace,
    UserText,
)
from harness.protocols import Model, ModelOutput, ModelRequest, ModelResponse, ToolSpec

EXEC = ToolSpec(
    "exec_command",
    "Runs a shell command.",
    {"type": "object", "properties": {"cmd": {"type": "string"}}, "required": ["cmd"]},
)
PATCH = ToolSpec(
    "apply_patch",
    "Edits files.",
    {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]},
    grammar='start: "*** Begin Patch"',
)


def history_of(model: Model, entries: Iterable[HistoryEntry]) -> bytes:
    return b",".join(filter(None, map(model.encode, entries)))


def request(model: Model, entries: Iterable[HistoryEntry] = (UserText("Fix it."),)) -> ModelRequest:
    return ModelRequest(
        instructions="You are Darner.",
        tools=(EXEC, PATCH),
        history=history_of(model, entries),
        cache_key="thread-1",
    )


async def ask(model: Model, entries: Iterable[HistoryEntry] = (UserText("Fix it."),)) -> ModelResponse:
    """One answer to these entries, its text not watched."""
    return await model.respond(request(model, entries), on_text=lambda _text: None)


def entries_of(output: ModelOutput, *, answer: str = "ok") -> list[HistoryEntry]:
    """What an output adds to the history; each call is answered with `answer`."""
    match output:
        case AgentMessage(text=text):
            return [AssistantText(text)]
        case Reasoning(wire=wire, provider=provider):
            return [ReasoningTrace(wire, provider)]
        case Call():
            return [CallMade(output), CallAnswered(output, Answer(answer))]
