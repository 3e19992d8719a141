"""What the harness adds to whole sessions as agents really have them, the model answering at once.

The three workloads have the shape of recorded sessions of coding agents on SWE-bench tasks: how many steps,
how long the outputs, and one output of 868 KB. The floor is the same confined commands, started bare.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.endpoint import Asked, Endpoint, endpoint
from bench.figure import Figure, median
from bench.ground import Ground, ground
from harness.models import open_model

MEBIBYTE: Final = 1024 * 1024
TARGET_ADDED: Final = 12_000
ROUNDS: Final = 3
SEED: Final = 20261122


@dataclass(frozen=True, slots=True)
class Session:
    """A workload: how many bytes each step's command prints."""

    name: str
    told: str
    outputs: Sequence[int]

    @property
    def script(self) -> list[str]:
        return [printing(size) for size in self.outputs]


def printing(size: int) -> str:
    """A command line that prints so many bytes, in lines like those of a source file."""
    return f"yes 'def answer() -> int: return 42  # and a comment' | head -c {size}"


def sessions() -> tuple[Session, ...]:
    """The same in every run."""
    dice = random.Random(SEED)
    return (
        Session("w1", "median: 36 steps, 286 B p50, 2.3 KB p90", _spread(dice, 36, p50=286, p90=2_307)),
        Session("w2", "heavy: 70 steps, 3.5 KB mean", _spread(dice, 70, p50=2_500, p90=8_000)),
        Session("w3", "tail: 145 steps, one output of 868 KB", _tail(dice)),
    )


def _spread(dice: random.Random, steps: int, *, p50: int, p90: int) -> list[int]:
    """Log-normal, as recorded outputs are."""
    deviations = 1.2816  # From the median to the 90th percentile.
    sizes = [p50 * (p90 / p50) ** (dice.gauss(0, 1) / deviations) for _ in range(steps)]
    return [max(1, min(10_000, round(size))) for size in sizes]


def _tail(dice: random.Random) -> list[int]:
    sizes = _spread(dice, 145, p50=1_000, p90=8_000)
    sizes[len(sizes) // 2] = 868_176
    return sizes


async def measure() -> list[Figure]:
    """All figures of this file."""
    workloads = sessions()
    scripts = {session.name: session.script for session in workloads}
    seconds: dict[str, list[float]] = {session.name: [] for session in workloads}
    floors: dict[str, list[float]] = {session.name: [] for session in workloads}
    sent: dict[str, list[Asked]] = {}
    async with ground() as under, endpoint({**scripts, "mebibyte": [printing(MEBIBYTE)]}) as served:
        for _ in range(ROUNDS):
            for session in workloads:
                begun = time.perf_counter()
                sent[session.name] = await _play(under, served, session.name)
                seconds[session.name].append(time.perf_counter() - begun)
                floors[session.name].append(sum([await under.run_bare(line) for line in session.script]))
        first, second = await _play(under, served, "mebibyte")
    added = second.size - first.size
    return [
        *(
            figure
            for session in workloads
            for figure in _figures(session, seconds[session.name], floors[session.name], sent[session.name])
        ),
        Figure(
            "sessions.mebibyte_of_output",
            added,
            "bytes",
            target=f"<= {TARGET_ADDED}",
            ok=added <= TARGET_ADDED,
            note="what 1 MiB printed by a command adds to the next request",
        ),
    ]


async def _play(under: Ground, served: Endpoint, name: str) -> list[Asked]:
    async with open_model(
        wire="responses", model="scripted", base_url=served.url(name), api_key="none"
    ) as model:
        await under.run(model)
    return await served.asked(name)


def _figures(
    session: Session, seconds: Sequence[float], floors: Sequence[float], sent: Sequence[Asked]
) -> list[Figure]:
    sizes = [asked.size for asked in sent]
    return [
        Figure(f"sessions.{session.name}", median(seconds), "s", median(floors), note=session.told),
        Figure(
            f"sessions.{session.name}_sent",
            sum(sizes) / 1e6,
            "MB",
            note=f"{len(sizes)} requests, the last of {sizes[-1] / 1000:.0f} kB",
        ),
    ]
