"""The Responses wire: stateless (`store=false`), streamed, encrypted reasoning carried from step to step.

Knows the wire's shapes only; sending, and what HTTP errors mean, is the endpoint's.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, assert_never

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

from harness.items import (
    AgentMessage,
    Answer,
    AssistantText,
    Call,
    CallAnswered,
    CallMade,
    HistoryEntry,
    ItemId,
    Reasoning,
    ReasoningTrace,
    Usage,
    UserText,
)
from harness.models.encoding import arguments_of, call_id_for, compact_json, data_url_of
from harness.models.endpoint import Endpoint
from harness.models.faults import FieldRefused, complaint_of, error_in_stream, malformed
from harness.models.sse import DONE
from harness.models.usage import tokens_told
from harness.protocols import ModelError, ModelOutput, ModelRequest, ModelResponse, ToolSpec


class ResponsesModel:
    """A `Model` that asks `POST /responses`."""

    def __init__(self, endpoint: Endpoint, model: str, *, custom_tools: bool) -> None:
        self._endpoint = endpoint
        self._model = model
        self._custom_tools = custom_tools
        self._asks_for_reasoning = True

    @property
    def name(self) -> str:
        return self._model

    def encode(self, entry: HistoryEntry) -> bytes:
        match entry:
            case UserText(text):
                return compact_json(
                    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
                )
            case AssistantText(text):
                return compact_json({"type": "message", "role": "assistant", "content": text})
            case ReasoningTrace(wire, provider):
                # Another provider cannot read it, and llama.cpp refuses the whole request over it.
                return wire.encode("utf-8", "replace") if provider == self._endpoint.provider else b""
            case CallMade(call):
                return compact_json(_call_item(self._as_offered(call)))
            case CallAnswered(call, answer):
                return compact_json(_answer_item(self._as_offered(call), answer))
        assert_never(entry)

    def _as_offered(self, call: Call) -> Call:
        """A freeform call of another endpoint as a function call: llama.cpp refuses what it cannot place."""
        return call if self._custom_tools else replace(call, kind="function")

    async def respond(self, request: ModelRequest, *, on_text: Callable[[str], None]) -> ModelResponse:
        asks_for_reasoning = self._asks_for_reasoning
        try:
            return await self._ask(request, on_text, asks_for_reasoning=asks_for_reasoning)
        except FieldRefused as refusal:
            if refusal.field != "include" or not asks_for_reasoning:
                raise
        # OpenAI's models that do not reason refuse to be asked ("Encrypted content is not supported with this
        # model."), other servers ignore it. Which models those are, only the endpoint knows.
        self._asks_for_reasoning = False
        return await self._ask(request, on_text, asks_for_reasoning=False)

    async def _ask(
        self, request: ModelRequest, on_text: Callable[[str], None], *, asks_for_reasoning: bool
    ) -> ModelResponse:
        answer = _Answer(on_text)
        body = self._body(request, asks_for_reasoning=asks_for_reasoning)
        await self._endpoint.exchange("/responses", body, take=answer.take)
        return answer.response(provider=self._endpoint.provider, history=request.history)

    def _body(self, request: ModelRequest, *, asks_for_reasoning: bool) -> bytes:
        head: dict[str, Any] = {
            "model": self._model,
            "stream": True,
            "store": False,
            "prompt_cache_key": request.cache_key,
        }
        if asks_for_reasoning:
            head["include"] = ["reasoning.encrypted_content"]
        if request.tools:
            head |= {"tools": self._tools(request.tools), "tool_choice": "auto", "parallel_tool_calls": True}
        if request.instructions:
            head["instructions"] = request.instructions
        return compact_json(head)[:-1] + b',"input":[' + request.history + b"]}"

    def _tools(self, specs: Sequence[ToolSpec]) -> list[dict[str, Any]]:
        return [self._tool(spec) for spec in specs]

    def _tool(self, spec: ToolSpec) -> dict[str, Any]:
        if spec.grammar is not None and self._custom_tools:
            grammar = {"type": "grammar", "syntax": "lark", "definition": spec.grammar}
            return {"type": "custom", "name": spec.name, "description": spec.description, "format": grammar}
        return {
            "type": "function",
            "name": spec.name,
            "description": spec.description,
            "parameters": spec.parameters,
            "strict": False,
        }


def _call_item(call: Call) -> dict[str, str]:
    match call.kind:
        case "function":
            return {
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": arguments_of(call),
            }
        case "custom":
            return {
                "type": "custom_tool_call",
                "call_id": call.id,
                "name": call.name,
                "input": call.arguments,
            }
    assert_never(call.kind)


def _answer_item(call: Call, answer: Answer) -> dict[str, Any]:
    kind = "function_call_output" if call.kind == "function" else "custom_tool_call_output"
    return {"type": kind, "call_id": call.id, "output": _output_of(answer)}


def _output_of(answer: Answer) -> str | list[dict[str, str]]:
    if answer.image is None:
        return answer.text
    parts = [{"type": "input_text", "text": answer.text}] if answer.text else []
    return [*parts, {"type": "input_image", "detail": "auto", "image_url": data_url_of(answer.image)}]


# What is read of an answer. Compatible servers leave out fields and send null for lists: nothing is required.


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)

    type: str | None = None
    text: str | None = None
    refusal: str | None = None


class _OutputItem(BaseModel):
    model_config = ConfigDict(frozen=True)

    type: str | None = None
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    content: list[_Part] | str | None = None
    summary: list[_Part] | None = None
    encrypted_content: str | None = None
    phase: Literal["commentary", "final_answer"] | None = None


class _InputDetails(BaseModel):
    cached_tokens: int | None = None


class _OutputDetails(BaseModel):
    reasoning_tokens: int | None = None


class _Usage(BaseModel):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None

    def counted(self) -> Usage:
        inputs, outputs = self.input_tokens_details, self.output_tokens_details
        return Usage(
            input_tokens=tokens_told(self.input_tokens),
            cached_input_tokens=tokens_told(inputs.cached_tokens if inputs else 0),
            output_tokens=tokens_told(self.output_tokens),
            reasoning_tokens=tokens_told(outputs.reasoning_tokens if outputs else 0),
        )


class _IncompleteDetails(BaseModel):
    reason: str | None = None


class _Envelope(BaseModel):
    """The `response` of a terminal event."""

    status: str | None = None
    output: list[_OutputItem] | None = None
    usage: _Usage | None = None
    error: Any = None
    incomplete_details: _IncompleteDetails | None = None


class _Answer:
    """Collects one streamed answer. `take` is given each event's data, `response` judges the whole.

    Of an item, only `response.output_item.done` counts; the terminal event's `output` is asked where a server
    sent none. The two may differ in `encrypted_content`, and both are valid: with one source, history is one.
    """

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self._on_text = on_text
        self._items: list[_OutputItem] = []
        self._envelope: _Envelope | None = None

    def take(self, data: bytes) -> bool:
        """Whether the answer is over. Raises `ModelError` for a broken event and for an error told in one."""
        if data == DONE:
            return True
        try:
            return self._take_event(from_json(data))
        except ValueError as error:
            raise malformed(error, "an event") from None

    def _take_event(self, event: object) -> bool:
        if not isinstance(event, dict):
            raise ModelError("malformed_answer", "an event is no JSON object")
        match event.get("type"):
            case "response.output_text.delta":
                if isinstance(delta := event.get("delta"), str):
                    self._on_text(delta)
            case "response.output_item.done":
                self._items.append(_OutputItem.model_validate(event.get("item")))
            case "response.completed" | "response.incomplete" | "response.failed":
                self._envelope = _Envelope.model_validate(event.get("response"))
                return True
            case "error":
                raise error_in_stream(complaint_of(event))
            case _ if event.get("error") is not None:
                # Sent without a type under HTTP 200, by llama.cpp even as `{"error": {}}`.
                raise error_in_stream(complaint_of(event))
            case _:
                pass
        return False

    def response(self, *, provider: str, history: bytes) -> ModelResponse:
        """The whole answer. Raises `ModelError` when there is none, or the model refused."""
        envelope = self._envelope
        if envelope is None:
            raise ModelError("stream_cut", "the answer ended before its last event")
        if envelope.error:
            raise error_in_stream(complaint_of({"error": envelope.error}))
        if envelope.status == "failed":
            raise error_in_stream(complaint_of({}))
        reason = envelope.incomplete_details.reason if envelope.incomplete_details else None
        if reason == "content_filter":
            raise ModelError("refused", "the endpoint's content filter ended the answer")
        items = self._items or envelope.output or []
        if refusal := "\n".join(_refusals(items)):
            raise ModelError("refused", refusal)
        return ModelResponse(
            output=_outputs(items, provider=provider, history=history),
            usage=envelope.usage.counted() if envelope.usage else Usage(),
            stop="length" if envelope.status == "incomplete" else "completed",
        )


def _refusals(items: Sequence[_OutputItem]) -> list[str]:
    return [
        part.refusal for item in items for part in _parts(item) if part.type == "refusal" and part.refusal
    ]


def _parts(item: _OutputItem) -> list[_Part]:
    if isinstance(item.content, str):
        return [_Part(type="output_text", text=item.content)]
    return item.content or []


def _outputs(items: Sequence[_OutputItem], *, provider: str, history: bytes) -> tuple[ModelOutput, ...]:
    outputs: list[ModelOutput] = []
    calls_follow = any(item.type in ("function_call", "custom_tool_call") for item in items)
    used_ids: set[str] = set()
    for place, item in enumerate(items):
        match item.type:
            case "message":
                text = "".join(part.text or "" for part in _parts(item))
                phase = item.phase or ("commentary" if calls_follow else "final_answer")
                outputs.append(AgentMessage(id=ItemId(""), text=text, phase=phase))
            case "reasoning":
                outputs.append(_reasoning(item, provider))
            case "function_call" | "custom_tool_call":
                call_id = call_id_for(item.call_id, used=used_ids, history=history, place=place)
                used_ids.add(call_id)
                outputs.append(_call(item, call_id))
            case _:
                # Items of the provider's own tools, which were not asked for.
                pass
    return tuple(outputs)


def _reasoning(item: _OutputItem, provider: str) -> Reasoning:
    summary = [part.text or "" for part in item.summary or []]
    wire = {
        "type": "reasoning",
        "id": item.id or "",
        "summary": [{"type": "summary_text", "text": text} for text in summary],
        "encrypted_content": item.encrypted_content,
    }
    # Without `encrypted_content` the item is a mere reference to a response that was not stored.
    carried = compact_json(wire).decode() if item.encrypted_content else ""
    return Reasoning(id=ItemId(""), summary="\n\n".join(summary), wire=carried, provider=provider)


def _call(item: _OutputItem, call_id: str) -> Call:
    if item.type == "custom_tool_call":
        return Call(id=call_id, name=item.name or "", arguments=item.input or "", kind="custom")
    return Call(id=call_id, name=item.name or "", arguments=item.arguments or "")
