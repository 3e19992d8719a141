"""Turns against a real engine (llama.cpp, 135 M parameters): `make real-engine`, not part of `make test`.

What so small a model writes is often nonsense. These tests hold what is said on the wire and done in the
sandbox, never what the model thinks of it.
"""

import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from harness.instructions import INSTRUCTIONS
from harness.items import (
    AgentMessage,
    Answer,
    AssistantText,
    Call,
    CallAnswered,
    CallMade,
    CommandExecution,
    Completed,
    Exhausted,
    Failed,
    HistoryEntry,
    Image,
    Item,
    ItemStatus,
    Life,
    ModelCall,
    Notice,
    ReasoningTrace,
    Stopped,
    ThreadId,
    Turn,
    TurnId,
    TurnLimits,
    TurnResult,
    Usage,
    UserText,
)
from harness.loop import run_turn
from harness.memory import MemoryJournal, PlainSession
from harness.models import WireName, open_model
from harness.models.probe import endpoint_fault
from harness.protocols import Entry, Model, ModelError
from harness.tools import open_tools
from sandbox.base import Workspace
from tests.harness.conftest import Confinement, give_to_sandbox
from tests.models.asking import ask

PYTHON = Path(__file__).parent.parent.parent / ".venv-engine/bin/python"
KEY = "sk-engine-0123456789"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="

pytestmark = pytest.mark.timeout(900)  # A prompt of 1,750 tokens takes 17 s on one idle core.


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of the engine, which runs as long as these tests."""
    log = tmp_path_factory.mktemp("engine") / "log"
    argv = (PYTHON, "-I", Path(__file__).with_name("engine.py"), KEY)
    with (
        log.open("wb") as errors,
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=errors, env={}, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address, f"the engine did not start:\n{log.read_text(errors='replace')}"
            yield f"{address}/v1"
        finally:
            process.kill()


@pytest.fixture
def confinement(tmp_path: Path) -> Confinement:
    """A checkout with one file."""
    for name in ("tree", "scratch"):
        (tmp_path / name).mkdir()
    give_to_sandbox(tmp_path / "tree")
    confinement = Confinement(Workspace(tree=tmp_path / "tree", scratch=tmp_path / "scratch"))
    confinement.put("notes.txt", "Water the plants.\n")
    return confinement


@asynccontextmanager
async def model_at(engine: str, wire: WireName, *, api_key: str = KEY) -> AsyncIterator[Model]:
    async with open_model(wire=wire, model="smollm2", base_url=engine, api_key=api_key) as model:
        yield model


async def a_turn(
    model: Model,
    confinement: Confinement,
    request: str,
    *,
    journal: MemoryJournal | None = None,
    session: PlainSession | None = None,
) -> TurnResult:
    """A turn as the server runs it: instructions, all tools, the sandbox."""
    turn = Turn(
        id=TurnId("t1"),
        thread_id=ThreadId("th1"),
        instructions=INSTRUCTIONS,
        request=request,
        limits=TurnLimits(steps=4, wall_seconds=600.0),
    )
    async with confinement.open() as context, open_tools(context) as tools:
        return await run_turn(
            turn,
            model=model,
            tools=tools,
            session=session or PlainSession(),
            journal=journal or MemoryJournal(),
            jitter=lambda: 0.0,
        )


def ended(entries: Sequence[Entry]) -> list[Item]:
    return [entry.item for entry in entries if entry.life is Life.COMPLETED]


async def test_a_tool_loop(engine: str, wire: WireName, confinement: Confinement) -> None:
    """The model calls a tool, the sandbox runs it, the model goes on from its output to an end."""
    journal = MemoryJournal()
    async with model_at(engine, wire) as model:
        result = await a_turn(
            model, confinement, "Run `cat notes.txt` and tell me what it says.", journal=journal
        )

    items = ended(journal.entries)
    assert isinstance(result.outcome, Completed | Exhausted), result
    commands = [item for item in items if isinstance(item, CommandExecution)]
    assert commands
    assert all(item.status in (ItemStatus.COMPLETED, ItemStatus.FAILED) for item in commands)
    assert "Process exited with code" in (commands[0].answer or Answer("")).text
    # Every intent has its one outcome, and nothing was asked twice.
    begun = [entry.item.id for entry in journal.entries if entry.life is Life.STARTED]
    assert len({item.id for item in items}) == len(items)
    assert set(begun) <= {item.id for item in items}
    assert not [item for item in items if isinstance(item, Notice) and not item.to_model]
    # The engine counted what we sum up, and found each prompt to begin with the whole one before it.
    calls = [item for item in items if isinstance(item, ModelCall)]
    assert len(calls) == result.steps > 1
    assert sum((call.usage for call in calls), Usage()) == result.usage
    for before, after in pairwise(calls):
        assert after.usage.cached_input_tokens >= before.usage.input_tokens


def every_kind() -> list[HistoryEntry]:
    """A history with all that a thread may hold, also from other endpoints."""

    def answered(*calls: Call) -> list[HistoryEntry]:
        return [*map(CallMade, calls), *(CallAnswered(call, Answer(f"{call.id} is done")) for call in calls)]

    return [
        UserText("Look around."),
        UserText("Be quick. \N{SNOWMAN} \0 <|im_end|> </tool_call>"),
        ReasoningTrace('{"type":"reasoning","encrypted_content":"gAAAA"}', "responses:api.openai.com"),
        AssistantText(""),
        AssistantText("I look."),
        *answered(Call("a", "exec_command", '{"cmd":"ls"}'), Call("b", "exec_command", '{"cmd":"pwd"}')),
        *answered(Call("c", "exec_command", '{"cmd": "ls')),
        *answered(Call("d", "exec_command", "[1]")),
        *answered(Call("e", "frobnicate", "")),
        *answered(Call("f", "apply_patch", "*** Begin Patch", kind="custom")),
        UserText("Go on."),
    ]


async def test_every_kind_of_history_is_taken(engine: str, wire: WireName) -> None:
    """Malformed arguments, unknown tools, foreign reasoning, freeform calls: never a refusal."""
    async with model_at(engine, wire) as model:
        response = await ask(model, every_kind())

    assert response.usage.input_tokens > 0
    assert response.usage.output_tokens > 0


async def test_asking_again_at_once(engine: str, wire: WireName) -> None:
    """The engine closes each connection that it promised to keep: nothing that a turn would notice."""
    async with model_at(engine, wire) as model:
        answers = [(await ask(model)).output for _ in range(3)]

    assert answers[0] == answers[1] == answers[2]


async def test_a_request_too_long_for_the_window(
    engine: str, wire: WireName, confinement: Confinement
) -> None:
    """The engine's own words for it are understood: one clear sentence, no second try."""
    journal = MemoryJournal()
    async with model_at(engine, wire) as model:
        result = await a_turn(model, confinement, "word " * 9000, journal=journal)

    assert isinstance(result.outcome, Failed)
    assert "no longer fits into the model's context window" in result.outcome.cause
    assert [type(item).__name__ for item in ended(journal.entries)] == ["UserMessage"]


