"""Deletes directories that an agent wrote in: renamed at once, removed when there is time."""

import asyncio
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from sandbox.base import SandboxError
from sandbox.git import end

_ASIDE: Final = ".gone-"
_PATIENCE: Final = 900.0
_FORGOTTEN_SECONDS: Final = 3600.0


def set_aside(directory: Path) -> Path | None:
    """Give up the name at once, whatever is below; what to remove is told. None: there was nothing."""
    aside = directory.with_name(f"{_ASIDE}{secrets.token_hex(8)}")
    try:
        directory.rename(aside)
    except FileNotFoundError:
        return None
    return aside


def is_aside(directory: Path) -> bool:
    """Whether the directory only waits for its removal."""
    return directory.name.startswith(_ASIDE)


def left_aside(parent: Path) -> Iterator[Path]:
    """What a process that was killed had not removed yet."""
    with suppress(FileNotFoundError):
        yield from parent.glob(f"{_ASIDE}*")


async def remove_tree(directory: Path) -> None:
    """Delete a directory that an agent wrote in. `rm` follows no symlink and is not stopped by depth."""
    if await _tool("rm", "-rf", "--", str(directory)) == 0:
        return
    await _tool("chmod", "-R", "u+rwX", "--", str(directory))
    if await _tool("rm", "-rf", "--", str(directory)) != 0:
        raise SandboxError(f"{directory} cannot be removed")


async def remove_forgotten(parent: Path, pattern: str) -> None:
    """Delete directories that live for seconds, such as the doctor's, where a killed process left them."""
    for directory in parent.glob(pattern):
        with suppress(FileNotFoundError):
            found = directory.lstat()
            is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
            if is_ours and time.time() - found.st_mtime > _FORGOTTEN_SECONDS:
                await remove_tree(directory)


async def _tool(*argv: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            return await process.wait()
    finally:
        await end(process)
