"""Run by a test: confines commands in a container as an ordinary user, and prints what came of it."""

import asyncio

# Loaded while the interpreter's folder can be read: it may be closed to the ordinary user.
import encodings.ascii
import encodings.idna  # noqa: F401
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from sandbox.base import Command, Policy, Sandbox, SandboxMode, SandboxUnavailable, Workspace
from sandbox.container.driver import DockerDriver

# A number that no account has.
ORDINARY = 65_530
WRITE = Policy(SandboxMode.WORKSPACE_WRITE)


async def main(address: str, image: str, marker: str) -> None:
    """Nothing of the service's is root's from here on."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(ORDINARY, ORDINARY, ORDINARY)
        os.setresuid(ORDINARY, ORDINARY, ORDINARY)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "tree").mkdir()
        workspace = Workspace(tree=root / "tree", scratch=root / "scratch")
        driver = DockerDriver(address=address, image=image, state=root / "state")
        assert driver.owner_uid is None
        for check in await driver.check():
            tell(f"{check.result} {check.name}: {check.detail}")
        async with driver.open(workspace, WRITE) as sandbox:
            tell(await said(sandbox, "id -u; touch made"))
            tell(await said(sandbox, f"setsid sleep {marker} >/dev/null 2>&1 & sleep 0.1; echo left"))
            tell(f"living: {living(marker)}")
            process = await sandbox.start(Command(("sleep", marker)))
            await process.kill()
            tell(f"living: {living(marker)}")
            tell(await said(sandbox, "echo next; ls"))
        try:
            async with driver.open(workspace, replace(WRITE, allowed_hosts=("pypi.org",))):
                tell("opened")
        except SandboxUnavailable as error:
            tell(error.reason)


async def said(sandbox: Sandbox, script: str) -> str:
    """What it prints, in one line."""
    process = await sandbox.start(Command(("/bin/sh", "-c", script)))
    await process.wait(20)
    return " ".join(process.take_output().decode().split())


def living(marker: str) -> int:
    """How many processes have the word among their arguments, this one aside."""
    found = 0
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        found += marker.encode() in words and directory.name != str(os.getpid())
    return found


def tell(line: str) -> None:
    """To the test."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
