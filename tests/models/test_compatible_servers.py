"""What compatible servers really send, and what the adapters make of it: nothing they leave out is needed."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.model import serve
from harness.items import AgentMessage, Call, ItemId, Reasoning, Usage
from harness.models import WireName, open_model
from harness.protocols import Model, ModelError, ModelResponse
from tests.models.asking import ask, entries_of, history_of

NO_ID = ItemId("")


async def answer_to(wire: WireName, body: bytes, *, media_type: str = "text/event-stream") -> ModelResponse:
    """What the adapter makes of a server that always answers with `body`."""

    async def always(_request: Request) -> Response:
        return Response(body, media_type=media_type)

    async with (
        serve(Starlette(routes=[Route("/{path:path}", always, methods=["POST"])])) as url,
        open_model(wire=wire, model="m", base_url=f"{url}/v1", api_key="sk-x") as model,
    ):
        return await ask(model)


def stream(*events: object, done: bool = False) -> bytes:
    """Bare `data:` lines, as servers without `event:` lines send them."""
    frames = [b"data: " + orjson.dumps(event) + b"\n\n" for event in events]
    return b"".join([*frames, b"data: [DONE]\n\n"] if done else frames)


def call_item(**fields: object) -> dict[str, object]:
    return {"type": "function_call", "name": "exec_command", "arguments": "{}", **fields}


def done(item: object) -> dict[str, object]:
    return {"type": "response.output_item.done", "item": item}


MESSAGE = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}
COMPLETED = {"type": "response.completed", "response": {"status": "completed"}}


async def test_responses_without_numbers_indexes_and_event_lines() -> None:
    """llama.cpp's: no sequence, no indexes, a bare envelope, no `arguments.done`."""
    response = await answer_to(
        "responses",
        stream(
            {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
            {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "Hi."},
            done(MESSAGE),
            {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "delta": "{}"},
            done(call_item(call_id="fc_1")),
            COMPLETED,
        ),
    )

    assert response == ModelResponse(
        output=(
            AgentMessage(id=NO_ID, text="Hi.", phase="commentary"),
            Call("fc_1", "exec_command", "{}"),
        ),
        usage=Usage(),
        stop="completed",
    )


async def test_responses_with_nulls_and_a_done_marker() -> None:
    """LiteLLM's: null where lists are specified, a `model` in every event, `[DONE]` at the end."""
    response = await answer_to(
        "responses",
        stream(
            {**done({**MESSAGE, "phase": None, "id": None}), "model": "x"},
            {
                "type": "response.completed",
                "response": {"status": "completed", "output": None, "usage": None, "error": None},
            },
            done=True,
        ),
    )

    assert response.output == (AgentMessage(id=NO_ID, text="Hi.", phase="final_answer"),)


async def test_a_completed_event_that_says_incomplete_is_a_cut_answer() -> None:
    """vLLM's way to tell that the output limit was reached."""
    incomplete = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    response = await answer_to(
        "responses", stream(done(MESSAGE), {"type": "response.completed", "response": incomplete})
    )

    assert response.stop == "length"


async def test_items_told_only_at_the_end_are_taken_from_there() -> None:
    """A server that sends no finished items, but the whole output."""
    whole = {"status": "completed", "output": [MESSAGE]}
    response = await answer_to("responses", stream({"type": "response.completed", "response": whole}))

    assert response.output == (AgentMessage(id=NO_ID, text="Hi.", phase="final_answer"),)


@pytest.mark.parametrize("given", [(None, None), ("", ""), ("call_0", "call_0")], ids=str)
async def test_calls_without_ids_of_their_own_get_some(given: Sequence[str | None]) -> None:
    """Missing and repeated ids: each call gets its own, and a repetition of the answer the same ones."""
    body = stream(*(done(call_item(call_id=call_id)) for call_id in given), COMPLETED)
    first, again = await answer_to("responses", body), await answer_to("responses", body)
    ids = [call.id for call in first.output if isinstance(call, Call)]

    assert len(set(ids)) == 2
    assert all(ids)
    assert first == again


async def test_reasoning_that_cannot_be_carried_is_shown_only() -> None:
    """Without `encrypted_content` there is nothing that a stateless request could give back."""
    item = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
    (reasoning,) = (await answer_to("responses", stream(done(item), COMPLETED))).output

    assert isinstance(reasoning, Reasoning)
    assert (reasoning.summary, reasoning.wire) == ("Hm.", "")


def chunk(delta: object, finish_reason: str | None = None, **more: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}], **more}


