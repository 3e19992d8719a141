"""One command: a process tree in PID, mount and IPC namespaces of its own. All in a child of the keeper.

The first process mounts what belongs to this command, gives up every right, and only then starts the program.
It stays to reap and to tell the exit status; when it ends, by itself or by a kill, the kernel ends the rest.

It is still this interpreter. So nothing may reach it from inside: it is not dumpable, which closes its memory
and its /proc/PID/exe. One handle on the interpreter's file remains, a script that names /proc/self/exe as its
own; that file is one that the command's user cannot change (`sandbox.keepers`).
https://github.com/opencontainers/runc/security/advisories/GHSA-gxmr-w5mj-v8hh tells what could happen else.
"""

import errno
import fcntl
import os
import resource
import select
import signal
import termios
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from sandbox import syscalls
from sandbox.keeper import audit, wire

_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108
_SHELL: Final = "/bin/sh"
_NOT_FOUND_STATUS: Final = 127
_NOT_EXECUTABLE_STATUS: Final = 126
_PROC_FLAGS: Final = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
_READ_ONLY: Final = (
    syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV
)
_PLAIN: Final = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_MAGICLINKS | syscalls.RESOLVE_NO_SYMLINKS
# A link in the way included, which nothing here follows.
_NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_REGULAR: Final = 0o100000
_DIRECTORY: Final = 0o040000
_FILE_TYPE: Final = 0o170000
# More than a keeper ever has open.
_ALL_DESCRIPTORS: Final = 1 << 16


class Ground(NamedTuple):
    """What all commands of a sandbox have in common."""

    filter_program: bytes
    audit_program: bytes
    lifeline: int
    """Closed on the other side when the keeper is gone."""


class Ends(NamedTuple):
    """Where a command's words go."""

    channel: int
    """What becomes of it."""
    journal: int
    """Which programs it starts: see `sandbox.keeper.audit`."""
    output: int


def start(request: wire.Message, ends: Ends, ground: Ground) -> tuple[int, int]:
    """The first process of a new command and its pidfd; what becomes of it is told through `ends.channel`.

    `ready` comes when everything holds and the program is about to run, `exit` when it is over, `failed`
    when the command could not be confined, `full` when the turn has no room for it: nothing of it has run
    then. Raises `OSError`.
    """
    flags = syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS | syscalls.CLONE_NEWIPC
    pid, pidfd = syscalls.fork_into(flags, signal=signal.SIGCHLD)
    if pid == 0:
        _be_first(request, ends, ground)
    return pid, pidfd


def _be_first(request: wire.Message, ends: Ends, ground: Ground) -> None:
    """Never returns."""
    with wire.LastWords(ends.channel):
        syscalls.die_with_parent(signal.SIGKILL)
        _close_all_but(0, 1, 2, *ends, ground.lifeline)
        _confine(request, ground)
        supervisor = _supervisor(ends.journal, ground.audit_program if request["audit"] else None)
        woken, waking = _woken_by_children()
        try:
            # Not `os.fork`, which prepares the child for a life as a Python program.
            program, _ = syscalls.fork_into(0, signal=signal.SIGCHLD)
        except OSError as error:
            wire.say(ends.channel, no_process(error))
            return
        if program == 0:
            _execute(request, ends.output)
        # Written by hand: whatever a fresh process does for the first time costs it memory of its own.
        os.write(ends.channel, b'{"ready": true}')
        _close_all_but(ends.channel, ends.journal, woken, waking, *supervisor.descriptors)
        os.write(ends.channel, b'{"exit": %d}' % _status_of(program, woken, supervisor))


def no_process(error: OSError) -> wire.Message:
    """What is told when no process could be started."""
    what = {errno.EAGAIN: "processes", errno.ENOMEM: "memory"}.get(error.errno or 0)
    if what is not None:
        return {"full": what}
    return {"failed": f"a process could not be started: {error.strerror}"}


def _confine(request: wire.Message, ground: Ground) -> None:
    """This process, and whatever it starts. Raises `OSError`."""
    if select.select((ground.lifeline,), (), (), 0)[0]:
        raise OSError(0, "the keeper is gone", "keeper")
    syscalls.mount("proc", "/proc", "proc", flags=_PROC_FLAGS)
    _forget_shared_memory()
    _volunteer_for_memory_shortage()
    _protect(request["root"], request["protected"])
    os.chdir(request["workdir"])
    syscalls.drop_capabilities()
    syscalls.install_filter(ground.filter_program)


def _forget_shared_memory() -> None:
    """An empty one for each command: what one leaves there is memory that all the next would lack."""
    state = os.statvfs(_SHARED_MEMORY)
    options = f"mode=1777,size={state.f_blocks * state.f_frsize}"
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("tmpfs", _SHARED_MEMORY, "tmpfs", flags=flags, options=options)


def _supervisor(journal: int, program: bytes | None) -> audit.Supervisor:
    try:
        listener = None if program is None else audit.install(program)
    except OSError:
        # Somebody around the service listens already, or an old kernel: nothing is noted then.
        listener = None
    return audit.Supervisor(listener, journal)


