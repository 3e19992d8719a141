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

    @asynccontextmanager
    async def open(self, limits: Limits | None = None) -> AsyncIterator[ToolContext]:
        policy = Policy(SandboxMode.WORKSPACE_WRITE, limits=limits or Limits(wall_seconds=20.0))
        async with BubblewrapDriver().open(self.workspace, policy) as sandbox:

            async def opened() -> Sandbox:
                return sandbox

            yield ToolContext(sandbox=opened)


@pytest.fixture
def confinement(tmp_path: Path) -> Confinement:
    for name in ("tree", "scratch"):
        (tmp_path / name).mkdir()
    owner = BubblewrapDriver().owner_uid
    if owner is not None:
        os.chown(tmp_path / "tree", owner, owner)
    return Confinement(Workspace(tree=tmp_path / "tree", scratch=tmp_path / "scratch"))
