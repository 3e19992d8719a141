"""The process that keepers are forked from. Holds one socket and nothing else: no secret, no environment.

It ends when the service does, and so does every keeper: each sees the end of its own socket.
"""

import gc
import os
import signal
import socket
import sys
from typing import Final

from sandbox import syscalls
from sandbox.keeper import loop, wire

_NAME: Final = b"darner-keeper"
_ALL_DESCRIPTORS: Final = 1 << 16


def main(descriptor: int) -> None:
    """Fork a keeper for each socket that comes, until the service is gone."""
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, _ALL_DESCRIPTORS)
    # Children that nobody waits for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # Where Python has no hand in it, the first process of a command takes no signal from inside.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.umask(0o022)
    _forget_command_line()
    # Neither other processes of this user nor a command inside may look into this memory or at this program.
    syscalls.set_dumpable(False)
    # Inside a sandbox's mounts, the paths that modules come from could lead to what a command wrote.
    sys.meta_path.clear()
    # What is here now is never collected, so that the pages stay shared with the keepers.
    gc.collect()
    gc.freeze()
    gc.disable()
    with socket.socket(fileno=descriptor) as control:
        while True:
            message, descriptors = wire.hear(control)
            if message is None:
                return
            if os.fork() == 0:
                _become_keeper(control, descriptors)
            for each in descriptors:
                os.close(each)


def _become_keeper(control: socket.socket, descriptors: list[int]) -> None:
    """Never returns."""
    with wire.LastWords(descriptors[0]):
        control.close()
        loop.keep(socket.socket(fileno=descriptors[0]))


def _forget_command_line() -> None:
    """It is shown inside as that of each command's first process, and names paths of the host."""
    syscalls.set_name(_NAME)
    with open("/proc/self/stat", "rb") as file:  # noqa: PTH123
        fields = file.read().rpartition(b")")[2].split()
    # Fields 48 and 49: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    begin, end = int(fields[45]), int(fields[46])
    if 0 < begin < end:
        syscalls.overwrite(begin, _NAME[: end - begin - 1].ljust(end - begin, b"\0"))
