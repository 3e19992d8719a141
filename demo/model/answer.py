"""A scripted answer made definite: ids given, arguments filled in. What both wires render; knows neither."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from demo.model.conversation import Position
from demo.model.session import FromOutput, FromRequest, ScriptedCall


@dataclass(frozen=True, slots=True)
class MadeCall:
    call_id: str
    name: str
    arguments: str
    kind: Literal["function", "custom"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, ready to be rendered. The same request always gets the same one."""

    seed: str
    """What every id of this answer is derived from."""
    text: str
    reasoning: str
    calls: tuple[MadeCall, ...]
    refusal: str
    stop: Literal["completed", "length", "content_filter"]
    input_tokens: int
    cached_tokens: int
    output_tokens: int

    def id(self, prefix: str, place: int = 0) -> str:
        return f"{prefix}_{_digest(f'{self.seed}/{prefix}/{place}')}"

    @property
    def reasoning_tokens(self) -> int:
        return _tokens(self.reasoning)


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool as the request names it."""

    kind: Literal["function", "custom"]
    only_argument: str
    """The function's first required argument: where freeform text goes."""


def answer_for(
    position: Position, *, seed: str, tools: Mapping[str, OfferedTool], input_bytes: int, is_first: bool
) -> Answer:
    turn = position.turn
    calls = tuple(
        _made_call(call, call_id=f"call_{_digest(f'{seed}/call/{place}')}", tools=tools, position=position)
        for place, call in enumerate(turn.calls)
    )
    input_tokens = max(1, input_bytes // 4)
    output = turn.text + turn.reasoning + turn.refusal + "".join(call.name + call.arguments for call in calls)
    return Answer(
        seed=seed,
        text=turn.text,
        reasoning=turn.reasoning,
        calls=calls,
        refusal=turn.refusal,
        stop=turn.stop,
        input_tokens=input_tokens,
        # What the provider's cache would hold: all but the newest part, in steps of 128 tokens, from 1024 on.
        cached_tokens=0 if is_first or input_tokens < 1024 else input_tokens * 9 // 10 // 128 * 128,
        output_tokens=max(1, _tokens(output)),
    )


def pieces(text: str, *, size: int = 12) -> list[str]:
    """The text as a model streams it: a few characters at a time, none where there is none."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def _made_call(
    call: ScriptedCall, *, call_id: str, tools: Mapping[str, OfferedTool], position: Position
) -> MadeCall:
    offered = tools.get(call.name)
    if call.input is not None:
        if offered is not None and offered.kind == "custom":
            return MadeCall(call_id, call.name, call.input, "custom")
        name = offered.only_argument if offered else "input"
        return MadeCall(call_id, call.name, orjson.dumps({name: call.input}).decode(), "function")
    if isinstance(call.arguments, str):
        return MadeCall(call_id, call.name, call.arguments, "function")
    filled = {name: _filled(value, position) for name, value in call.arguments.items()}
    return MadeCall(call_id, call.name, orjson.dumps(filled).decode(), "function")


def _filled(value: object, position: Position) -> Any:
    match value:
        case FromOutput(from_output=pattern):
            text = _last_match(pattern, position.outputs)
            return int(text) if text is not None and text.isdecimal() else text
        case FromRequest(from_request=pattern):
            return _last_match(pattern, position.said)
        case _:
            return value


def _last_match(pattern: str, texts: Sequence[str]) -> str | None:
    found = [match for text in texts for match in re.finditer(pattern, text)]
    return found[-1].group(found[-1].re.groups and 1) if found else None


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // 4)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