def call_delta(index: int | None, call_id: str | None, name: str | None, arguments: object) -> object:
    given = {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "tool_calls": [given]}


async def test_chat_with_everything_repeated_on_every_chunk() -> None:
    """Role, id and name on each delta, `arguments: null` on the first."""
    response = await answer_to(
        "chat",
        stream(
            chunk(call_delta(0, "a", "exec_command", None)),
            chunk(call_delta(0, "a", "exec_command", '{"cmd":')),
            chunk(call_delta(0, "a", "exec_command", '"ls"}')),
            chunk(call_delta(1, "b", "exec_command", "{}")),
            chunk({}, "tool_calls"),
            done=True,
        ),
    )

    assert response.output == (
        Call("a", "exec_command", '{"cmd":"ls"}'),
        Call("b", "exec_command", "{}"),
    )


@pytest.mark.parametrize("index", [0, None])
async def test_chat_with_parallel_calls_all_numbered_alike(index: int | None) -> None:
    """Gemini's compatible endpoint gives each the index 0, others none: the ids tell them apart."""
    response = await answer_to(
        "chat",
        stream(
            chunk(call_delta(index, "a", "exec_command", '{"cmd":"ls"}')),
            chunk(call_delta(index, "b", "exec_command", '{"cmd":')),
            chunk(call_delta(index, None, None, '"pwd"}')),
            chunk({}, "stop"),
        ),
    )

    assert response.output == (
        Call("a", "exec_command", '{"cmd":"ls"}'),
        Call("b", "exec_command", '{"cmd":"pwd"}'),
    )


async def test_chat_without_a_reason_but_done() -> None:
    """Some servers never say why they stopped, only that they did."""
    response = await answer_to("chat", stream(chunk({"content": "Hi."}), done=True))

    assert response.output == (AgentMessage(id=NO_ID, text="Hi.", phase="final_answer"),)


async def test_chat_with_its_usage_on_the_last_choice() -> None:
    """Usage counts wherever it comes, choices may be null, and `[DONE]` may be missing."""
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": None}
    response = await answer_to(
        "chat",
        stream(chunk({"content": "Hi."}), {"choices": None}, chunk({"content": None}, "stop", usage=usage)),
    )

    assert response.usage == Usage(input_tokens=7, output_tokens=2)


async def test_counts_that_cannot_be_are_not_added_up() -> None:
    """Less than nothing would give a spent budget back; more than all there is would fit no database."""
    usage = {"prompt_tokens": -5000, "completion_tokens": 10**18, "prompt_tokens_details": None}
    response = await answer_to(
        "chat",
        stream(chunk({"content": "Hi."}), chunk({}, "stop"), {"choices": [], "usage": usage}),
    )
    assert response.usage == Usage(input_tokens=0, output_tokens=1_000_000_000)


async def test_chat_reasoning_is_shown_and_not_sent_back() -> None:
    """`reasoning_content`, which many engines add."""
    response = await answer_to(
        "chat", stream(chunk({"reasoning_content": "Hm. "}), chunk({"content": "Hi."}, "stop"), done=True)
    )

    assert [type(output) for output in response.output] == [Reasoning, AgentMessage]


