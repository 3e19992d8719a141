"""`python -m bench [part …]`: measures all parts, or the named ones."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from bench import (
    checkout,
    ci_logs,
    fingerprints,
    first_request,
    journal,
    long_threads,
    memory,
    review,
    sandbox,
    sessions,
    snapshot,
    starts,
    steps,
    webhooks,
    workers,
)
from bench.figure import Figure

PARTS: Final[Mapping[str, Callable[[], Awaitable[list[Figure]]]]] = {
    "sandbox": sandbox.measure,
    "checkout": checkout.measure,
    "snapshot": snapshot.measure,
    "steps": steps.measure,
    "journal": journal.measure,
    "starts": starts.measure,
    "sessions": sessions.measure,
    "long_threads": long_threads.measure,
    "memory": memory.measure,
    "first_request": first_request.measure,
    "review": review.measure,
    "webhooks": webhooks.measure,
    "workers": workers.measure,
    "ci_logs": ci_logs.measure,
    "fingerprints": fingerprints.measure,
}


async def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"There is no part {', '.join(unknown)}; there are {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    for name in names or PARTS:
        for figure in await PARTS[name]():
            print(figure.line(), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main(sys.argv[1:])))
