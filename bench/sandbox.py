"""What confinement costs: a command, an open sandbox, fifty at once; beside no sandbox and beside codex.

Commands are interleaved with the bare ones they are judged by, so that a busy machine slows both.
"""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import psutil

from bench import codex
from bench.figure import Figure, percentile
from sandbox.base import Command, Driver, Policy, Sandbox, SandboxMode, SandboxUnavailable, Workspace
from sandbox.drivers import DRIVERS, Setup
from tests.engine import daemon, small_image

COMMANDS: Final = {"bubblewrap": 300, "docker": 40}
PEER_COMMANDS: Final = 40
OPEN: Final = 20
AT_ONCE: Final = 50
TIMES_BARE: Final = 12.0
SHARE_OF_CODEX: Final = 0.25
OPEN_BYTES: Final = 3_000_000
_TRUE: Final = "/usr/bin/true"
_SECONDS: Final = 120.0


async def measure() -> list[Figure]:
    """All figures of this file: for every driver that works here."""
    figures: list[Figure] = []
    with daemon.home_of_a_run() as engines:
        for name, make in DRIVERS.items():
            with tempfile.TemporaryDirectory(prefix="darner-bench-") as directory:
                try:
                    setup = await asyncio.to_thread(_setup, name, Path(directory), engines)
                    figures += await _of_driver(name, make(setup), Path(directory))
                except (SandboxUnavailable, daemon.EngineMissing) as error:
                    figures.append(Figure(f"sandbox.{name}", 0, "", note=f"not measured: {error}"))
    return figures


def _setup(name: str, home: Path, engines: Path) -> Setup:
    """For docker the Engine of this machine, or one for this run, and the tests' small image."""
    if name != "docker":
        return Setup(state=home / "state")
    engine = daemon.answering() or daemon.started(engines)
    with engine.client() as client:
        return Setup(state=home / "state", docker_host=engine.url, image=small_image.build(client))


async def _of_driver(name: str, driver: Driver, home: Path) -> list[Figure]:
    figures = await _command(name, driver, home)
    if name == "bubblewrap":
        figures += [await _memory(driver, home), await _at_once(driver, home)]
    return figures


async def _command(name: str, driver: Driver, home: Path) -> list[Figure]:
    """From the start of a command to its end being known, in an open sandbox."""
    confined: list[float] = []
    bare: list[float] = []
    peer: list[float] = []
    program = codex.find() if name == "bubblewrap" else None
    async with _opened(driver, home, "command") as sandbox, AsyncExitStack() as stack:
        codex_home = stack.enter_context(
            tempfile.TemporaryDirectory(prefix=".darner-codex-", dir=Path.home())
        )
        for _ in range(5):
            await _confined(sandbox)
        for number in range(COMMANDS[name]):
            confined.append(await _confined(sandbox))
            bare.append(await _bare(_TRUE))
            if program is not None and number < PEER_COMMANDS:
                command = (program, "sandbox", "-P", ":workspace", "--", _TRUE)
                peer.append(await _bare(*command, home=codex_home))
    figures = [
        _beside(f"sandbox.{name}.p{percent}", confined, bare, percent, TIMES_BARE, "a bare subprocess")
        for percent in (50, 95)
    ]
    if peer:
        figures.append(
            _beside(f"sandbox.{name}.codex", confined, peer, 50, SHARE_OF_CODEX, "`codex sandbox`")
        )
    return figures


def _beside(
    name: str, values: list[float], floors: list[float], percent: int, times: float, what: str
) -> Figure:
    value, floor = percentile(values, percent / 100), percentile(floors, percent / 100)
    # The target is one for the median, and of the default driver.
    judged = percent == 50 and ".docker" not in name
    return Figure(
        name,
        value * 1000,
        "ms",
        floor * 1000,
        f"<= {times:g} x {what}" if judged else "",
        value <= times * floor if judged else None,
    )


async def _memory(driver: Driver, home: Path) -> Figure:
    """What a further open sandbox adds to all processes of ours, its share of shared pages counted."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_opened(driver, home, "first"))
        before = _memory_of_all()
        for number in range(OPEN):
            await stack.enter_async_context(_opened(driver, home, f"memory-{number}"))
        each = (_memory_of_all() - before) / OPEN
    return Figure(
        "sandbox.memory", each / 1e6, "MB/sandbox", None, f"<= {OPEN_BYTES / 1e6:g} MB", each <= OPEN_BYTES
    )


async def _at_once(driver: Driver, home: Path) -> Figure:
    """Fifty turns' sandboxes open and running a command at the same time; how many of them answered."""

    async def one(number: int) -> bool:
        async with _opened(driver, home, f"turn-{number}") as sandbox:
            process = await sandbox.start(Command(("/bin/sh", "-c", "sleep 1; echo here")))
            ended = await process.wait(_SECONDS)
            return ended is not None and ended.exit_status == 0 and process.take_output() == b"here\n"

    begun = time.perf_counter()
    answered = sum(await asyncio.gather(*(one(number) for number in range(AT_ONCE))))
    took = time.perf_counter() - begun
    return Figure(
        "sandbox.at_once",
        answered,
        "sandboxes",
        None,
        f"all {AT_ONCE}",
        answered == AT_ONCE,
        note=f"opened, a command of 1 s each, closed: {took:.1f} s",
    )


@asynccontextmanager
async def _opened(driver: Driver, home: Path, name: str) -> AsyncIterator[Sandbox]:
    directory = home / name
    (directory / "tree").mkdir(parents=True)
    (directory / "scratch").mkdir()
    if driver.owner_uid is not None:
        for path in (directory / "tree", directory / "scratch"):
            os.chown(path, driver.owner_uid, driver.owner_uid)
    workspace = Workspace(tree=directory / "tree", scratch=directory / "scratch")
    async with driver.open(workspace, Policy(SandboxMode.WORKSPACE_WRITE)) as sandbox:
        yield sandbox
    await asyncio.to_thread(shutil.rmtree, directory)


async def _confined(sandbox: Sandbox) -> float:
    begun = time.perf_counter()
    process = await sandbox.start(Command((_TRUE,)))
    ended = await process.wait(_SECONDS)
    took = time.perf_counter() - begun
    if ended is None or ended.exit_status != 0:
        raise RuntimeError(f"a confined `true` failed: {ended} {process.take_output()!r}")
    return took


async def _bare(*command: str, home: str | None = None) -> float:
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": home or "/nonexistent"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    if await process.wait() != 0:
        raise RuntimeError(f"{command[0]} failed with {process.returncode}")
    return time.perf_counter() - begun


def _memory_of_all() -> int:
    """Proportional set size of this process and all it has started, in bytes."""
    total = 0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total
