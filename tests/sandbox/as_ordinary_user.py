"""Run by a test: lets the driver check this machine as an ordinary user and prints what it found."""

import asyncio

# Loaded while the interpreter's folder can be read: it may be closed to the ordinary user.
import encodings.ascii
import encodings.idna  # noqa: F401
import os
import sys

from sandbox.bubblewrap import BubblewrapDriver

# A number that no account has and that differs from the one sandboxes of a root service run as.
ORDINARY = 65_532


async def main() -> int:
    """Nothing of the service's is root's from here on."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(ORDINARY, ORDINARY, ORDINARY)
        os.setresuid(ORDINARY, ORDINARY, ORDINARY)
    # This interpreter may lie in a folder of root's.
    interpreter = sys.executable if os.access(sys.executable, os.X_OK) else "/usr/bin/python3"
    driver = BubblewrapDriver(interpreter=interpreter)
    assert driver.owner_uid is None
    for check in await driver.check():
        sys.stdout.write(f"{check.result} {check.name}: {check.detail}\n")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