def _woken_by_children() -> tuple[int, int]:
    """The ends of a pipe: the first is readable when a child has ended. The keeper has seen to a handler."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return reading, writing


def _execute(request: wire.Message, output: int) -> None:
    """Never returns."""
    status = _NOT_EXECUTABLE_STATUS
    argv: list[str] = request["argv"]
    has_terminal: bool = request["tty"]
    try:
        os.setsid()
        os.dup2(output if has_terminal else os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.closerange(3, _ALL_DESCRIPTORS)
        for what, most in request["limits"]:
            _, hard = resource.getrlimit(what)
            bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(what, (bound, bound))
        if has_terminal:
            # Else Ctrl-C would not reach the command.
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        # For the first process, which notes what is executed; nothing else is there to look.
        syscalls.set_dumpable(True)
        _become_program(argv, request["environment"])
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            status = _NOT_FOUND_STATUS
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode(errors="backslashreplace"))
    finally:
        os._exit(status)


def _become_program(argv: list[str], environment: Mapping[str, str]) -> None:
    """As execvp(3) finds and executes it. Raises `OSError`."""
    name = argv[0]
    places = [name]
    if "/" not in name:
        places = [f"{directory}/{name}" for directory in environment["PATH"].split(":")]
    failure = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for place in places:
        # Asked first, since what is tried to be executed is noted.
        if "/" not in name and not os.access(place, os.F_OK):
            continue
        try:
            os.execve(place, argv, environment)  # noqa: S606
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                os.execve(_SHELL, ("sh", place, *argv[1:]), environment)  # noqa: S606
            failure = error
    raise failure


def _status_of(program: int, woken: int, supervisor: audit.Supervisor) -> int:
    """As a shell tells it. Meanwhile programs are noted, and whatever else ends is reaped."""
    poll = select.poll()
    poll.register(woken, select.POLLIN)
    poll.register(supervisor.fileno(), select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == woken:
                os.read(woken, 4096)
        supervisor.serve()
        pid, status = os.waitpid(-1, os.WNOHANG)
        while pid not in {0, program}:
            pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == program:
            supervisor.finish()
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code


def _protect(root: str, paths: Sequence[str]) -> None:
    """Make what is there of the paths read-only, each after its parents, which are pinned.

    A parent is mounted on itself: else `mv .github x; mkdir .github` would do. Nothing here follows a link:
    what a mount goes on is named by descriptor, and a swap meanwhile is refused by the kernel.
    """
    if not paths:
        return
    tree = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    pinned: set[str] = set()
    for path in paths:
        if not _is_plain(tree, path):
            continue
        parts = path.split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            if parent not in pinned:
                pinned.add(parent)
                _mount_on_itself(tree, parent)
        _mount_on_itself(tree, path)
        # Found anew, this is the mount and no longer what lies below it.
        found = syscalls.openat2(tree, path, os.O_PATH, resolve=_PLAIN)
        # What the file system below forbids (a container's /tmp) a user namespace may not allow again.
        kept = os.fstatvfs(found).f_flag & os.ST_NOEXEC
        syscalls.mount(None, f"/proc/self/fd/{found}", None, flags=_READ_ONLY | kept)
        os.close(found)
    os.close(tree)


def _is_plain(tree: int, path: str) -> bool:
    """Whether there is a file or a directory; anything else a mount must not touch.

    Raises `OSError` when that cannot be told: then no command runs.
    """
    try:
        # Most are not there, and this tells it for a tenth of the price. Not `os.access`, which asks without
        # this process's rights: a directory that a command has closed would hide what is in it.
        os.stat(path, dir_fd=tree, follow_symlinks=False)
        found = syscalls.openat2(tree, path, os.O_PATH | os.O_NOFOLLOW, resolve=_PLAIN)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        return False
    kind = os.fstat(found).st_mode & _FILE_TYPE
    os.close(found)
    return kind in {_REGULAR, _DIRECTORY}


def _mount_on_itself(tree: int, path: str) -> None:
    found = syscalls.openat2(tree, path, os.O_PATH, resolve=_PLAIN)
    here = f"/proc/self/fd/{found}"
    syscalls.mount(here, here, None, flags=syscalls.MS_BIND)
    os.close(found)


def _volunteer_for_memory_shortage() -> None:
    """When memory runs out this tree is to go, and neither the keeper nor the service."""
    # The file belongs to nobody known here while the process is not dumpable. Nothing foreign runs yet.
    syscalls.set_dumpable(True)
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    os.write(descriptor, b"1000")
    os.close(descriptor)
    syscalls.set_dumpable(False)
    # For good: the kernel would let anybody take back what root's own process did not set.
    syscalls.mount(
        None, "/proc", None, flags=_PROC_FLAGS | syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY
    )


def _close_all_but(*kept: int) -> None:
    first = 0
    for descriptor in (*sorted(kept), _ALL_DESCRIPTORS):
        # An empty range would be taken for all there are.
        if first < descriptor:
            os.closerange(first, descriptor)
        first = descriptor + 1
