"""What every wire's adapter does, whoever serves it: one contract, tried on the scripted model."""

from itertools import pairwise
from typing import Any, Literal

import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.model import (
    Cut,
    Failure,
    Garbage,
    HttpError,
    ScriptedCall,
    Stall,
    Turn,
    context_overflow,
    out_of_quota,
    rate_limited,
    serve,
)
from harness.items import (
    AgentMessage,
    Answer,
    AssistantText,
    Call,
    CallAnswered,
    CallMade,
    HistoryEntry,
    Image,
    ItemId,
    Reasoning,
    ReasoningTrace,
    Usage,
    UserText,
)
from harness.models import WireName, open_model
from harness.protocols import ModelError
from tests.models.asking import ask, entries_of, history_of, request
from tests.models.conftest import KEY, Stage

HOWS: tuple[Literal["clean", "dropped", "inside_event"], ...] = ("clean", "dropped", "inside_event")
NO_ID = ItemId("")
TEXT = "All 9 tests pass, naïve ones — 🧶 — included."


def last_request(stage: Stage) -> dict[str, Any]:
    assert stage.app is not None
    return dict(stage.app.exchanges[-1].request)


async def test_an_answer_is_shown_as_it_comes_and_told_whole(stage: Stage, wire: WireName) -> None:
    """The watched pieces, put together, are the message."""
    watched: list[str] = []
    async with stage.play(wire, Turn(text=TEXT)) as model:
        response = await model.respond(request(model), on_text=watched.append)

    assert response.output == (AgentMessage(id=NO_ID, text=TEXT, phase="final_answer"),)
    assert response.stop == "completed"
    assert len(watched) > 1
    assert "".join(watched) == TEXT


async def test_usage_is_told_as_the_endpoint_counted_it(stage: Stage, wire: WireName) -> None:
    """Each of the four numbers arrives in its place."""
    async with stage.play(wire, Turn(text="a" * 40, reasoning="b" * 20)) as model:
        response = await ask(model)

    body = orjson.dumps(last_request(stage))
    assert response.usage == Usage(
        input_tokens=len(body) // 4, cached_input_tokens=0, output_tokens=15, reasoning_tokens=5
    )


async def test_parallel_calls_arrive_in_order_and_are_answered(stage: Stage, wire: WireName) -> None:
    """Two calls of one answer keep their order, and the next request tells both with their outputs."""
    calls = tuple(ScriptedCall(name="exec_command", arguments={"cmd": cmd}) for cmd in ("ls", "cat 'a b'"))
    async with stage.play(wire, Turn(text="Looking.", calls=calls), Turn(text="Done.")) as model:
        first = await ask(model)
        entries = [UserText("Fix it."), *(entry for output in first.output for entry in entries_of(output))]
        second = await ask(model, entries)

    assert [(o.name, o.arguments) for o in first.output if isinstance(o, Call)] == [
        ("exec_command", '{"cmd":"ls"}'),
        ("exec_command", '{"cmd":"cat \'a b\'"}'),
    ]
    assert first.output[0] == AgentMessage(id=NO_ID, text="Looking.", phase="commentary")
    assert second.output == (AgentMessage(id=NO_ID, text="Done.", phase="final_answer"),)


async def test_malformed_arguments_are_delivered_and_never_poison_the_history(
    stage: Stage, wire: WireName
) -> None:
    """The loop gets them as they are; later requests carry valid JSON, which templates of servers parse."""
    broken = ScriptedCall(name="exec_command", arguments='{"cmd": "ls')
    async with stage.play(wire, Turn(calls=(broken,)), Turn(text="Sorry.")) as model:
        first = await ask(model)
        entries = [UserText("Fix it."), *entries_of(first.output[0], answer="not JSON")]
        await ask(model, entries)

    (call,) = first.output
    assert isinstance(call, Call)
    assert call.arguments == '{"cmd": "ls'
    assert _sent_arguments(wire, last_request(stage)) == ['{"input":"{\\"cmd\\": \\"ls"}']


def _sent_arguments(wire: WireName, body: dict[str, Any]) -> list[str]:
    if wire == "responses":
        return [item["arguments"] for item in body["input"] if item.get("type") == "function_call"]
    made = [call for message in body["messages"] for call in message.get("tool_calls", ())]
    return [call["function"]["arguments"] for call in made]