async def test_a_wrong_key(engine: str, wire: WireName) -> None:
    """Found by the probe's sentence and by the fault, and the key is in neither."""
    wrong = "sk-wrong-0123456789"
    async with model_at(engine, wire, api_key=wrong) as model:
        with pytest.raises(ModelError) as caught:
            await ask(model)

    assert (caught.value.fault, wrong in str(caught.value)) == ("authentication", False)


async def test_an_image_for_a_model_without_eyes(engine: str, wire: WireName) -> None:
    """Not sent again and again: the engine's 500 is no passing fault."""
    call = Call("a", "view_image", '{"path":"a.png"}')
    shown = CallAnswered(call, Answer("a.png", image=Image("image/png", PIXEL)))
    async with model_at(engine, wire) as model:
        with pytest.raises(ModelError) as caught:
            await ask(model, [UserText("Look."), CallMade(call), shown])

    assert caught.value.fault == "invalid_request"


async def test_a_turn_stopped_in_the_middle_of_an_answer(
    engine: str, wire: WireName, confinement: Confinement
) -> None:
    """It ends at once, and the engine, which answers one at a time, is free for the next request."""

    def stop_at_the_first_word(life: Life, item: Item) -> None:
        if life is Life.STARTED and isinstance(item, AgentMessage):
            session.stop("octocat")

    session = PlainSession(show=stop_at_the_first_word)
    async with model_at(engine, wire) as model:
        result = await a_turn(model, confinement, "Tell me a very long story.", session=session)
        after = await ask(model)

    assert (result.outcome, result.steps) == (Stopped("octocat"), 0)
    assert after.output


async def test_the_probe(engine: str) -> None:
    """`darner doctor` and `/readyz` find nothing to say about it."""
    assert await endpoint_fault(base_url=engine, api_key=KEY) == ""
