"""Run by a test, and killed by it: a service with a long command in a sandbox."""

import asyncio
import os
import sys
from pathlib import Path

from sandbox.base import Command, Policy, SandboxMode, Workspace
from sandbox.bubblewrap import BubblewrapDriver


async def main(directory: Path, marker: str) -> None:
    """Says that the command runs, then waits for ever."""
    driver = BubblewrapDriver()
    tree = directory / "tree"
    tree.mkdir()
    if driver.owner_uid is not None:
        os.chown(tree, driver.owner_uid, driver.owner_uid)
    workspace = Workspace(tree=tree, scratch=directory / "scratch")
    async with driver.open(workspace, Policy(SandboxMode.WORKSPACE_WRITE)) as sandbox:
        await sandbox.start(Command(("/bin/sh", "-c", f"setsid sleep {marker} & sleep {marker}")))
        await asyncio.sleep(0.3)
        sys.stdout.write("running\n")
        sys.stdout.flush()
        await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