async def test_an_image_reaches_the_model(stage: Stage, wire: WireName) -> None:
    """An answer with a picture is told with its picture, the way each wire takes one."""
    call = Call("call_1", "view_image", '{"path":"a.png"}')
    shown = CallAnswered(call, Answer("a.png, 1x1", image=Image("image/png", "iVBORw0=")))
    async with stage.play(wire, Turn(calls=(ScriptedCall(name="view_image"),)), Turn(text="Blue.")) as model:
        response = await ask(model, [UserText("Look."), CallMade(call), shown])

    assert [type(output) for output in response.output] == [AgentMessage]
    assert "data:image/png;base64,iVBORw0=" in orjson.dumps(last_request(stage)).decode()


async def test_each_history_is_a_prefix_of_the_next_one(stage: Stage, wire: WireName) -> None:
    """Equal entries give equal bytes, so growing a history never changes what was sent before."""
    call = Call("call_1", "exec_command", '{"cmd":"ls"}')
    entries: list[HistoryEntry] = [
        UserText("Fix \ud800 it."),
        AssistantText("Looking."),
        ReasoningTrace('{"type":"reasoning"}', "elsewhere"),
        CallMade(call),
        CallAnswered(call, Answer("a.py\x00")),
    ]
    async with stage.play(wire) as model:
        histories = [history_of(model, entries[:length]) for length in range(len(entries) + 1)]

    assert all(later.startswith(earlier) for earlier, later in pairwise(histories))
    assert isinstance(orjson.loads(b"[" + histories[-1] + b"]"), list)


@pytest.mark.parametrize(
    ("fault", "expected", "retry_after"),
    [
        (rate_limited(1.5), "rate_limited", 1.5),
        (HttpError(status=429, headers={"retry-after-ms": "250", "retry-after": "9"}), "rate_limited", 0.25),
        (HttpError(status=429, message="Please try again in 1m2.5s."), "rate_limited", 62.5),
        (HttpError(status=429), "rate_limited", None),
        (out_of_quota(), "quota", None),
        (context_overflow(), "context_overflow", None),
        (HttpError(status=400, type="exceed_context_size_error"), "context_overflow", None),
        (HttpError(status=400, message="maximum context length is 4096 tokens"), "context_overflow", None),
        (HttpError(status=400, code="content_policy_violation"), "refused", None),
        (HttpError(status=400, code="invalid_value"), "invalid_request", None),
        (HttpError(status=400, param="tools[0]"), "invalid_request", None),
        (HttpError(status=401, code="invalid_api_key"), "authentication", None),
        (HttpError(status=403), "authentication", None),
        (HttpError(status=404, code="model_not_found"), "invalid_request", None),
        (HttpError(status=500, type="server_error"), "server", None),
        (HttpError(status=502, type="bad_gateway"), "server", None),
        (HttpError(status=503, headers={"retry-after": "3"}), "overloaded", 3.0),
        (HttpError(status=529, type="overloaded_error"), "overloaded", None),
        (Failure(code="server_error"), "server", None),
        (Failure(code="rate_limit_exceeded", message="Please try again in 20ms."), "rate_limited", 0.02),
        (Failure(code="context_length_exceeded", how="error"), "context_overflow", None),
        (Failure(how="unexplained"), "server", None),
        (Cut(after_events=0, how="clean"), "stream_cut", None),
        (Cut(after_events=4, how="clean"), "stream_cut", None),
        (Cut(after_events=4, how="dropped"), "stream_cut", None),
        (Cut(after_events=4, how="inside_event"), "stream_cut", None),
        (Garbage(after_events=2), "malformed_answer", None),
    ],
    ids=str,
)
async def test_a_fault_is_named_and_costs_one_request(
    stage: Stage, wire: WireName, fault: Any, expected: str, retry_after: float | None
) -> None:
    """Nothing is retried in secret: the caller learns what it was and how long to wait, and may ask again."""
    async with stage.play(wire, Turn(text=TEXT, fault=fault)) as model:
        with pytest.raises(ModelError) as caught:
            await ask(model)
        response = await ask(model)

    assert (caught.value.fault, caught.value.retry_after) == (expected, retry_after)
    assert caught.value.detail
    assert stage.conformance.requests == 2
    assert response.output == (AgentMessage(id=NO_ID, text=TEXT, phase="final_answer"),)


