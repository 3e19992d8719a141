"""The adapters under the harness's own retries, against a server that others wrote, and its verdict on us."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer

from harness.items import (
    Answer,
    Call,
    Completed,
    Failed,
    ItemId,
    ItemStatus,
    ThreadId,
    ToolCall,
    ToolItem,
    Turn,
    TurnId,
    TurnResult,
)
from harness.loop import run_turn
from harness.memory import MemoryJournal, PlainSession
from harness.models import Patience, WireName, open_model
from harness.protocols import Tool, ToolSpec
from tests.models.asking import EXEC


class Ls:
    """Answers every call with one file."""

    is_parallel = True
    spec: ToolSpec = EXEC

    def __init__(self) -> None:
        self.runs = 0

    def begin(self, call: Call, item_id: ItemId) -> ToolItem:
        return ToolCall(id=item_id, call=call)

    async def run(self, item: ToolItem) -> ToolItem:
        self.runs += 1
        return replace(item, status=ItemStatus.COMPLETED, answer=Answer("README.md"))


@pytest.fixture
def server() -> Iterator[LLMock]:
    """One server for the test, on a port of its own."""
    with LLMockServer() as running:
        yield LLMock(running)


async def a_turn(
    server: LLMock, wire: WireName, ls: Ls | None = None, *, idle_seconds: float = 60.0
) -> TurnResult:
    tools: Mapping[str, Tool] = {"exec_command": ls or Ls()}
    turn = Turn(id=TurnId("t"), thread_id=ThreadId("thread-1"), instructions="Be brief.", request="Look.")
    async with open_model(
        wire=wire,
        model="gpt-5",
        base_url=server.base_url(),
        api_key="sk-x",
        patience=Patience(idle_seconds=idle_seconds),
    ) as model:
        return await run_turn(
            turn,
            model=model,
            tools=tools,
            session=PlainSession(),
            journal=MemoryJournal(),
            jitter=lambda: 0.0,
        )


async def test_a_tool_is_called_and_its_output_told(server: LLMock, wire: WireName) -> None:
    """Call, output, final message: two requests, nothing to object to."""
    ls = Ls()
    server.tool_mode("off").call_tool("exec_command", {"cmd": "ls"}).reply("One file.")
    result = await a_turn(server, wire, ls)

    assert (result.outcome, ls.runs, result.steps) == (Completed("One file."), 1, 2)
    await asyncio.to_thread(server.assert_resilient, strict=True)
    assert "README.md" in str(server.last_request.body)


@pytest.mark.parametrize(
    "fault",
    ["rate limit", "outage", "disconnect", "truncate", "corrupt", "stall"],
)
async def test_what_passes_is_waited_out(server: LLMock, wire: WireName, fault: str) -> None:
    """Each passing fault costs a second request, at the right time, and no finding."""
    server.tool_mode("off")
    match fault:
        case "rate limit":
            server.rate_limit(times=1, retry_after=0.3)
        case "outage":
            server.fail(503)
        case "disconnect":
            server.disconnect(after_chunks=2)
        case "truncate":
            server.truncate(after_chunks=2)
        case "corrupt":
            # Slowly: what was sent to its end before the client could hang up would not count as failed.
            server.pace(100).corrupt(after_chunks=2)
        case _:
            server.stall(after_chunks=2, seconds=6.0)
    # Where nothing stalls, a busy machine must not look as if something did.
    result = await a_turn(server, wire, idle_seconds=2.0 if fault == "stall" else 60.0)

    assert isinstance(result.outcome, Completed)
    assert result.steps == 1
    await asyncio.to_thread(server.assert_resilient, strict=True)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "context_length_exceeded"),
        (401, "invalid_api_key"),
        (404, "model_not_found"),
        (429, "insufficient_quota"),
    ],
)
async def test_what_does_not_pass_is_not_asked_again(
    server: LLMock, wire: WireName, status: int, code: str
) -> None:
    """One request, and the person who asked is told what to do."""
    server.tool_mode("off").fail(status, code=code, times=None)
    result = await a_turn(server, wire)

    assert isinstance(result.outcome, Failed)
    assert len(await asyncio.to_thread(lambda: server.requests)) == 1


async def test_broken_calls_are_told_to_the_model(server: LLMock, wire: WireName) -> None:
    """A call of a tool that is not there is answered, and the turn goes on."""
    ls = Ls()
    server.tool_mode("off").call_tool("exec_command", {"cmd": "ls"}).break_tool_call("unknown_tool")
    server.reply("Sorry.")
    result = await a_turn(server, wire, ls)

    assert (result.outcome, ls.runs) == (Completed("Sorry."), 0)
    await asyncio.to_thread(server.assert_resilient, strict=True)
