"""Whole turns over real HTTP, on both wires, with real tools in the real sandbox: what the endpoint sees."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from demo.model import Exchange, ScriptedModel, create_app, serve
from demo.model.session import (
    Branch,
    Cut,
    Failure,
    Fault,
    Garbage,
    ScriptedCall,
    When,
    context_overflow,
    rate_limited,
)
from demo.model.session import Session as Script
from demo.model.session import Turn as Said
from harness.instructions import INSTRUCTIONS
from harness.items import Compaction, Completed, Failed, Notice, ThreadId, Turn, TurnId, TurnResult
from harness.loop import run_turn
from harness.memory import MemoryJournal, PlainSession
from harness.models import WIRES, WireName, open_model
from harness.tools import open_tools
from tests.harness.conftest import Confinement

wires = pytest.mark.parametrize("wire", sorted(WIRES))


class HastySession(PlainSession):
    """Does not wait between tries."""

    async def sleep(self, seconds: float) -> None:
        del seconds


@asynccontextmanager
async def endpoint(*said: Said) -> AsyncIterator[tuple[ScriptedModel, str]]:
    app = create_app([Script(name="scripted-test", turns=said)])
    async with serve(app) as url:
        yield app, f"{url}/v1"


async def run(
    wire: WireName,
    url: str,
    confinement: Confinement,
    *,
    journal: MemoryJournal | None = None,
    model: str = "scripted-test",
) -> TurnResult:
    turn = Turn(
        id=TurnId("t1"), thread_id=ThreadId("th1"), instructions=INSTRUCTIONS, request="Fix the test."
    )
    async with (
        open_model(wire=wire, model=model, base_url=url, api_key="none") as opened,
        confinement.open() as context,
        open_tools(context) as tools,
    ):
        return await run_turn(
            turn, model=opened, tools=tools, session=HastySession(), journal=journal or MemoryJournal()
        )


def command(cmd: str) -> ScriptedCall:
    return ScriptedCall(name="exec_command", arguments={"cmd": cmd})


def size(request: Mapping[str, Any]) -> int:
    return len(json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode())


def told(request: Mapping[str, Any]) -> Sequence[object]:
    history: Sequence[object] = request["input"] if "input" in request else request["messages"]
    return history


PATCH = "*** Begin Patch\n*** Update File: a.py\n@@\n-x = 1\n+x = 2\n*** End Patch\n"


@wires
async def test_a_whole_turn(wire: WireName, confinement: Confinement) -> None:
    """Look, patch, verify, answer; every request only adds to the one before it."""
    confinement.put("a.py", "x = 1\n")
    journal = MemoryJournal()
    async with endpoint(
        Said(reasoning="Look first.", text="I look.", calls=(command("cat a.py"), command("ls"))),
        Said(calls=(ScriptedCall(name="apply_patch", input=PATCH),)),
        Said(calls=(command("cat a.py"),)),
        Said(text="Fixed: x is 2."),
    ) as (app, url):
        result = await run(wire, url, confinement, journal=journal)

    assert result.outcome == Completed("Fixed: x is 2.")
    assert (result.steps, result.usage.total_tokens > 0) == (4, True)
    assert (confinement.checkout / "a.py").read_text() == "x = 2\n"
    requests = [exchange.request for exchange in app.exchanges]
    for before, after in pairwise(requests):
        assert told(after)[: len(told(before))] == told(before)
        assert after["tools"] == before["tools"]
    assert "x = 2" in json.dumps(told(requests[-1])[-1])


@wires
async def test_the_first_request_is_small_and_output_adds_little(
    wire: WireName, confinement: Confinement
) -> None:
    """Instructions and tools within 8 kB; a megabyte of output adds at most 12 kB."""
    async with endpoint(Said(calls=(command("seq 1 200000 | head -c 1048576"),)), Said(text="Long.")) as (
        app,
        url,
    ):
        await run(wire, url, confinement)

    first, second = (size(exchange.request) for exchange in app.exchanges)
    assert first <= 8_000
    assert second - first <= 12_000


@wires
@pytest.mark.parametrize(
    "fault",
    [
        *(Cut(after_events=events, how=how) for events in (0, 1, 3) for how in ("clean", "dropped")),
        Cut(after_events=2, how="inside_event"),
        Garbage(after_events=2),
        Failure(how="unexplained"),
        rate_limited(0.01),
    ],
    ids=repr,
)
async def test_a_fault_in_the_middle_runs_nothing_twice(
    wire: WireName, fault: Fault, confinement: Confinement
) -> None:
    """Wherever a stream breaks, each command has run once and the turn goes on."""
    journal = MemoryJournal()
    async with endpoint(
        Said(text="Count.", calls=(command("echo once >> log"),)),
        Said(text="Count again.", calls=(command("echo twice >> log"),), fault=fault),
        Said(text="Done."),
    ) as (_, url):
        result = await run(wire, url, confinement, journal=journal)

    assert result.outcome == Completed("Done.")
    assert (confinement.checkout / "log").read_text() == "once\ntwice\n"
    assert len([entry for entry in journal.entries if isinstance(entry.item, Notice)]) == 1


@wires
async def test_malformed_arguments_are_told_to_the_model(wire: WireName, confinement: Confinement) -> None:
    """The model reads what was wrong and does better."""
    async with endpoint(
        Said(calls=(ScriptedCall(name="exec_command", arguments='{"cmd": "touch a'),)),
        Said(calls=(command("touch b"),)),
        Said(text="Done."),
    ) as (app, url):
        result = await run(wire, url, confinement)

    assert result.outcome == Completed("Done.")
    assert sorted(path.name for path in confinement.checkout.iterdir()) == ["b"]
    assert "The call was not run, its arguments are wrong" in json.dumps(told(app.exchanges[1].request)[-1])


HANDOVER = Script(
    name="handover",
    match=("# The record", "# Now", "Write the handover"),
    turns=(Said(text="I counted in log."),),
)


@wires
async def test_an_overflow_in_the_middle_is_made_room_for(wire: WireName, confinement: Confinement) -> None:
    """The endpoint takes no more: it sums up, and the turn goes on from there to its end."""
    counts = Said(text="Count.", calls=(command("echo once >> log; echo lines=$(wc -l < log)=; seq 2000"),))
    # What the model sees of the past gets shorter: what it does next follows from the output.
    is_enough = Said(text="Done.", when=When(output_contains="lines=10="), is_last=True)
    script = Script(name="count", match=("Fix the test",), turns=(Branch(either=(is_enough, counts)),) * 11)
    journal = MemoryJournal()

    def fills_up(exchange: Exchange) -> None:
        del exchange
        if len(app.exchanges) == 7:
            app.strike(context_overflow())

    app = create_app([script, HANDOVER], observer=fills_up)
    async with serve(app) as url:
        result = await run(wire, f"{url}/v1", confinement, journal=journal, model="scripted")

    assert result.outcome == Completed("Done.")
    compaction = next(entry.item for entry in journal.entries if isinstance(entry.item, Compaction))
    assert (compaction.reason, compaction.by) == ("overflow", "model")
    refused, summed_up, again = [exchange.request for exchange in list(app.exchanges)[7:10]]
    assert size(again) < size(refused) / 2
    assert "tools" not in summed_up
    assert "Fix the test." in json.dumps(told(again))
    assert "I counted in log." in json.dumps(told(again))
    assert result.usage.total_tokens > 0


@wires
async def test_a_conversation_that_grew_too_long_ends_in_a_clear_sentence(
    wire: WireName, confinement: Confinement
) -> None:
    """Asking again would not help, and nobody is left guessing."""
    async with endpoint(Said(text="Never.", fault=context_overflow())) as (app, url):
        result = await run(wire, url, confinement)

    assert isinstance(result.outcome, Failed)
    assert "no longer fits into the model's context window" in result.outcome.cause
    assert len(app.exchanges) == 1
