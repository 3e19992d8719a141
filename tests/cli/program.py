"""Runs the real program as people do: in a process of its own, with an environment of its own."""

import asyncio
import hashlib
import os
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run of the program came to."""

    exit_status: int
    stdout: str
    stderr: str


def environment(home: Path) -> dict[str, str]:
    """Nothing of the caller's but the search path; `home` is the user's home and holds Darner's data."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "DARNER_HOME": str(home / "darner"),
        "LANG": "C.UTF-8",
        "COLUMNS": "200",
    }


async def start_darner(
    *arguments: str, settings: Mapping[str, str], cwd: Path | None = None, is_read: bool = True
) -> asyncio.subprocess.Process:
    """Begin `darner ARGUMENTS`; unless `is_read`, nobody reads its standard output."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return await _start(arguments, settings, cwd, stdout=asyncio.subprocess.PIPE if is_read else writing)
    finally:
        os.close(writing)


async def _start(
    arguments: Sequence[str], settings: Mapping[str, str], cwd: Path | None, *, stdout: int
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        env={**settings, "PYTHONPATH": str(PROJECT)},
        cwd=cwd or settings["HOME"],
    )


async def run_darner(
    *arguments: str, settings: Mapping[str, str], stdin: bytes = b"", cwd: Path | None = None
) -> Ran:
    """Run `darner ARGUMENTS` to its end."""
    process = await start_darner(*arguments, settings=settings, cwd=cwd)
    stdout, stderr = await asyncio.wait_for(process.communicate(stdin), timeout=100)
    assert process.returncode is not None
    return Ran(process.returncode, stdout.decode(), stderr.decode())


def fingerprint(directory: Path) -> dict[str, str]:
    """Every entry below `directory` with its mode and a hash of its content."""
    return {
        str(path.relative_to(directory)): f"{stat.filemode(path.lstat().st_mode)} {_content_hash(path)}"
        for path in sorted(directory.rglob("*"))
    }


def _content_hash(path: Path) -> str:
    if path.is_symlink():
        return hashlib.sha256(os.fsencode(path.readlink())).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
