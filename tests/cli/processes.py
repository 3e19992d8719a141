"""Looks for processes of this machine by what stands in their command line."""

import asyncio
import time
from collections.abc import Callable

import psutil


def processes_with(marker: str) -> list[int]:
    """Every process with `marker` as an argument; a shell that only names it in its script is none."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(argument == marker for argument in process.info["cmdline"] or ())
    ]


async def until(holds: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Wait for something to come about."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        await asyncio.sleep(0.02)