@pytest.mark.parametrize(
    ("body", "media_type", "fault"),
    [
        (b"<html>Welcome to nginx!</html>", "text/html", "malformed_answer"),
        (b'{"error": {"code": "insufficient_quota"}}', "application/json", "quota"),
        (b'{"object": "response"}', "application/json", "malformed_answer"),
        (b"", "text/event-stream", "stream_cut"),
        (b": still thinking\n\n", "text/event-stream", "stream_cut"),
        (b"data: {]\n\n", "text/event-stream", "malformed_answer"),
        (b"data: 7\n\n", "text/event-stream", "malformed_answer"),
        (b'data: {"error": {}}\n\n', "text/event-stream", "server"),
    ],
)
async def test_what_is_no_answer_has_a_name(wire: WireName, body: bytes, media_type: str, fault: str) -> None:
    """Pages, bare JSON, nothing, garbage: a fault that the loop has a rule for, never a crash."""
    with pytest.raises(ModelError) as caught:
        await answer_to(wire, body, media_type=media_type)

    assert caught.value.fault == fault
    assert caught.value.detail


async def test_a_done_marker_alone_is_no_answer_on_the_responses_wire() -> None:
    """Gateways send it after a stream that broke behind them."""
    with pytest.raises(ModelError, match="stream_cut"):
        await answer_to("responses", stream(done(MESSAGE), done=True))


async def test_a_freeform_call_of_another_endpoint_is_told_as_a_function_call() -> None:
    """A thread may move to an endpoint without freeform tools; llama.cpp refuses items it cannot place."""
    patch = Call("call_1", "apply_patch", "*** Begin Patch", kind="custom")
    async with open_model(wire="responses", model="m", base_url="http://127.0.0.1:9/v1", api_key="") as model:
        told = orjson.loads(b"[%s]" % history_of(model, entries_of(patch, answer="Done")))

    assert told == [
        {
            "type": "function_call",
            "call_id": "call_1",
            "name": "apply_patch",
            "arguments": '{"input":"*** Begin Patch"}',
        },
        {"type": "function_call_output", "call_id": "call_1", "output": "Done"},
    ]


class HangsUp:
    """Promises to keep each connection, answers `answers` requests on it, and hangs up on the next one."""

    def __init__(self, body: bytes, *, answers: int) -> None:
        self._body = body
        self._answers = answers
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with closing_writer(writer):
            for _ in range(self._answers):
                await self._read_request(reader)
                head = (
                    f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {len(self._body)}"
                )
                writer.write(f"{head}\r\nKeep-Alive: timeout=5, max=100\r\n\r\n".encode() + self._body)
                await writer.drain()
            await self._read_request(reader)

    async def _read_request(self, reader: asyncio.StreamReader) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        self.requests += 1
        (length,) = re.findall(rb"content-length: (\d+)", head, re.IGNORECASE)
        await reader.readexactly(int(length))


@asynccontextmanager
async def closing_writer(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def model_that(hangs_up: HangsUp, wire: WireName) -> AsyncIterator[Model]:
    server = await asyncio.start_server(hangs_up.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    async with (
        server,
        open_model(wire=wire, model="m", base_url=f"http://{host}:{port}/v1", api_key="sk-x") as model,
    ):
        yield model


BODIES: Mapping[WireName, bytes] = {
    "responses": stream(done(MESSAGE), COMPLETED),
    "chat": stream(chunk({"content": "Hi."}, "stop"), done=True),
}


async def test_a_kept_connection_that_was_closed_is_no_fault(wire: WireName) -> None:
    """llama.cpp promises to keep the connection and closes it after each stream: asking again works."""
    server = HangsUp(BODIES[wire], answers=1)
    async with model_that(server, wire) as model:
        answers = [(await ask(model)).output for _ in range(3)]

    assert answers == [(AgentMessage(id=NO_ID, text="Hi.", phase="final_answer"),)] * 3
    assert server.requests == 5


async def test_a_server_that_always_hangs_up_is_not_asked_for_ever(wire: WireName) -> None:
    """One more try on another connection; then it is a fault, for which the loop has a rule."""
    server = HangsUp(b"", answers=0)
    async with model_that(server, wire) as model:
        with pytest.raises(ModelError) as caught:
            await ask(model)

    assert (caught.value.fault, server.requests) == ("connection", 2)
