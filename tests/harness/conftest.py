"""A checkout and a real sandbox around it, for tests of tools and whole turns."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.tools import ToolContext
from sandbox.base import Limits, Policy, Sandbox, SandboxMode, Workspace
from sandbox.bubblewrap import BubblewrapDriver


@dataclass(frozen=True)
class Confinement:
    """Opens the sandbox of one checkout."""

    workspace: Workspace

    @property
    def checkout(self) -> Path:
        return self.workspace.tree

    def put(self, path: str, text: str) -> None:
        """A file of the checkout, as its owner would have left it."""
        file = self.checkout / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        for made in (file, *file.relative_to(self.checkout).parents):
            give_to_sandbox(self.checkout / made)

    @asynccontextmanager
    async def open(self, limits: Limits | None = None) -> AsyncIterator[ToolContext]:
        policy = Policy(SandboxMode.WORKSPACE_WRITE, limits=limits or Limits(wall_seconds=20.0))
        async with BubblewrapDriver().open(self.workspace, policy) as sandbox:

            async def opened() -> Sandbox:
                return sandbox

            yield ToolContext(sandbox=opened)


def give_to_sandbox(path: Path) -> None:
    """Where the tests run as root, commands run as another user."""
    owner = BubblewrapDriver().owner_uid
    if owner is not None:
        os.chown(path, owner, owner)


@pytest.fixture
def confinement(tmp_path: Path) -> Confinement:
    for name in ("tree", "scratch"):
        (tmp_path / name).mkdir()
    give_to_sandbox(tmp_path / "tree")
    return Confinement(Workspace(tree=tmp_path / "tree", scratch=tmp_path / "scratch"))
