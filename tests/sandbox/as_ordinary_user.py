"""Run by a test: lets the driver check this machine as an ordinary user and prints what it found.

The interpreter of the keepers is that user's own file here, as where people install Python for themselves.
"""

import asyncio

# Loaded while the interpreter's folder can be read: it may be closed to the ordinary user.
import encodings.ascii
import encodings.idna  # noqa: F401
import os
import shutil
import sys
import tempfile
from pathlib import Path

from sandbox.base import Command, Policy, SandboxMode, Workspace
from sandbox.bubblewrap import BubblewrapDriver

# A number that no account has and that differs from the one sandboxes of a root service run as.
ORDINARY = 65_532
OVERWRITE = Path(__file__).with_name("overwrite.py").read_text()


async def main() -> int:
    """Nothing of the service's is root's from here on."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(ORDINARY, ORDINARY, ORDINARY)
        os.setresuid(ORDINARY, ORDINARY, ORDINARY)
    with tempfile.TemporaryDirectory() as name:
        interpreter = Path(name, "python3")
        shutil.copy("/usr/bin/python3", interpreter)
        before = interpreter.read_bytes()
        driver = BubblewrapDriver(interpreter=str(interpreter))
        assert driver.owner_uid is None
        for check in await driver.check():
            sys.stdout.write(f"{check.result} {check.name}: {check.detail}\n")
        said = await overwritten(driver, Path(name))
        is_kept = said.count("refused") == 2 and interpreter.read_bytes() == before
        sys.stdout.write(f"{'ok' if is_kept else 'failed'} the interpreter cannot be changed: {said!r}\n")
    return 0


async def overwritten(driver: BubblewrapDriver, directory: Path) -> str:
    """What a command says that tried to change the program of its ancestors."""
    workspace = Workspace(tree=directory / "tree", scratch=directory / "scratch")
    workspace.tree.mkdir()
    script = workspace.tree / "script"
    script.write_text(OVERWRITE)
    script.chmod(0o755)
    async with driver.open(workspace, Policy(SandboxMode.WORKSPACE_WRITE)) as sandbox:
        process = await sandbox.start(Command(("./script",)))
        await process.wait(20)
    return process.take_output().decode()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
