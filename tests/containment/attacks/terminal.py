"""Terminals: nothing is typed for anybody, and nothing is shown to anybody else."""

from __future__ import annotations

import fcntl
import os
import pty
import termios
from functools import partial

from .attack import Facts, Held, any_of, attack, to
from .calls import in_child


def _slave() -> int:
    return pty.openpty()[1]


@attack()
def typed_into_own(_: Facts) -> str:
    """Type into a terminal, for whoever reads it next."""

    def typed() -> str:
        slave = _slave()
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        fcntl.ioctl(slave, termios.TIOCSTI, b"x")
        return "typed"

    return in_child(typed)


@attack(tty=True)
def typed_with_a_terminal(_: Facts) -> str:
    """Type into the terminal that the command was given, and paste there."""
    return any_of(
        to("typed", fcntl.ioctl, 0, termios.TIOCSTI, b"x"),
        to("pasted", fcntl.ioctl, 0, termios.TIOCLINUX, bytes([3])),
        to("typed, by a number that is wider", fcntl.ioctl, 0, termios.TIOCSTI | 1 << 32, b"x"),
    )


@attack()
def hosts_terminal(facts: Facts) -> str:
    """Write to a terminal of the host."""
    descriptor = os.open(facts.terminal, os.O_WRONLY | os.O_NOCTTY)
    if os.fstat(descriptor).st_rdev == os.fstat(0).st_rdev:
        raise Held("it is the command's own")
    os.write(descriptor, facts.marker.encode())
    return "written"


@attack()
def inherited_terminal(_: Facts) -> str:
    """Have a terminal of the host's, as controlling one or as input."""
    for descriptor in (0, 1, 2):
        if os.isatty(descriptor):
            return f"descriptor {descriptor} is {os.ttyname(descriptor)}"
    os.close(os.open("/dev/tty", os.O_RDWR))
    return "there is a controlling one"


@attack(tty=True, allowed="it is the command's own")
def own_terminal(_: Facts) -> str:
    """Read and set up the terminal that the command was given."""
    termios.tcsetattr(0, termios.TCSANOW, termios.tcgetattr(0))
    return "set up"


@attack()
def line_discipline(_: Facts) -> str:
    """Load a line discipline into a terminal, for the faults of its module."""
    # TIOCSETD to N_TTY, the harmless one.
    fcntl.ioctl(_slave(), 0x5423, (0).to_bytes(4, "little"))
    return "loaded"


@attack(innocent="only root can")
def console_taken(_: Facts) -> str:
    """Have the messages of the machine's console."""
    return any_of(
        to("taken", fcntl.ioctl, _slave(), 0x541D, 0),
        partial(_opened, "/dev/tty0"),
        partial(_opened, "/dev/vcs"),
        partial(_opened, "/dev/ttyS0"),
    )


def _opened(path: str) -> str:
    os.close(os.open(path, os.O_RDWR | os.O_NOCTTY))
    return f"opened {path}"


@attack()
def sessions_of_the_host(_: Facts) -> str:
    """Belong to the session of who started the service."""
    # The leader of a session outside is shown as 0.
    if os.getsid(0) not in {0, os.getpid()} and not os.path.exists(f"/proc/{os.getsid(0)}"):
        return f"session {os.getsid(0)}"
    with open("/proc/self/stat", encoding="ascii") as file:
        terminal = int(file.read().rpartition(")")[2].split()[4])
    if terminal:
        return f"terminal {terminal:#x}"
    raise Held("a session without a terminal")