async def test_a_stream_cut_after_any_event_is_never_taken_for_an_answer(
    stage: Stage, wire: WireName
) -> None:
    """Wherever the stream ends early, cleanly or not, there is no answer; only the whole one counts."""
    turn = Turn(
        text="Hi.", reasoning="Hm.", calls=(ScriptedCall(name="exec_command", arguments={"cmd": "ls"}),)
    )
    async with stage.play(wire, turn) as model:
        whole = await ask(model)
        assert stage.app is not None
        # Chat's last two events, usage and [DONE], come when the answer is complete already.
        needed = len(stage.app.exchanges[-1].events) - (2 if wire == "chat" else 0)
        for after in range(needed):
            for how in HOWS:
                stage.app.strike(Cut(after_events=after, how=how))
                with pytest.raises(ModelError, match="stream_cut"):
                    await ask(model)
        assert await ask(model) == whole


async def test_a_silent_endpoint_is_given_up(stage: Stage, wire: WireName) -> None:
    """Idle time counts from the last piece; a stall in the midst is a cut stream."""
    async with stage.play(
        wire, Turn(text=TEXT, fault=Stall(after_events=3, seconds=3.0)), idle_seconds=1.0
    ) as model:
        with pytest.raises(ModelError, match="stream_cut"):
            await ask(model)


async def test_a_slow_answer_is_waited_for(stage: Stage, wire: WireName) -> None:
    """A pause shorter than the patience changes nothing."""
    async with stage.play(wire, Turn(text=TEXT, fault=Stall(after_events=3, seconds=0.2))) as model:
        assert (await ask(model)).output[-1] == AgentMessage(id=NO_ID, text=TEXT, phase="final_answer")


@pytest.mark.parametrize(
    "turn",
    [Turn(refusal="I will not do that."), Turn(text="I", stop="content_filter")],
    ids=["refusal", "filter"],
)
async def test_a_refusal_is_no_answer(stage: Stage, wire: WireName, turn: Turn) -> None:
    """What the model will not do is told apart from what it could not."""
    async with stage.play(wire, turn) as model:
        with pytest.raises(ModelError) as caught:
            await ask(model)

    assert caught.value.fault == "refused"
    assert turn.refusal in caught.value.detail


async def test_an_answer_at_the_output_limit_is_an_answer(stage: Stage, wire: WireName) -> None:
    """It is delivered, and says that it is cut."""
    async with stage.play(wire, Turn(text="To be contin", stop="length")) as model:
        response = await ask(model)

    assert (response.output[-1].text if isinstance(response.output[-1], AgentMessage) else None) == (
        "To be contin"
    )
    assert response.stop == "length"


async def test_the_key_is_in_no_error(stage: Stage, wire: WireName) -> None:
    """An endpoint that quotes the key back does not get it into a message, a log or a traceback."""
    quoting = HttpError(status=401, code="invalid_api_key", message=f"Incorrect API key provided: {KEY}.")
    async with stage.play(wire, Turn(text=TEXT, fault=quoting)) as model:
        with pytest.raises(ModelError) as caught:
            await ask(model)

    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "Incorrect API key provided: [api key]." in caught.value.detail


@pytest.mark.parametrize("key", ["käy", "sk-\x00", "sk\n-x"])
async def test_a_key_that_no_header_takes_is_refused_at_once(wire: WireName, key: str) -> None:
    """The transport would quote it in its error."""
    with pytest.raises(ModelError, match="authentication: the API key holds characters") as caught:
        async with open_model(wire=wire, model="m", base_url="http://127.0.0.1:9/v1", api_key=key):
            pass

    assert key not in str(caught.value)


