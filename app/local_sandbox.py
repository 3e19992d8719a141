"""A sandbox over a copy of a local directory, for `darner exec` and `darner sandbox`. Leaves no copy."""

import asyncio
import fcntl
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

from app.caches import make_caches
from sandbox.base import Driver, Policy, Sandbox, SandboxMode
from sandbox.checkout import remove_tree
from sandbox.checkout.local import ChangedFile, LocalWorkspace, adopt

FRAMES: Final = "local"
"""Below DARNER_HOME: one directory for each copy that is worked on now."""
ABANDONED_SECONDS: Final = 60.0


class DirectoryRefused(Exception):
    """The directory cannot be worked on; the message says why and what to do."""


class Local:
    """The copy, and the way back."""

    def __init__(self, workspace: LocalWorkspace, policy: Policy) -> None:
        self._workspace = workspace
        self._policy = policy

    async def finish(self) -> tuple[ChangedFile, ...]:
        """Put what changed into the directory, see `LocalWorkspace.finish`: all, also when cancelled."""
        if self._policy.mode is SandboxMode.READ_ONLY:
            return ()
        finishing = asyncio.ensure_future(self._workspace.finish())
        try:
            return await asyncio.shield(finishing)
        finally:
            await asyncio.wait([finishing])


@asynccontextmanager
async def local_sandbox(
    directory: Path, policy: Policy, *, driver: Driver, home: Path
) -> AsyncIterator[tuple[Local, Sandbox]]:
    """Copy `directory`, confine, and clean up. Raises `DirectoryRefused` and `SandboxUnavailable`."""
    directory = directory.resolve()
    if home.resolve().is_relative_to(directory):
        raise DirectoryRefused(
            f"{directory} holds Darner's own data ({home}), which no turn may see. "
            "Work on a directory below it, or set DARNER_HOME to a place outside."
        )
    frames = home / FRAMES
    frames.mkdir(parents=True, exist_ok=True, mode=0o700)
    await _remove_abandoned(frames)
    frame = frames / secrets.token_hex(8)
    with _held(frame):
        try:
            workspace = await adopt(directory, frame / "copy", owner_uid=getattr(driver, "owner_uid", None))
            make_caches(policy, owner_uid=driver.owner_uid)
            async with driver.open(workspace.workspace, policy) as sandbox:
                yield Local(workspace, policy), sandbox
        finally:
            await remove_tree(frame)


@contextmanager
def _held(frame: Path) -> Iterator[None]:
    """Make the directory and hold its lock: one that nobody holds belongs to a process that was killed."""
    frame.mkdir(mode=0o711)
    with _locked(frame):
        yield


@contextmanager
def _locked(frame: Path) -> Iterator[None]:
    """Raises `BlockingIOError` when somebody else holds it."""
    descriptor = os.open(frame, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


async def _remove_abandoned(frames: Path) -> None:
    # A young one may be somebody's who is about to lock it.
    old = time.time() - ABANDONED_SECONDS
    for frame in frames.iterdir():
        with suppress(BlockingIOError, FileNotFoundError), _locked(frame):
            if frame.stat().st_mtime < old:
                await remove_tree(frame)
