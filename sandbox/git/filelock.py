"""A lock among all processes of this machine, held on a file that stays; gone with whoever holds it."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

_POLL: Final = 0.02


@asynccontextmanager
async def locked(path: Path, *, seconds: float) -> AsyncIterator[None]:
    """Held while the context is open, by one task of one process. Raises `TimeoutError` after `seconds`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        async with asyncio.timeout(seconds):
            # A lock between processes has no event to wait for.
            while not is_taken(descriptor):  # noqa: ASYNC110
                await asyncio.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)


def is_taken(descriptor: int) -> bool:
    """Take the lock if nobody has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
