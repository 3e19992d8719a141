"""How much memory an idle server takes, and how much each further turn that waits for its model.

Proportional set size of the server's own process: what its turns run in their sandboxes is another process's.
"""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from bench.endpoint import HELD, Endpoint, endpoint
from bench.figure import Figure
from bench.first_request import settings
from bench.hosting import hosting
from bench.spawn import Child, child, free_port, listening
from demo.forge.person import Person, signed_in

REPOSITORY: Final = "maya/small"
FILES: Final = 200
BEFORE: Final = 2
AFTER: Final = 10
"""Turns at work at the two readings."""
SETTLE_SECONDS: Final = 3.0
PATIENCE_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.2
TARGET_MB: Final = 8.0


async def measure() -> list[Figure]:
    """All figures of this file."""
    with tempfile.TemporaryDirectory(prefix="darner-bench-") as directory:
        async with AsyncExitStack() as stack:
            home, port = Path(directory), free_port()
            model = await stack.enter_async_context(endpoint({HELD: []}))
            forge = await stack.enter_async_context(
                hosting(
                    home / "forge",
                    repository=REPOSITORY,
                    files=FILES,
                    webhook_url=f"http://127.0.0.1:{port}/webhook",
                )
            )
            environment = settings(home / "darner", forge, model, script=HELD)
            environment["DARNER_MAX_TURNS"] = str(AFTER)
            server = await stack.enter_async_context(
                child("app", "serve", "--port", str(port), environment=environment)
            )
            await listening(port)
            maya = await stack.enter_async_context(
                signed_in("maya", api_url=forge.api_url, token=forge.tokens["maya"])
            )
            idle = await _settled(server)
            await _turns_wait(BEFORE, maya, model)
            few = await _settled(server)
            await _turns_wait(AFTER - BEFORE, maya, model)
            many = await _settled(server)
    further = (many - few) / (AFTER - BEFORE)
    return [
        Figure("memory.idle", idle, "MB", note="proportional set size of `darner serve`, nothing done yet"),
        Figure(
            "memory.further_turn",
            further,
            "MB",
            target=f"<= {TARGET_MB:.0f} MB",
            ok=further <= TARGET_MB,
            note=f"each from {BEFORE} to {AFTER} turns that wait for their model: {few:.0f} to {many:.0f} MB",
        ),
    ]


async def _turns_wait(count: int, maya: Person, model: Endpoint) -> None:
    """Start so many turns, each in a thread of its own; return when all have asked their model."""
    for number in range(count):
        issue = await maya.opens_issue(REPOSITORY, f"Issue {number}", "It is wrong.")
        await maya.says(REPOSITORY, issue, "@darner fix it")
    waiting = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while waiting < count:
            waiting += len(await model.asked(HELD))
            await asyncio.sleep(POLL_SECONDS)


async def _settled(server: Child) -> float:
    """Megabytes of the process, once what was begun has ended."""
    await asyncio.sleep(SETTLE_SECONDS)
    for line in Path(f"/proc/{server.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1000
    raise ValueError("the kernel tells no proportional set size")
