"""What the harness adds to a confined command, and whether a long turn's steps cost more than a short one's.

The real `run_turn` with the real tools, driver and journal. Right before each request to the model the same
confined command is run bare: each step is judged by a floor taken a few milliseconds from it, so that a busy
machine slows both.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import mean
from typing import Final, assert_never

from bench import codex
from bench.endpoint import Endpoint, endpoint, gaps
from bench.figure import Figure, median, percentile
from bench.ground import Ground, ground
from harness.items import (
    AgentMessage,
    AssistantText,
    Call,
    CallAnswered,
    CallMade,
    HistoryEntry,
    ItemId,
    ReasoningTrace,
    TurnResult,
    Usage,
    UserText,
)
from harness.models import open_model
from harness.models.encoding import compact_json
from harness.protocols import Model, ModelRequest, ModelResponse

ROUNDS: Final = {1: 15, 20: 7, 100: 3, 500: 1}
"""Turns of so many steps, so many times."""
LONG: Final = 500
EDGE: Final = 20
"""The last steps of a long turn are compared with the first of another."""
FLAT_ROUNDS: Final = 5
PEER_STEPS: Final = 40
PEER_ROUNDS: Final = 3
WITHIN: Final = 2.0
FLAT: Final = 1.05
PEER_SHARE: Final = 0.15


@dataclass
class Scripted:
    """A `Model` in this process: calls `true` a number of times, at once, then is done."""

    steps: int
    name: str = "scripted"
    _asked: int = 0

    def encode(self, entry: HistoryEntry) -> bytes:
        match entry:
            case UserText(text) | AssistantText(text):
                return compact_json({"text": text})
            case CallMade(call):
                return compact_json({"call": call.id, "arguments": call.arguments})
            case CallAnswered(call, answer):
                return compact_json({"answer": call.id, "text": answer.text})
            case ReasoningTrace():
                return b""
        assert_never(entry)

    async def respond(self, request: ModelRequest, *, on_text: Callable[[str], None]) -> ModelResponse:
        del request, on_text
        self._asked += 1
        if self._asked > self.steps:
            done = AgentMessage(id=ItemId(""), text="Done.", phase="final_answer")
            return ModelResponse((done,), Usage(), "completed")
        arguments = compact_json({"cmd": "true"}).decode()
        return ModelResponse((Call(f"call_{self._asked}", "exec_command", arguments),), Usage(), "completed")


@dataclass
class Timed:
    """A `Model` that runs the floor before each request and passes the request on."""

    inner: Model
    run_bare: Callable[[], Awaitable[float]]
    floors: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    """From each request to the next one, without the floor."""
    _since: float | None = None

    @property
    def name(self) -> str:
        return self.inner.name

    def encode(self, entry: HistoryEntry) -> bytes:
        return self.inner.encode(entry)

    async def respond(self, request: ModelRequest, *, on_text: Callable[[str], None]) -> ModelResponse:
        came = time.perf_counter()
        if self._since is not None:
            self.steps.append(came - self._since)
        self.floors.append(await self.run_bare())
        self._since = time.perf_counter()
        return await self.inner.respond(request, on_text=on_text)


@dataclass
class TakingTurns:
    """A `Model` of one of two turns: after `alone` steps, each runs a step while the other one waits.

    So two steps that are compared are milliseconds apart, whatever else the machine does.
    """

    inner: Model
    mine: asyncio.Semaphore
    theirs: asyncio.Semaphore
    alone: int = 0
    steps: list[float] = field(default_factory=list)
    _since: float | None = None

    @property
    def name(self) -> str:
        return self.inner.name

    def encode(self, entry: HistoryEntry) -> bytes:
        return self.inner.encode(entry)

    async def respond(self, request: ModelRequest, *, on_text: Callable[[str], None]) -> ModelResponse:
        if self._since is not None:
            self.steps.append(time.perf_counter() - self._since)
            if len(self.steps) >= self.alone:
                self.theirs.release()
        if len(self.steps) >= self.alone:
            await self.mine.acquire()
        self._since = time.perf_counter()
        return await self.inner.respond(request, on_text=on_text)


Opened = Callable[[int], Model]
"""A model that calls `true` so many times."""


async def measure() -> list[Figure]:
    """All figures of this file."""
    lengths = {*ROUNDS, EDGE, LONG, PEER_STEPS}
    scripts = {f"true-{steps}": ["true"] * steps for steps in lengths}
    async with AsyncExitStack() as stack:
        under = await stack.enter_async_context(ground())
        served = await stack.enter_async_context(endpoint(scripts))
        wires = {
            steps: await stack.enter_async_context(
                open_model(
                    wire="responses",
                    model="scripted",
                    base_url=served.url(f"true-{steps}"),
                    api_key="none",
                )
            )
            for steps in sorted(lengths)
        }
        await _turn(under, Scripted(EDGE))  # What is made once, is made now.
        for steps in sorted(lengths):
            await _turn(under, wires[steps])
            await served.asked(f"true-{steps}")
        in_process: dict[int, list[Timed]] = {steps: [] for steps in ROUNDS}
        over_http: dict[int, list[Timed]] = {steps: [] for steps in ROUNDS}
        for number, (steps, rounds) in itertools.product(range(max(ROUNDS.values())), ROUNDS.items()):
            if number < rounds:
                in_process[steps].append(await _turn(under, Scripted(steps)))
                over_http[steps].append(await _turn(under, wires[steps]))
                await served.asked(f"true-{steps}")
        flatness = [
            await _flatness("steps.late", under, Scripted, served),
            await _flatness("steps.late_over_http", under, wires.__getitem__, served),
        ]
        peer = await _beside_codex(under, wires[PEER_STEPS], served, f"true-{PEER_STEPS}")
    return [
        *(_cost(f"steps.confined_n{steps}", runs) for steps, runs in in_process.items()),
        *(_cost(f"steps.over_http_n{steps}", runs) for steps, runs in over_http.items()),
        *flatness,
        *peer,
    ]


async def _turn(under: Ground, model: Model) -> Timed:
    timed = Timed(model, under.run_bare)
    await under.run(timed)
    return timed


def _cost(name: str, runs: list[Timed]) -> Figure:
    # Means, of both sides: what a busy machine does to one command or one sync is paid by either.
    value = median([mean(run.steps) for run in runs])
    floor = median([mean(run.floors) for run in runs])
    return Figure(
        name, value * 1000, "ms/step", floor * 1000, f"<= {WITHIN} x bare command", value <= WITHIN * floor
    )


async def _flatness(name: str, under: Ground, opened: Opened, served: Endpoint) -> Figure:
    """The last steps of a long turn, in turns with the first ones of a new turn."""
    late: list[float] = []
    early: list[float] = []
    for _ in range(FLAT_ROUNDS):
        gates = asyncio.Semaphore(0), asyncio.Semaphore(0)
        long = TakingTurns(opened(LONG), gates[0], gates[1], alone=LONG - EDGE)
        short = TakingTurns(opened(EDGE), gates[1], gates[0])
        new_turn = asyncio.create_task(under.run(short))
        await asyncio.gather(under.run(long), _then_open(new_turn, long.mine))
        for steps in (LONG, EDGE):
            await served.asked(f"true-{steps}")
        late += long.steps[-EDGE:]
        early += short.steps
    value, floor = median(late), median(early)
    return Figure(
        f"{name}_{LONG}",
        value * 1000,
        "ms/step",
        floor * 1000,
        f"<= {FLAT} x steps 1-{EDGE}",
        value <= FLAT * floor,
    )


async def _then_open(turn: asyncio.Task[TurnResult], gate: asyncio.Semaphore) -> None:
    """The other turn has nobody to wait for any more."""
    await turn
    gate.release()


async def _beside_codex(under: Ground, model: Model, served: Endpoint, script: str) -> list[Figure]:
    """The same steps by codex in its workspace-write sandbox, both seen from the endpoint."""
    program = codex.find()
    if program is None:
        note = "codex is not installed: npm install --prefix /tmp/codex @openai/codex, then put it on PATH"
        return [Figure("steps.codex_gap", 0.0, "ms", note=note)]
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(PEER_ROUNDS):
        await under.run(model)
        ours += gaps(await served.asked(script))
        await codex.run(program, base_url=served.url(script), timeout=120)
        theirs += gaps(await served.asked(script))
    value, floor = median(ours), median(theirs)
    tails = " and ".join(f"{percentile(side, 0.95) * 1000:.1f}" for side in (ours, theirs))
    note = f"the floor is {await codex.version(program)}; p95 {tails} ms"
    return [
        Figure(
            "steps.gap_beside_codex",
            value * 1000,
            "ms",
            floor * 1000,
            f"< {PEER_SHARE} x codex workspace-write",
            value < PEER_SHARE * floor,
            note,
        )
    ]
