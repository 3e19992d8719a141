"""The checkouts of running turns, in the real sandbox: made once, found again, given up."""

import asyncio
from pathlib import Path

import pytest

from app.turn_report import TreeState
from app.workspaces import Workspaces
from sandbox.base import Command, Policy, Sandbox, SandboxMode
from sandbox.bubblewrap import BubblewrapDriver
from sandbox.git.mirror import Mirror, mirror_directory
from tests.sandbox_git.origin import Origin

WRITE = Policy(SandboxMode.WORKSPACE_WRITE)


@pytest.fixture
def workspaces(tmp_path: Path) -> Workspaces:
    return Workspaces(tmp_path / "home", BubblewrapDriver())


async def mirror_of(origin: Origin, tmp_path: Path, *shas: str) -> Mirror:
    mirror = Mirror(mirror_directory(tmp_path / "home" / "mirrors", 7), protocols=("file",))
    await mirror.ensure()
    await mirror.fetch(origin.remote, *shas)
    return mirror


async def done(sandbox: Sandbox, script: str) -> None:
    process = await sandbox.start(Command(("bash", "-c", script)))
    ended = await process.wait(30)
    assert ended is not None
    assert ended.exit_status == 0, process.take_output()


async def test_a_turn_that_goes_on_has_no_half_done_step(tmp_path: Path, workspaces: Workspaces) -> None:
    """What the last finished step left is there; what the interrupted one had begun is not."""
    origin = Origin(tmp_path / "origin.git")
    sha = origin.commit({"calc.py": "a - b\n", "README.md": "one\n"})
    mirror = await mirror_of(origin, tmp_path, sha)
    async with workspaces.opened("turn-1", sha, mirror, WRITE) as pending:
        await done(await pending.sandbox(), "sed -i s/-/+/ calc.py; echo n > new")
        kept = await pending.snapshot()
        await done(await pending.sandbox(), "rm calc.py new; echo half > README.md; mkdir d; echo x > d/x")

    async with workspaces.opened("turn-1", sha, mirror, WRITE, TreeState(kept)) as pending:
        checkout, sandbox = await pending.checkout(), await pending.sandbox()
        await done(sandbox, "grep -q + calc.py && ! test -e d && echo more >> new")
        changes = await checkout.changes(sandbox.tree)
    await mirror.close()

    assert kept is not None
    assert [(change.path, change.data) for change in changes] == [
        ("calc.py", b"a + b\n"),
        ("new", b"n\nmore\n"),
    ]


async def test_a_turn_without_a_finished_step_begins_with_the_commit(
    tmp_path: Path, workspaces: Workspaces
) -> None:
    """It may be interrupted before anything is journaled; a state that is not known is left alone."""
    origin = Origin(tmp_path / "origin.git")
    mirror = await mirror_of(origin, tmp_path, sha := origin.commit({"calc.py": "a - b\n"}))
    async with workspaces.opened("turn-1", sha, mirror, WRITE) as pending:
        await done(await pending.sandbox(), "rm calc.py; echo x > new")
    async with workspaces.opened("turn-1", sha, mirror, WRITE, None) as pending:
        await done(await pending.sandbox(), "test -e new && ! test -e calc.py")
    async with workspaces.opened("turn-1", sha, mirror, WRITE, TreeState("00")) as pending:
        await done(await pending.sandbox(), "test -e new && ! test -e calc.py")

    async with workspaces.opened("turn-1", sha, mirror, WRITE, TreeState(None)) as pending:
        changes = await (await pending.checkout()).changes((await pending.sandbox()).tree)
    await mirror.close()

    assert changes == ()


async def test_a_checkout_is_given_up_at_once_and_goes_in_the_background(
    tmp_path: Path, workspaces: Workspaces
) -> None:
    """Nobody waits for its files; what a killed server left of it goes with the next start."""
    origin = Origin(tmp_path / "origin.git")
    mirror = await mirror_of(origin, tmp_path, sha := origin.commit({"calc.py": "a - b\n"}))
    async with workspaces.opened("turn-1", sha, mirror, WRITE) as pending:
        await pending.sandbox()
    assert workspaces.kept() == ["turn-1"]

    await workspaces.remove("turn-1")
    assert workspaces.kept() == []
    await workspaces.close()
    left = tmp_path / "home" / "checkouts" / ".gone-0123"
    left.mkdir(exist_ok=True)
    after = Workspaces(tmp_path / "home", BubblewrapDriver())
    after.sweep()
    async with asyncio.timeout(60):
        while any((tmp_path / "home" / "checkouts").iterdir()):
            await asyncio.sleep(0.01)
    await mirror.close()


async def test_a_read_only_turn_keeps_nothing(tmp_path: Path, workspaces: Workspaces) -> None:
    """Its files cannot change."""
    origin = Origin(tmp_path / "origin.git")
    mirror = await mirror_of(origin, tmp_path, sha := origin.commit({"calc.py": "a - b\n"}))
    policy = Policy(SandboxMode.READ_ONLY)

    async with workspaces.opened("turn-1", sha, mirror, policy) as pending:
        await pending.sandbox()
        assert await pending.snapshot() is None
    await mirror.close()
