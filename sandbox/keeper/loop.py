"""A keeper's life: build the sandbox, then start a command whenever the service asks. Decides nothing."""

import os
import select
import signal
import socket
import termios
from collections.abc import Callable
from typing import Final

from sandbox.keeper import audit, command, ground, wire

_TERMINAL_SIZE: Final = (24, 80)
"""Lines and columns."""


class Watch:
    """The descriptors that a keeper waits for, each with what to do when it is readable or closed.

    Whoever has a further descriptor to serve adds it; what it does must neither block nor take long, since
    commands are started from the same loop.
    """

    def __init__(self) -> None:
        self._poll = select.poll()
        self._answers: dict[int, Callable[[], None]] = {}

    def add(self, descriptor: int, answer: Callable[[], None]) -> None:
        """Call `answer` each time that there is something to read."""
        self._answers[descriptor] = answer
        self._poll.register(descriptor, select.POLLIN)

    def forget(self, descriptor: int) -> None:
        """Close it, too."""
        del self._answers[descriptor]
        self._poll.unregister(descriptor)
        os.close(descriptor)

    def wait(self) -> None:
        """Answer whatever is ready, once."""
        for descriptor, _ in self._poll.poll():
            if descriptor in self._answers:
                self._answers[descriptor]()


def keep(service: socket.socket) -> None:
    """Serve one sandbox until the service closes it. The kernel then ends what still runs inside."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, _ = wire.asked(service)
    if request is None:
        return
    try:
        built = ground.tried(request) if "overlay" in request else ground.build(request)
    except ground.NotBuilt as error:
        wire.tell(service, {"failed": str(error)})
        return
    own = os.pidfd_open(os.getpid())
    wire.tell(service, {"ready": True}, (own, *built.handed))
    for descriptor in (own, *built.handed):
        os.close(descriptor)
    program = bytes.fromhex(request.get("filter", ""))
    base = command.Ground(
        filter_program=program,
        audit_program=audit.filter_program(os.uname().machine),
        lifeline=_lifeline(),
    )
    # What commands inherit: nothing is as Python would have it.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    # For the first processes of commands, which add where it is to be told; a program begins without it.
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _serve(service, base)


def _serve(service: socket.socket, base: command.Ground) -> None:
    watch = Watch()
    is_open = True

    def answer() -> None:
        nonlocal is_open
        request, descriptors = wire.asked(service)
        if request is None:
            is_open = False
            return
        with socket.socket(fileno=descriptors[0]) as channel:
            _start(channel, request, descriptors[1], descriptors[2:], base, watch)

    watch.add(service.fileno(), answer)
    while is_open:
        watch.wait()


def _start(
    channel: socket.socket,
    request: wire.Message,
    journal: int,
    output: list[int],
    base: command.Ground,
    watch: Watch,
) -> None:
    handed: list[int] = []
    try:
        if not output:
            # Of the sandbox's own terminals, so that it has a name inside.
            master, slave = os.openpty()
            # Before anybody can ask for it.
            termios.tcsetwinsize(slave, _TERMINAL_SIZE)
            output, handed = [slave], [master]
        ends = command.Ends(channel.fileno(), journal, output[0])
        first_process, pidfd = command.start(request, ends, base)
    except OSError as error:
        wire.tell(channel, command.no_process(error))
        return
    finally:
        for descriptor in (journal, *output):
            os.close(descriptor)

    def reap() -> None:
        os.waitpid(first_process, 0)
        watch.forget(pidfd)

    watch.add(pidfd, reap)
    try:
        wire.tell(channel, {"born": True}, (pidfd, *handed))
    except OSError:
        # Nobody wants it any more.
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    for descriptor in handed:
        os.close(descriptor)


def _lifeline() -> int:
    """The end of a pipe that is closed when this process is gone, whichever way."""
    # The other end stays with this process alone: each command closes all that it does not need.
    reading, _ = os.pipe()
    return reading
