"""`python -m tests.fleet [threads]`: kills one of three workers, and the database, and freezes one; a table.

Exits with 1 when anything was lost, doubled, out of order or over a limit.
"""

import asyncio
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.app import postgres
from tests.fleet.fleet import Fleet, fleet
from tests.sweep.sweep import Sweep

THREADS: Final = 100
TOTAL: Final = 8
PER_REPOSITORY: Final = 6
LIMITS: Final = {
    "DARNER_MAX_TURNS": "6",
    "DARNER_MAX_TURNS_TOTAL": str(TOTAL),
    "DARNER_MAX_TURNS_REPOSITORY": str(PER_REPOSITORY),
    "DARNER_WRITE_SPACING_SECONDS": "0",
}


async def run(home: Path, server: postgres.Server, threads: int) -> bool:
    """Whether all was sound."""
    database_url = server.url.format("postgres")
    async with fleet(home, database_url=database_url, seconds=1.0, patience=1800, limits=LIMITS) as made:
        sweep = Sweep(made.house)
        issues = await made.asked(threads)
        begun = time.monotonic()
        await made.hire("doomed", "sleepy", "steady")
        frozen = await made.busy("sleepy")
        made.tell("sleepy", signal.SIGSTOP)
        watching = asyncio.create_task(made.taken_over("sleepy", frozen))
        killed = await made.busy("doomed")
        made.tell("doomed", signal.SIGKILL)
        after_death = await made.taken_over("doomed", killed)
        after_freeze = await watching
        made.tell("sleepy", signal.SIGCONT)
        # The database, too: whoever is in the middle of something waits for it.
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await made.done(issues, by=sweep)
        seconds = time.monotonic() - begun
        faults = {issue: [fault async for fault in sweep.faults(issue)] for issue in issues}
        faults = {issue: found for issue, found in faults.items() if found}
        _show(made, threads, seconds, after_death, after_freeze, len(faults))
        for issue, found in faults.items():
            print(f"issue {issue}: {'; '.join(found)}")
        in_time = max(after_death, after_freeze) < 15
        return not faults and in_time and made.most_at_once <= PER_REPOSITORY


def _show(
    made: Fleet, threads: int, seconds: float, after_death: float, after_freeze: float, faulty: int
) -> None:
    print(
        "\n| three workers on PostgreSQL, one killed, one frozen; then the database killed | |\n| --- | --- |"
    )
    print(f"| threads, each with a turn of two commands | {threads} |")
    print(f"| all ended after | {seconds:.0f} s ({60 * threads / seconds:.0f} turns a minute) |")
    print(f"| the killed one's turns taken over after | {after_death:.1f} s |")
    print(f"| the frozen one's turns taken over after | {after_freeze:.1f} s |")
    print(f"| most turns at once (limit {PER_REPOSITORY}) | {made.most_at_once} |")
    print(f"| threads with anything lost, doubled or out of order | {faulty} |")


def main() -> int:
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else THREADS
    with (
        postgres.serving(postgres.programs()) as server,
        tempfile.TemporaryDirectory(prefix="darner-fleet-") as home,
    ):
        is_sound = asyncio.run(run(Path(home), server, threads))
    return int(not is_sound)


if __name__ == "__main__":
    raise SystemExit(main())
