"""The rules that the scripted model is held to notice what breaks them."""

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.model import Turn
from tests.models.asking import ask
from tests.models.conformance import event_problems, request_problems
from tests.models.conftest import Stage
from tests.models.order import chat_order_problems, responses_order_problems

TURN = Turn(text="All nine tests pass now.", reasoning="Let me think about it.")


@pytest.fixture
async def responses_events(stage: Stage) -> list[dict[str, Any]]:
    """A whole, correct stream."""
    async with stage.play("responses", TURN) as model:
        await ask(model)
    assert stage.app is not None
    return [orjson.loads(data) for data in stage.app.exchanges[-1].events]


async def test_each_missing_event_is_noticed(responses_events: list[dict[str, Any]]) -> None:
    """A stream without any one of its events, renumbered so that no number tells, breaks a rule."""
    for missing in range(len(responses_events)):
        events = [dict(event) for event in responses_events]
        del events[missing]
        for number, event in enumerate(events):
            event["sequence_number"] = number
        assert responses_order_problems(events, is_whole=True), responses_events[missing]["type"]


async def test_each_doubled_event_is_noticed(responses_events: list[dict[str, Any]]) -> None:
    """So does one with any event sent twice."""
    for doubled in range(len(responses_events)):
        events = [dict(event) for event in responses_events]
        events.insert(doubled, dict(events[doubled]))
        for number, event in enumerate(events):
            event["sequence_number"] = number
        assert responses_order_problems(events, is_whole=True), responses_events[doubled]["type"]


async def test_each_missing_field_is_noticed(responses_events: list[dict[str, Any]]) -> None:
    """Every field of every event that the types require is missed, and one that they do not know is found."""
    optional = {"completed_at", "error", "incomplete_details", "phase"}
    for event in responses_events:
        for name in set(event) - optional:
            lame = {field: value for field, value in event.items() if field != name}
            assert event_problems(orjson.dumps(lame)), (event["type"], name)
        surprised = event_problems(orjson.dumps({**event, "surprise": 1}))
        assert [problem.endswith(".surprise") for problem in surprised] == [True]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("input", 0, "role"), "robot"),
        (("input", 0, "content", 0, "kind"), "x"),
        (("tools", 0, "name"), None),
        (("store",), "no"),
        (("surprise",), 1),
    ],
)
async def test_a_wrong_request_is_noticed(stage: Stage, path: tuple[Any, ...], value: object) -> None:
    """Also inside the lists that the types validate lazily."""
    async with stage.play("responses", TURN) as model:
        await ask(model)
    assert stage.app is not None
    request = copy.deepcopy(dict(stage.app.exchanges[-1].request))
    assert request_problems("responses", request, streams=True) == []
    target: Any = request
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value

    assert request_problems("responses", request, streams=True)


@given(st.data())
def test_a_chat_stream_out_of_order_is_noticed(data: st.DataObject) -> None:
    """Any two different neighbours of a chat stream that change places break a rule, but for two texts."""
    head = {"id": "c", "created": 1, "model": "m", "usage": None}

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    def call(index: int, **more: Any) -> dict[str, Any]:
        return chunk({"tool_calls": [{"index": index, **more}]})

    stream: list[Any] = [
        chunk({"role": "assistant", "content": None}),
        call(0, id="a", function={"name": "x", "arguments": ""}),
        call(0, function={"arguments": "{}"}),
        call(1, id="b", function={"name": "y", "arguments": ""}),
        call(1, function={"arguments": "{}"}),
        chunk({}, "tool_calls"),
        {**head, "choices": [], "usage": {"total_tokens": 1}},
        b"[DONE]",
    ]
    assert chat_order_problems(stream, is_whole=True) == []
    place = data.draw(st.integers(0, len(stream) - 2))
    stream[place], stream[place + 1] = stream[place + 1], stream[place]

    assert chat_order_problems(stream, is_whole=True)
