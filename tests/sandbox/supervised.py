"""Run as a program: starts another one under the audit's supervisor, and ends when that one does."""

import os
import select
import signal
import sys

from sandbox import syscalls
from sandbox.keeper import audit


def main(journal: int, argv: list[str]) -> None:
    syscalls.forbid_capabilities()
    supervisor = audit.Supervisor(audit.install(audit.filter_program(os.uname().machine)), journal)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing)
    program = os.fork()
    if program == 0:
        os.execvp(argv[0], argv)  # noqa: S606
    poll = select.poll()
    poll.register(supervisor.fileno(), select.POLLIN)
    poll.register(reading, select.POLLIN)
    while os.waitpid(program, os.WNOHANG)[0] != program:
        for descriptor, _ in poll.poll():
            if descriptor == reading:
                os.read(reading, 4096)
            else:
                supervisor.serve()
    supervisor.finish()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
