"""Runs attacks, in a sandbox and without one, and judges them from inside and from the host."""

import asyncio
import json
import os
import pty
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Final

from sandbox.base import (
    Command,
    Driver,
    Ended,
    EndReason,
    Limits,
    Policy,
    Process,
    Sandbox,
    SandboxMode,
    Workspace,
)
from tests.containment.attacks.attack import Attack
from tests.containment.catalogue import CELL, meant_to_work
from tests.containment.scene import LIMITS, Scene, open_scene

UNCONFINED_USER: Final = 65_531
"""A number that no account has, for what is tried without a sandbox by a test that is root."""
_LIMIT_REASONS: Final = {EndReason.MEMORY, EndReason.DISK, EndReason.OUTPUT, EndReason.WALL_TIME}


@dataclass(frozen=True, slots=True)
class Report:
    """How an attack went."""

    worked: bool
    inside: str
    """The attacker's own words."""
    damage: tuple[str, ...] = ()
    """What the host saw of it."""

    @property
    def held(self) -> bool:
        return not self.worked and not self.damage


class Stage:
    """One open sandbox on one scene. The attacks on it follow each other, as the commands of a turn do."""

    def __init__(self, driver: Driver, scene: Scene, mode: SandboxMode, runner: asyncio.Runner) -> None:
        self.driver = driver
        self.scene = scene
        self.mode = mode
        self._runner = runner
        self._opened = AsyncExitStack()
        self._sandbox: Sandbox | None = None

    def run(self, attack: Attack) -> Report:
        """Let it happen, and look at the host before and after."""
        return self._runner.run(self._run(attack))

    def close(self) -> None:
        self._runner.run(self._opened.aclose())

    async def _run(self, attack: Attack) -> Report:
        async with AsyncExitStack() as own:
            sandbox = self._sandbox
            if sandbox is None:
                sandbox = self._sandbox = await self._open(self._opened, self.scene.workspace)
            if attack.cpus != LIMITS.cpus:
                limits = replace(LIMITS, cpus=attack.cpus)
                sandbox = await self._open(own, self.scene.workspace, limits=limits)
            before = self.scene.photograph(self.mode)
            process = await self._start(sandbox, attack.id, attack)
            if attack.afterwards:
                worked, inside = await self._followed(process, attack, own)
            else:
                for companion in [await sandbox.start(Command(("true",))) for _ in range(attack.companions)]:
                    await companion.wait(30)
                ended = await process.wait(attack.seconds + 30)
                worked, inside = _judged(attack, process.take_output().decode(errors="replace"), ended)
            await process.kill()
            damage = self.scene.damage(before, self.mode)
            if not await _still_serves(sandbox):
                damage.append("the sandbox takes no commands any more")
            self.scene.clean()
        return Report(worked, inside, tuple(damage))

    async def _open(self, stack: AsyncExitStack, workspace: Workspace, *, limits: Limits = LIMITS) -> Sandbox:
        return await stack.enter_async_context(self.driver.open(workspace, Policy(self.mode, limits=limits)))

    async def _start(self, sandbox: Sandbox, name: str, attack: Attack) -> Process:
        facts = self.scene.facts(self.mode, inside=True).dumped()
        argv = ("python3", "-m", "attacks", name, facts)
        return await sandbox.start(Command(argv, tty=attack.tty, wall_seconds=attack.seconds))

    async def _followed(self, process: Process, attack: Attack, own: AsyncExitStack) -> tuple[bool, str]:
        """What another turn finds while the first is there."""
        printed = b""
        while b"ready\n" not in printed:
            ended = await process.wait(0.02)
            printed += process.take_output()
            assert ended is None or b"ready\n" in printed, printed
        another = await self._open(own, self.scene.next_turn)
        follower = await self._start(another, attack.afterwards, attack)
        ended = await follower.wait(attack.seconds + 30)
        return _judged(attack, follower.take_output().decode(errors="replace"), ended)


@contextmanager
def open_stage(driver: Driver, mode: SandboxMode) -> Iterator[Stage]:
    """A scene that belongs to whom the driver runs commands as, and a sandbox on it."""
    owner = os.geteuid() if driver.owner_uid is None else driver.owner_uid
    with open_scene(owner) as scene, asyncio.Runner() as runner:
        stage = Stage(driver, scene, mode, runner)
        try:
            yield stage
        finally:
            stage.close()


def judge(stage: Stage, attack: Attack, record_property: Callable[[str, object], None]) -> None:
    """The whole of a test: what happened is what was meant to, and goes into the table."""
    report = stage.run(attack)
    word = "yes" if report.worked else "no"
    record_property(CELL, (attack.id, f"{stage.driver.name}, {stage.mode}", word))
    assert report.damage == ()
    allowed = meant_to_work(attack, stage.driver.name, stage.mode)
    assert report.worked == bool(allowed), report.inside


def run_unconfined(attack: Attack, scene: Scene, *, python: str) -> Report:
    """The same attack by an ordinary program of the same user, at a terminal."""
    scene.without_a_view()
    before = scene.photograph(SandboxMode.WORKSPACE_WRITE)
    with _unconfined(scene, attack.id, python=python) as process:
        if attack.afterwards:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            with _unconfined(scene, attack.afterwards, python=python) as follower:
                ended, printed = _waited_for(follower)
        else:
            ended, printed = _waited_for(process)
    worked, inside = _judged(attack, printed, ended)
    damage = scene.damage(before, SandboxMode.WORKSPACE_WRITE)
    scene.clean()
    return Report(worked, inside, tuple(damage))


@contextmanager
def _unconfined(scene: Scene, name: str, *, python: str) -> Iterator["subprocess.Popen[bytes]"]:
    facts = scene.facts(SandboxMode.WORKSPACE_WRITE, inside=False).dumped()
    is_root = os.geteuid() == 0
    ours, terminal = pty.openpty()
    process = subprocess.Popen(
        ("setsid", "--ctty", python, "-B", "-m", "attacks", name, facts),
        cwd=scene.workspace.tree,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        close_fds=False,
        user=scene.user if is_root else None,
        group=scene.user if is_root else None,
        extra_groups=[7] if is_root else None,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        os.close(ours)
        os.close(terminal)


def _waited_for(process: "subprocess.Popen[bytes]") -> tuple[Ended, str]:
    printed, _ = process.communicate(timeout=180)
    return Ended(process.returncode, EndReason.EXITED, 0), printed.decode(errors="replace")


def _judged(attack: Attack, printed: str, ended: Ended | None) -> tuple[bool, str]:
    """Whether it worked and in what words. Raises `AssertionError` for an attack that is broken itself."""
    for line in reversed(printed.splitlines()):
        if line.startswith('["'):
            word, reason = json.loads(line)
            return word == "breach", reason
    if (
        ended is not None
        and attack.fatal
        and (ended.reason in _LIMIT_REASONS or ended.exit_status in {137, 143})
    ):
        return False, f"ended: {ended.reason.value}"
    raise AssertionError(f"the attack gave no answer: {ended}\n{printed[-2000:]}")


async def _still_serves(sandbox: Sandbox) -> bool:
    process = await sandbox.start(Command(("true",)))
    ended = await process.wait(20)
    return ended is not None and ended.exit_status == 0
