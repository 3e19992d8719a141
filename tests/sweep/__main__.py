"""`python -m tests.sweep [step …]`: every step of a turn, on both databases; one line a step, then a table.

Exits with 1 when anything was lost, doubled, or left behind.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.app import postgres
from tests.sweep.sweep import Ran, sweeping


async def sweep_on(name: str, database_url: str, points: list[int]) -> list[Ran]:
    with tempfile.TemporaryDirectory(prefix="darner-sweep-") as directory:
        async with sweeping(Path(directory), database_url=database_url) as sweep:
            undisturbed = await sweep.run(0)
            _show(name, undisturbed)
            done = [undisturbed]
            # Before the first step the webhook is not taken: that is the forge's to send again.
            for point in points or range(2, len(undisturbed.steps) + 1):
                done.append(await sweep.run(point))
                _show(name, done[-1])
    return done


def _show(name: str, ran: Ran) -> None:
    died = f"died before {ran.died_before}" if ran.died_before else "not killed"
    print(f"{name} {ran.point:>3} {died}: {'; '.join(ran.faults) or 'sound'}", flush=True)


def _table(name: str, done: list[Ran]) -> None:
    by_kind = Counter(ran.died_before for ran in done if ran.died_before)
    faulty = Counter(ran.died_before for ran in done if ran.died_before and ran.faults)
    print(f"\n| {name}: killed before | times | lost, doubled, or left behind |\n| --- | --- | --- |")
    for kind, times in sorted(by_kind.items()):
        print(f"| {kind} | {times} | {faulty[kind]} |")


def main() -> int:
    points = [int(word) for word in sys.argv[1:]]
    with ExitStack() as stack:
        server = stack.enter_context(postgres.running(postgres.programs()))
        databases = {"SQLite": "", "PostgreSQL": server.format("postgres")}
        results = {name: asyncio.run(sweep_on(name, url, points)) for name, url in databases.items()}
    for name, done in results.items():
        _table(name, done)
    return int(any(ran.faults for done in results.values() for ran in done))


if __name__ == "__main__":
    raise SystemExit(main())
