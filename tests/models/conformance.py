"""Holds the scripted model and its clients to the `openai` package's types and to the order of events.

Give a `Conformance` to `create_app(observer=…)`; after the test its `problems` must be empty.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args

import orjson
from openai import BaseModel
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)
from pydantic import TypeAdapter, ValidationError

from demo.model import Exchange, Failure
from tests.models.order import chat_order_problems, responses_order_problems

_REQUESTS = {
    ("responses", True): ResponseCreateParamsStreaming,
    ("responses", False): ResponseCreateParamsNonStreaming,
    ("chat", True): CompletionCreateParamsStreaming,
    ("chat", False): CompletionCreateParamsNonStreaming,
}


@dataclass
class Conformance:
    """Collects what is wrong with each exchange."""

    problems: list[str] = field(default_factory=list)
    requests: int = 0
    events: int = 0

    def __call__(self, exchange: Exchange) -> None:
        self.requests += 1
        streams = bool(exchange.request.get("stream"))
        self._add("request", request_problems(exchange.wire, exchange.request, streams=streams))
        if exchange.status != 200:
            return
        self.events += len(exchange.events)
        if not streams:
            model: type[BaseModel] = Response if exchange.wire == "responses" else ChatCompletion
            self._add("answer", model_problems(model, exchange.events[0]))
            return
        self._add("event", _stream_type_problems(exchange))
        failed = isinstance(exchange.fault, Failure)
        events: list[Any] = [data if data == b"[DONE]" else orjson.loads(data) for data in exchange.events]
        check = responses_order_problems if exchange.wire == "responses" else chat_order_problems
        # An error in the midst ends a stream without its usual end; what came before still keeps the order.
        self._add(
            "order", check(events[:-1] if failed else events, is_whole=exchange.is_whole and not failed)
        )

    def _add(self, what: str, problems: Iterable[str]) -> None:
        self.problems.extend(f"{what}: {problem}" for problem in problems)


def request_problems(wire: str, request: Mapping[str, Any], *, streams: bool) -> list[str]:
    """What the types say against a request: mistakes, and whatever they do not know."""
    try:
        validated = _adapter(_REQUESTS[wire, streams]).validate_python(request, strict=True)
        # `Iterable` fields are validated as they are read, and unknown keys are dropped in silence.
        known = _drained(validated)
    except ValidationError as error:
        return [str(error)]
    return [] if known == request else [f"unknown to the types: {_difference(request, known)}"]


def model_problems(model: type[BaseModel], data: bytes) -> list[str]:
    """What a response type says against an object: mistakes, and fields it does not know."""
    try:
        parsed = _adapter(model).validate_json(data, strict=True)
    except ValidationError as error:
        return [f"{error} in {data!r}"]
    return [f"unknown to the types: {path}" for path in _extra(parsed, model.__name__)]


def event_problems(data: bytes) -> list[str]:
    """What the types say against one event of a Responses stream."""
    kind = orjson.loads(data).get("type")
    model = _event_models().get(kind)
    return [f"no such event: {kind}"] if model is None else model_problems(model, data)


def _stream_type_problems(exchange: Exchange) -> Iterable[str]:
    for data in exchange.events:
        if data == b"[DONE]":
            continue
        if isinstance(exchange.fault, Failure) and "error" in orjson.loads(data):
            continue
        yield from (
            event_problems(data)
            if exchange.wire == "responses"
            else model_problems(ChatCompletionChunk, data)
        )


@cache
def _adapter(of: Any) -> TypeAdapter[Any]:
    return TypeAdapter(of)


@cache
def _event_models() -> dict[str, type[BaseModel]]:
    union = get_args(ResponseStreamEvent)[0]
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(union)}


def _drained(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _drained(part) for name, part in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_drained(part) for part in value]
    return value


def _difference(given: Any, known: Any) -> Any:
    if isinstance(given, dict) and isinstance(known, dict):
        return {
            name: _difference(value, known.get(name))
            for name, value in given.items()
            if value != known.get(name)
        }
    if isinstance(given, list) and isinstance(known, list) and len(given) == len(known):
        return [_difference(a, b) for a, b in zip(given, known, strict=True) if a != b]
    return given


def _extra(value: Any, path: str) -> Iterable[str]:
    if isinstance(value, BaseModel):
        yield from (f"{path}.{name}" for name in value.model_extra or ())
        for name in type(value).model_fields:
            yield from _extra(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _extra(part, f"{path}[{place}]")
