"""A checkout to confine commands to, and the short way to run one."""

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sandbox.base import Command, Driver, Ended, Sandbox, Workspace
from sandbox.bubblewrap import BubblewrapDriver

Run = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def driver() -> BubblewrapDriver:
    """Shows this interpreter's own folder, so that `python3` is there wherever it was installed."""
    return BubblewrapDriver(extra_read_only=(Path(sys.base_prefix),))


@pytest.fixture
def workspace(tmp_path: Path, driver: Driver) -> Workspace:
    """A small repository as a turn gets it."""
    tree = tmp_path / "tree"
    (tree / ".github" / "workflows").mkdir(parents=True)
    (tree / ".github" / "workflows" / "ci.yml").write_text("on: push\n")
    (tree / "src").mkdir()
    (tree / "src" / "main.py").write_text("print('hello')\n")
    (tree / "AGENTS.md").write_text("Be kind.\n")
    (tmp_path / "scratch").mkdir()
    (tmp_path / "git").mkdir()
    (tmp_path / "git" / "HEAD").write_text("ref: refs/heads/main\n")
    give(tree, driver)
    return Workspace(tree=tree, scratch=tmp_path / "scratch", git=tmp_path / "git")


def give(tree: Path, driver: Driver) -> None:
    """Make the user whom commands run as the owner."""
    if driver.owner_uid is None:
        return
    for path in (tree, *tree.rglob("*")):
        os.chown(path, driver.owner_uid, driver.owner_uid, follow_symlinks=False)


@pytest.fixture
def run() -> Run:
    """Run a shell script inside: its exit status, and what it printed."""

    async def run_script(sandbox: Sandbox, script: str, *, seconds: float = 30) -> tuple[int, str]:
        process = await sandbox.start(Command(("/bin/sh", "-c", script)))
        ended = await process.wait(seconds)
        assert isinstance(ended, Ended)
        return ended.exit_status, process.take_output().decode()

    return run_script