async def test_a_server_that_wants_no_key_gets_none(wire: WireName, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty key is not replaced by the one of the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    seen: list[str | None] = []

    async def look(seen_request: Request) -> Response:
        seen.append(seen_request.headers.get("authorization"))
        return Response(status_code=404)

    app = Starlette(routes=[Route("/{path:path}", look, methods=["POST"])])
    async with (
        serve(app) as url,
        open_model(wire=wire, model="m", base_url=f"{url}/v1", api_key="") as model,
    ):
        with pytest.raises(ModelError, match="invalid_request"):
            await ask(model)

    assert seen == ["Bearer none"]


async def test_reasoning_is_carried_on_as_it_was_given(stage: Stage) -> None:
    """The item of `output_item.done` goes back byte for byte, though the final output shows another copy."""
    async with stage.play(
        "responses",
        Turn(reasoning="**Thinking**\n\nHm.", calls=(ScriptedCall(name="exec_command"),)),
        Turn(text="Done."),
    ) as model:
        first = await ask(model)
        entries = [UserText("Fix it."), *(entry for output in first.output for entry in entries_of(output))]
        await ask(model, entries)

    reasoning = first.output[0]
    assert isinstance(reasoning, Reasoning)
    assert reasoning.summary == "**Thinking**\n\nHm."
    assert last_request(stage)["input"][1] == orjson.loads(reasoning.wire)
    assert stage.app is not None
    done = [orjson.loads(event) for event in stage.app.exchanges[0].events]
    streamed = next(event["item"] for event in done if event["type"] == "response.output_item.done")
    assert streamed == orjson.loads(reasoning.wire)
    assert streamed["encrypted_content"] != done[-1]["response"]["output"][0]["encrypted_content"]


async def test_reasoning_is_kept_from_other_providers(stage: Stage) -> None:
    """Who cannot decrypt it does not get it: some refuse the whole request over it."""
    async with stage.play("responses", Turn(text="Hi.")) as model:
        trace = ReasoningTrace('{"type":"reasoning","id":"rs_1"}', "responses:api.example.com")

        assert model.encode(trace) == b""


async def test_a_freeform_tool_is_offered_where_the_endpoint_takes_it(stage: Stage) -> None:
    """With `custom_tools` the patch is plain text both ways; without, it is a function's argument."""
    patch = "*** Begin Patch\n*** End Patch"
    call = ScriptedCall(name="apply_patch", input=patch)
    async with stage.play("responses", Turn(calls=(call,)), Turn(text="Done."), custom_tools=True) as model:
        freeform = (await ask(model)).output[0]
        await ask(model, [UserText("Fix it."), *entries_of(freeform)])
    told = last_request(stage)
    async with stage.play("responses", Turn(calls=(call,))) as model:
        function = (await ask(model)).output[0]

    assert isinstance(freeform, Call)
    assert isinstance(function, Call)
    assert (freeform.kind, freeform.arguments) == ("custom", patch)
    assert (function.kind, function.arguments) == ("function", orjson.dumps({"input": patch}).decode())
    assert [item["type"] for item in told["input"]] == [
        "message",
        "custom_tool_call",
        "custom_tool_call_output",
    ]
    assert [tool["type"] for tool in told["tools"]] == ["function", "custom"]


async def test_a_responses_request_is_stateless_and_cached_by_thread(stage: Stage) -> None:
    """Nothing is stored with the provider, and the thread is the cache key."""
    async with stage.play("responses", Turn(text="Hi.")) as model:
        await ask(model)

    told = last_request(stage)
    assert {name: told[name] for name in told if name not in ("tools", "input")} == {
        "model": "scripted-test",
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "thread-1",
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "instructions": "You are Darner.",
    }


async def test_a_model_that_does_not_reason_is_asked_without_reasoning(stage: Stage) -> None:
    """The endpoint says so once; from then on nothing is asked for that it does not take."""
    message = "Encrypted content is not supported with this model."
    refused = HttpError(status=400, param="include", message=message)
    async with stage.play("responses", Turn(text="Hi.", fault=refused)) as model:
        first, second = await ask(model), await ask(model)

    assert first.output == second.output
    assert stage.app is not None
    told = [(exchange.status, exchange.request.get("include")) for exchange in stage.app.exchanges]
    assert told == [(400, ["reasoning.encrypted_content"]), (200, None), (200, None)]


async def test_an_unreachable_endpoint_is_told_as_such(wire: WireName) -> None:
    """Nobody listens there: a connection fault, in words that name the cause and not the key."""
    async with open_model(wire=wire, model="m", base_url="http://127.0.0.1:9/v1", api_key=KEY) as model:
        with pytest.raises(ModelError) as caught:
            await ask(model)

    assert caught.value.fault == "connection"
    assert "ConnectError" in caught.value.detail
