"""Notes which programs a command starts. An audit, not a boundary: every program is let go on, always.

The kernel holds each execve until the supervisor, the command's first process, has looked at it: a seccomp
filter with a listener, which the whole tree inherits. What is noted is what the caller's memory said at that
moment; another thread of it can change that before the kernel looks itself. Programs that need no execve to
run (a script's own interpreter, `ld.so program`) are seen as what was executed.
https://docs.kernel.org/userspace-api/seccomp_filter.html#userspace-notification

When the supervisor is gone, no execve succeeds any more; but the tree dies with it, too.
"""

import contextlib
import errno
import fcntl
import os
import select
import struct
import time
from json.encoder import encode_basestring_ascii
from typing import Final, NamedTuple

from sandbox import syscalls

MOST_PROGRAMS: Final = 500
"""Of one command; further ones are only counted."""
MOST_WORDS: Final = 32
LONGEST_WORD: Final = 512
"""Bytes; what is longer is cut, and so is the number of words."""
_LONGEST_PATH: Final = 4096
MOST_BYTES: Final = 1 << 18
"""Of a journal; what does not fit is only counted."""
_MOST_FOLLOWED: Final = 128
"""Whose end is waited for at once."""
CUT: Final = "…"

# linux/audit.h, arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h
_ARCHITECTURES: Final = {"x86_64": (0xC000003E, 59, 322), "aarch64": (0xC00000B7, 221, 281)}
"""The machine's number in filters, those of execve and execveat."""
# linux/bpf_common.h, linux/seccomp.h
_LOAD: Final = 0x20
_JUMP_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_TELL: Final = 0x7FC00000
_ALLOW: Final = 0x7FFF0000
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_RECEIVE: Final = 0xC0502100
_SEND: Final = 0xC0182101
_IS_VALID: Final = 0x40082102
# Since Linux 6.6.
_SET_FLAGS: Final = 0x40082104
_WAKE_UP_HERE: Final = 1
_GO_ON: Final = 1
_CALL: Final = struct.Struct("=QIIiIQ6Q")
_ANSWER: Final = struct.Struct("=QqiI")
_POINTER: Final = 8
_DESCRIPTOR: Final = 0x7FFFFFFF


def install(program: bytes) -> int:
    """From here on each call that `filter_program` names is told, of this thread and of what it starts.

    The descriptor is for a `Supervisor`. Needs `no_new_privs`, as every filter does. Raises `OSError`.
    """
    return syscalls.install_listener(program)


def filter_program(machine: str) -> bytes:
    """Which calls are told, as a BPF program."""
    architecture, execve, execveat = _ARCHITECTURES[machine]
    steps = (
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        # Another architecture's calls are the other filter's to refuse.
        (_JUMP_EQUAL, 0, 4, architecture),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_EQUAL, 1, 0, execve),
        (_JUMP_EQUAL, 0, 1, execveat),
        (_RETURN, 0, 0, _TELL),
        (_RETURN, 0, 0, _ALLOW),
    )
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


class _Seen(NamedTuple):
    argv: list[str]
    path: str
    cwd: str
    before: tuple[int, int] | None
    """The file that the process has run so far."""


class _Running(NamedTuple):
    number: int
    seen: _Seen
    began: float


