"""Run by a test, and killed by it: a service with a long command in a container."""

import asyncio
import os
import sys
from pathlib import Path

from sandbox.base import Command, Policy, SandboxMode, Workspace
from sandbox.container.driver import DockerDriver


async def main(address: str, image: str, directory: Path, marker: str) -> None:
    """Says that the command runs, then waits for ever."""
    driver = DockerDriver(address=address, image=image, state=directory / "state")
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
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]))
