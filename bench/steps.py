"""What the harness adds to a confined command, and whether a long turn's steps cost more than a short one's.

The real `run_turn` with the real tools, driver and journal. Right before each request to the model the same
confined command is run bare: each step is judged by a floor taken a few milliseconds from it, so that a busy
machine slows both.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import mean
from typing import Final, assert_never

from bench import codex
from bench.endpoint import Endpoint, endpoint, gaps
from bench.figure import Figure, median, percentile
from bench.ground import Ground, ground
from harness.items import AgentMessage, Call, ItemId, Usage
from harness.models import open_model
from harness.models.encoding import compact_json
from harness.protocols import (
    AssistantText,
    CallAnswered,
    CallMade,
    HistoryEntry,
    Model,
    ModelRequest,
    ModelResponse,
    ReasoningTrace,
    UserText,
)

ROUNDS: Final = {1: 9, 20: 5, 100: 3, 500: 3}
"""Turns of so many steps, so many times."""
EDGE: Final = 20
"""The first and the last steps of the longest turn are compared."""
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
    paused: float = 0.0
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
        self.paused += self._since - came
        return await self.inner.respond(request, on_text=on_text)


@dataclass(frozen=True, slots=True)
class _Run:
    """One measured turn."""

    per_step: float
    """All of the turn but the floor's commands, spread over its steps."""
    floor: float
    """The mean of its floor's commands: both pay for what a busy machine does to one of them."""
    floors: list[float]
    steps: list[float]


async def measure() -> list[Figure]:
    """All figures of this file."""
    scripts = {f"true-{steps}": ["true"] * steps for steps in (*ROUNDS, PEER_STEPS)}
    in_process: dict[int, list[_Run]] = {steps: [] for steps in ROUNDS}
    over_http: dict[int, list[_Run]] = {steps: [] for steps in ROUNDS}
    async with ground() as under, endpoint(scripts) as served:
        await _turn(under, Scripted(EDGE))  # What is made once, is made now.
        for number in range(max(ROUNDS.values())):
            for steps, rounds in ROUNDS.items():
                if number >= rounds:
                    continue
                in_process[steps].append(await _turn(under, Scripted(steps)))
                async with _wire(served, f"true-{steps}") as model:
                    over_http[steps].append(await _turn(under, model))
                await served.asked(f"true-{steps}")
        peer = await _beside_codex(under, served, f"true-{PEER_STEPS}")
    return [
        *(_cost(f"steps.confined_n{steps}", runs) for steps, runs in in_process.items()),
        *(_cost(f"steps.over_http_n{steps}", runs) for steps, runs in over_http.items()),
        _flatness("steps.late", in_process[max(ROUNDS)]),
        _flatness("steps.late_over_http", over_http[max(ROUNDS)]),
        *peer,
    ]


async def _turn(under: Ground, model: Model) -> _Run:
    timed = Timed(model, under.run_bare)
    begun = time.perf_counter()
    result = await under.run(timed)
    spent = time.perf_counter() - begun - timed.paused
    return _Run(spent / max(result.steps - 1, 1), mean(timed.floors), timed.floors, timed.steps)


@asynccontextmanager
async def _wire(served: Endpoint, script: str) -> AsyncIterator[Model]:
    """A model of ours that speaks to the endpoint, with what its first request loads already loaded."""
    async with open_model(
        wire="responses", model="scripted", base_url=served.url(script), api_key="none"
    ) as model:
        yield model


def _cost(name: str, runs: list[_Run]) -> Figure:
    value = median([run.per_step for run in runs])
    floor = median([run.floor for run in runs])
    return Figure(
        name, value * 1000, "ms/step", floor * 1000, f"<= {WITHIN} x bare command", value <= WITHIN * floor
    )


def _flatness(name: str, runs: list[_Run]) -> Figure:
    """The last steps of the longest turn beside its first ones, each by the bare commands between them."""
    early = median([median(run.steps[:EDGE]) for run in runs])
    late = median([median(run.steps[-EDGE:]) for run in runs])
    drift = median([median(run.floors[-EDGE:]) / median(run.floors[:EDGE]) for run in runs])
    return Figure(
        f"{name}_{max(ROUNDS)}",
        late * 1000,
        "ms/step",
        early * drift * 1000,
        f"<= {FLAT} x steps 1-{EDGE}",
        late <= FLAT * early * drift,
        f"the bare command beside the last {EDGE} steps took {drift:.3f} of its time beside the first",
    )


async def _beside_codex(under: Ground, served: Endpoint, script: str) -> list[Figure]:
    """The same steps by codex in its workspace-write sandbox, both seen from the endpoint."""
    program = codex.find()
    if program is None:
        note = "codex is not installed: npm install --prefix /tmp/codex @openai/codex, then put it on PATH"
        return [Figure("steps.codex_gap", 0.0, "ms", note=note)]
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(PEER_ROUNDS):
        async with _wire(served, script) as model:
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
