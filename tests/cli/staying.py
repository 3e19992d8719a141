"""A program that stays up, as a person starts it; ended by the signal of Ctrl-C. Asserts nothing."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

PATIENCE_SECONDS = 120


@asynccontextmanager
async def started(*argv: str, home: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A program of ours and what it printed until it was up; ended by Ctrl-C's signal."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *argv,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "DARNER_HOME": str(home),
            "LANG": "C.UTF-8",
            "TMPDIR": str(home),
        }
        | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
        cwd=home,
    )
    assert process.stdout is not None
    printed = ""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "Ctrl-C" not in printed and (line := await process.stdout.readline()):
                printed += line.decode()
        yield process, printed
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await process.communicate()
