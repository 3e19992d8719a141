"""The Chat Completions wire: what nearly every compatible server speaks.

Knows the wire's shapes only; sending, and what HTTP errors mean, is the endpoint's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from pydantic import BaseModel
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
from harness.models.faults import complaint_of, error_in_stream, malformed
from harness.models.sse import DONE
from harness.models.usage import tokens_told
from harness.protocols import ModelError, ModelOutput, ModelRequest, ModelResponse, ToolSpec


class ChatModel:
    """A `Model` that asks `POST /chat/completions`."""

    def __init__(self, endpoint: Endpoint, model: str, *, custom_tools: bool) -> None:
        self._endpoint = endpoint
        self._model = model
        # Grammar tools are offered as functions: hardly a compatible server takes `custom` ones on this wire.
        del custom_tools

    @property
    def name(self) -> str:
        return self._model

    def encode(self, entry: HistoryEntry) -> bytes:
        match entry:
            case UserText(text):
                return compact_json({"role": "user", "content": text})
            case AssistantText(text):
                return compact_json({"role": "assistant", "content": text})
            case ReasoningTrace():
                return b""
            case CallMade():
                # Each call must be followed at once by its answer: parallel calls are told pair by pair.
                return b""
            case CallAnswered(call, answer):
                return b",".join(map(compact_json, (_call_message(call), *_answer_messages(call, answer))))
        assert_never(entry)

    async def respond(self, request: ModelRequest, *, on_text: Callable[[str], None]) -> ModelResponse:
        answer = _Answer(on_text)
        await self._endpoint.exchange("/chat/completions", self._body(request), take=answer.take)
        return answer.response(provider=self._endpoint.provider, history=request.history)

    def _body(self, request: ModelRequest) -> bytes:
        # No `prompt_cache_key`, no `parallel_tool_calls`: some servers refuse fields that they do not know.
        head: dict[str, Any] = {
            "model": self._model,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.tools:
            head |= {"tools": [_tool(spec) for spec in request.tools], "tool_choice": "auto"}
        system = (
            compact_json({"role": "system", "content": request.instructions}) if request.instructions else b""
        )
        messages = b",".join(filter(None, (system, request.history)))
        return compact_json(head)[:-1] + b',"messages":[' + messages + b"]}"


def _tool(spec: ToolSpec) -> dict[str, Any]:
    function = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
    return {"type": "function", "function": function}


def _call_message(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": arguments_of(call)}
    tool_calls = [{"id": call.id, "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": tool_calls}


def _answer_messages(call: Call, answer: Answer) -> list[dict[str, Any]]:
    text = {"role": "tool", "tool_call_id": call.id, "content": answer.text}
    if answer.image is None:
        return [text]
    # A tool's message carries text only on this wire.
    image = {"type": "image_url", "image_url": {"url": data_url_of(answer.image)}}
    return [text, {"role": "user", "content": [image]}]


# What is read of a chunk. Compatible servers leave out fields and send null for lists: nothing is required.


class _FunctionDelta(BaseModel):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _CallDelta(BaseModel):
    index: int | None = None
    id: str | None = None
    function: _FunctionDelta | None = None


class _Delta(BaseModel):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_CallDelta] | None = None


class _Choice(BaseModel):
    index: int | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None


class _PromptDetails(BaseModel):
    cached_tokens: int | None = None


class _CompletionDetails(BaseModel):
    reasoning_tokens: int | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None

    def counted(self) -> Usage:
        prompt, completion = self.prompt_tokens_details, self.completion_tokens_details
        return Usage(
            input_tokens=tokens_told(self.prompt_tokens),
            cached_input_tokens=tokens_told(prompt.cached_tokens if prompt else 0),
            output_tokens=tokens_told(self.completion_tokens),
            reasoning_tokens=tokens_told(completion.reasoning_tokens if completion else 0),
        )


class _Chunk(BaseModel):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


@dataclass(slots=True)
class _PartialCall:
    index: int | None
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class _Answer:
    """Collects one streamed answer. `take` is given each chunk's data, `response` judges the whole."""

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self._on_text = on_text
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls: list[_PartialCall] = []
        self._finish_reason: str | None = None
        self._usage = Usage()
        self._is_done = False

    def take(self, data: bytes) -> bool:
        """Whether the answer is over. Raises `ModelError` for a broken chunk and for an error told in one."""
        if data == DONE:
            self._is_done = True
            return True
        try:
            chunk = _Chunk.model_validate(from_json(data))
        except ValueError as error:
            raise malformed(error, "a chunk") from None
        if chunk.error is not None:
            raise error_in_stream(complaint_of({"error": chunk.error}))
        if chunk.usage is not None:
            self._usage = chunk.usage.counted()
        for choice in chunk.choices or []:
            self._take_choice(choice)
        # The chunk that tells the usage comes after the one that tells the reason: only `[DONE]` is the end.
        return False

    def _take_choice(self, choice: _Choice) -> None:
        if choice.index:
            return
        self._finish_reason = choice.finish_reason or self._finish_reason
        delta = choice.delta
        if delta is None:
            return
        if delta.content:
            self._text.append(delta.content)
            self._on_text(delta.content)
        self._reasoning.append(delta.reasoning_content or delta.reasoning or "")
        self._refusal.append(delta.refusal or "")
        for call in delta.tool_calls or []:
            self._take_call(call)

    def _take_call(self, delta: _CallDelta) -> None:
        call = self._partial_call(delta)
        call.id = call.id or delta.id or ""
        if delta.function is None:
            return
        # The name comes whole; servers that repeat it on every delta mean the same call.
        call.name = call.name or delta.function.name or ""
        arguments = delta.function.arguments
        if isinstance(arguments, dict):
            arguments = compact_json(arguments).decode()
        call.arguments.append(arguments or "")

    def _partial_call(self, delta: _CallDelta) -> _PartialCall:
        for call in reversed(self._calls):
            # No index: the last call goes on. A known index with another id: a new call (Gemini's compatible
            # endpoint numbers every parallel call 0).
            if delta.index in (None, call.index) and (not delta.id or not call.id or delta.id == call.id):
                return call
        call = _PartialCall(delta.index)
        self._calls.append(call)
        return call

    def response(self, *, provider: str, history: bytes) -> ModelResponse:
        """The whole answer. Raises `ModelError` when there is none, or the model refused."""
        # Some servers never give a reason, but say that they are done; one of the two must have come.
        if self._finish_reason is None and not self._is_done:
            raise ModelError("stream_cut", "the answer ended before its last chunk")
        if refusal := "".join(self._refusal):
            raise ModelError("refused", refusal)
        if self._finish_reason == "content_filter":
            raise ModelError("refused", "the endpoint's content filter ended the answer")
        return ModelResponse(
            output=self._outputs(provider=provider, history=history),
            usage=self._usage,
            stop="length" if self._finish_reason == "length" else "completed",
        )

    def _outputs(self, *, provider: str, history: bytes) -> tuple[ModelOutput, ...]:
        outputs: list[ModelOutput] = []
        if reasoning := "".join(self._reasoning):
            outputs.append(Reasoning(id=ItemId(""), summary=reasoning, wire="", provider=provider))
        if text := "".join(self._text):
            is_last_word = not self._calls
            outputs.append(
                AgentMessage(id=ItemId(""), text=text, phase="final_answer" if is_last_word else "commentary")
            )
        return (*outputs, *_calls(self._calls, history=history))


def _calls(partial: Sequence[_PartialCall], *, history: bytes) -> list[Call]:
    calls: list[Call] = []
    used: set[str] = set()
    for place, call in enumerate(partial):
        call_id = call_id_for(call.id, used=used, history=history, place=place)
        used.add(call_id)
        calls.append(Call(id=call_id, name=call.name, arguments="".join(call.arguments)))
    return calls