class Supervisor:
    """Answers the listener and writes a journal: one JSON object a line.

    `{"n": 0, "argv": […], "path": …, "cwd": …}` when a program starts, `{"n": 0, "status": …, "seconds": …}`
    when it is over or another takes its place, `{"more": …}` for programs beyond the bound. What could not be
    looked at is noted without words. Without a listener nothing is noted.
    """

    def __init__(self, listener: int | None, journal: int) -> None:
        self._listener = -1 if listener is None else listener
        self._journal = journal
        self._noted = 0
        self._more = 0
        self._written = 0
        self._execve = _ARCHITECTURES[os.uname().machine][1]
        self._running: dict[int, _Running] = {}
        self._followed: dict[int, int] = {}
        self._epoll = select.epoll()
        self.descriptors = [self._epoll.fileno()]
        """To be kept open, beside the journal."""
        if listener is not None:
            self._epoll.register(listener, select.EPOLLIN)
            self.descriptors.append(listener)
            # Whoever waits for an answer gives its processor up to us meanwhile.
            with contextlib.suppress(OSError):
                fcntl.ioctl(listener, _SET_FLAGS, _WAKE_UP_HERE)

    def fileno(self) -> int:
        """Readable when `serve` has something to do."""
        return self._epoll.fileno()

    def serve(self) -> None:
        """Answer what waits. Never blocks, never raises for what a command does."""
        for descriptor, _ in self._epoll.poll(0):
            if descriptor == self._listener:
                self._answer()
            else:
                self._ended(descriptor)

    def finish(self) -> None:
        """The command is over: note the ends that have not been."""
        self.serve()
        if self._more:
            self._write({"more": self._more})

    def _answer(self) -> None:
        call = bytearray(_CALL.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, call, True)
        except OSError as error:
            # Whoever asked was killed meanwhile; or nobody is left who could ask.
            if error.errno not in {errno.ENOENT, errno.EINTR}:
                self._epoll.unregister(self._listener)
            return
        number, pid, _, what, _, _, *arguments = _CALL.unpack(call)
        try:
            self._look_at(number, pid, arguments, has_directory=what != self._execve)
        finally:
            self._go_on(number)

    def _go_on(self, number: int) -> None:
        try:
            fcntl.ioctl(self._listener, _SEND, _ANSWER.pack(number, 0, 0, _GO_ON))
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.EINTR}:
                raise

    def _look_at(self, number: int, pid: int, arguments: list[int], *, has_directory: bool) -> None:
        if self._noted >= MOST_PROGRAMS or self._written >= MOST_BYTES:
            self._more += 1
            return
        try:
            seen = _seen(pid, arguments, has_directory=has_directory)
            # Only now is it certain that all this was read from the process that asked.
            fcntl.ioctl(self._listener, _IS_VALID, struct.pack("=Q", number))
        except (OSError, OverflowError):
            # It is gone, has closed its memory to others, or gave addresses that lead nowhere.
            seen = _Seen([], "", "", None)
        self._note(pid, seen)

    def _note(self, pid: int, seen: _Seen) -> None:
        earlier = self._running.get(pid)
        if earlier is not None and _is_searched_for(earlier.seen, seen):
            # The next directory of PATH: the one before held no such program.
            self._write({"n": earlier.number, "path": seen.path})
            return
        if earlier is not None:
            self._write({"n": earlier.number, "seconds": time.monotonic() - earlier.began})
        else:
            self._follow(pid)
        self._running[pid] = _Running(self._noted, seen, time.monotonic())
        self._write({"n": self._noted, "argv": seen.argv, "path": seen.path, "cwd": seen.cwd})
        self._noted += 1

    def _follow(self, pid: int) -> None:
        if len(self._followed) >= _MOST_FOLLOWED:
            return
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            # A thread that is not its process's first one becomes that by executing something.
            return
        self._followed[pidfd] = pid
        # Nothing but the hang-up that comes when it has been waited for: only then the kernel tells more.
        self._epoll.register(pidfd, 0)

    def _ended(self, pidfd: int) -> None:
        status = syscalls.exit_status(pidfd)
        os.close(pidfd)
        pid = self._followed.pop(pidfd)
        running = self._running.pop(pid)
        seconds = time.monotonic() - running.began
        self._write({"n": running.number, "status": status, "seconds": seconds})

    def _write(self, entry: dict[str, str | list[str] | float | None]) -> None:
        fields = ",".join([f'"{name}":{_json(value)}' for name, value in entry.items()])
        self._written += os.write(self._journal, f"{{{fields}}}\n".encode())


def _json(value: str | list[str] | float | None) -> str:
    """Not by `json.dumps`, whose first use costs a fresh process more than all else that is noted."""
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if isinstance(value, list):
        return f"[{','.join(map(encode_basestring_ascii, value))}]"
    return "null" if value is None else repr(value)


def _seen(pid: int, arguments: list[int], *, has_directory: bool) -> _Seen:
    at = 1 if has_directory else 0
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        path = _text(memory, arguments[at], _LONGEST_PATH)
        argv = _words(memory, arguments[at + 1])
    finally:
        os.close(memory)
    if has_directory and not path:
        path = _target(f"/proc/{pid}/fd/{arguments[0] & _DESCRIPTOR}")
    running = os.stat(f"/proc/{pid}/exe")  # noqa: PTH116
    cwd = _target(f"/proc/{pid}/cwd")
    return _Seen(argv, path, cwd, (running.st_dev, running.st_ino))


def _is_searched_for(earlier: _Seen, later: _Seen) -> bool:
    """Whether the earlier one did not come to run."""
    return later.before is not None and (earlier.argv, earlier.before) == (later.argv, later.before)


def _target(link: str) -> str:
    # Names are bytes; what is kept of them is text.
    return os.readlink(link.encode()).decode(errors="replace")  # noqa: PTH115


def _words(memory: int, address: int) -> list[str]:
    if not address:
        return []
    pointers = os.pread(memory, _POINTER * (MOST_WORDS + 1), address)
    words: list[str] = []
    for (pointer,) in struct.iter_unpack("=Q", pointers[: len(pointers) // _POINTER * _POINTER]):
        if not pointer:
            break
        words.append(CUT if len(words) == MOST_WORDS else _text(memory, pointer, LONGEST_WORD))
    return words


def _text(memory: int, address: int, most: int) -> str:
    if not address:
        return ""
    data, end, _ = os.pread(memory, most, address).partition(b"\0")
    return data.decode(errors="replace") + ("" if end else CUT)
