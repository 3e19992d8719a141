"""The few Linux system calls that Python does not offer. Never decides anything: callers give every flag."""

import ctypes
import errno
import fcntl
import os
import struct
from functools import cache
from typing import Final

RESOLVE_NO_XDEV: Final = 0x01
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08

MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_RDONLY: Final = 1
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2
CLONE_PIDFD: Final = 0x00001000
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWCGROUP: Final = 0x02000000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

# The same number on every architecture: include/uapi/asm-generic/unistd.h and all tables since Linux 5.0.
_OPENAT2: Final = 437
_IDENTITY: Final = {"x86_64": (116, 119, 117), "aarch64": (159, 149, 147)}
"""setgroups, setresgid and setresuid."""
_CLONE: Final = {"x86_64": 56, "aarch64": 220}

# linux/prctl.h, linux/capability.h, linux/seccomp.h
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_SET_SECCOMP: Final = 22
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
_SECCOMP_SET_MODE_FILTER: Final = 1
_SECCOMP_NEW_LISTENER: Final = 1 << 3
# linux/pidfd.h
_PIDFD_GET_INFO: Final = 0xC040FF0B
_PIDFD_INFO_EXIT: Final = 1 << 3
_PIDFD_INFO: Final = struct.Struct("=QQ11Ii")
_CAPABILITY_VERSION: Final = 0x20080522
_MOST_CAPABILITIES: Final = 64
_FILTER_STEP: Final = 8

# EAGAIN means that a rename elsewhere made ".." unsafe to resolve just now:
# https://man7.org/linux/man-pages/man2/openat2.2.html
_TRIES: Final = 32


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_OWN_CAPABILITIES: Final = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
_NO_CAPABILITIES: Final = (ctypes.c_uint32 * 6)()


def openat2(directory: int, path: str, flags: int, *, resolve: int, mode: int = 0) -> int:
    """A descriptor, not inherited. Raises `OSError` as the kernel answers (`ENOSYS` before Linux 5.6)."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    name = os.fsencode(path)
    error = errno.EAGAIN
    for _ in range(_TRIES):
        # Every argument of a variadic call must be as wide as a register.
        found: int = _libc().syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_long(directory),
            ctypes.c_char_p(name),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if found >= 0:
            return found
        error = ctypes.get_errno()
        if error not in {errno.EAGAIN, errno.EINTR}:
            break
    raise OSError(error, os.strerror(error), path)


def unshare(flags: int) -> None:
    """Concerns the calling thread only, as the kernel sees it."""
    _checked(_libc().unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str | None, target: str, kind: str | None, *, flags: int, options: str = "") -> None:
    """`mount(2)` in the calling thread's mount namespace."""
    answer = _libc().mount(
        None if source is None else os.fsencode(source),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        options.encode() if options else None,
    )
    _checked(answer, target)


def unmount(target: str, *, flags: int) -> None:
    """`umount2(2)`."""
    _checked(_libc().umount2(os.fsencode(target), ctypes.c_int(flags)), target)


def pivot_root(new: str, old: str) -> None:
    """`pivot_root(2)`: `new` becomes the root of the mount namespace, the former one is found at `old`."""
    _checked(_libc().pivot_root(os.fsencode(new), os.fsencode(old)), new)


def become(user: int) -> None:
    """Give the calling thread, and no other, the user, the group of the same number and no further groups.

    `os.setuid` would change every thread of the process: glibc sees to that, the kernel does not ask for it.
    """
    setgroups, setresgid, setresuid = _IDENTITY[os.uname().machine]
    number = ctypes.c_long(user)
    _checked(_libc().syscall(ctypes.c_long(setgroups), ctypes.c_long(0), None), "setgroups")
    _checked(_libc().syscall(ctypes.c_long(setresgid), number, number, number), "setresgid")
    _checked(_libc().syscall(ctypes.c_long(setresuid), number, number, number), "setresuid")


def set_namespaces(descriptor: int, flags: int) -> None:
    """`setns(2)`: join namespaces of the process that the pidfd names."""
    _checked(_libc().setns(ctypes.c_int(descriptor), ctypes.c_int(flags)), "setns")


def fork_into(flags: int, *, signal: int) -> tuple[int, int]:
    """`clone(2)` that goes on in both processes, as fork does; the child finds itself in new namespaces.

    The parent gets the child's number and a pidfd, the child zeros. For a process with one thread only, and
    the child must neither return to what called it nor end in another way than `os._exit`.
    """
    pidfd = ctypes.c_int(0)
    number = _CLONE[os.uname().machine]
    # On every architecture the third argument is where the pidfd goes.
    answer: int = _interpreter().syscall(
        ctypes.c_long(number),
        ctypes.c_ulong(flags | CLONE_PIDFD | signal),
        None,
        ctypes.byref(pidfd),
        None,
        None,
    )
    if answer < 0:
        _checked(-1, "clone")
    return answer, pidfd.value


def exit_status(pidfd: int) -> int | None:
    """As a shell tells it, of a process that has been waited for; None where Linux, before 6.15, does not."""
    info = bytearray(_PIDFD_INFO.size)
    struct.pack_into("=Q", info, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info, True)
    except OSError:
        return None
    mask, *_, status = _PIDFD_INFO.unpack(info)
    if not mask & _PIDFD_INFO_EXIT:
        return None
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def die_with_parent(signal: int) -> None:
    """The signal comes when the thread that started this process ends. Forgotten when privileges change."""
    _prctl(_PR_SET_PDEATHSIG, signal)


def set_dumpable(dumpable: bool) -> None:
    """Whether other processes of this user may look into the calling one."""
    _prctl(_PR_SET_DUMPABLE, int(dumpable))


def set_name(name: bytes) -> None:
    """What process lists show."""
    _checked(_libc().prctl(ctypes.c_int(_PR_SET_NAME), ctypes.c_char_p(name), *_zeros(3)), "prctl")


def overwrite(address: int, data: bytes) -> None:
    """Change memory of the calling process."""
    ctypes.memmove(address, data, len(data))


def forbid_capabilities() -> None:
    """Nothing that is executed from here on can have a capability or gain any privilege."""
    for capability in range(_MOST_CAPABILITIES):
        try:
            _prctl(_PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            break
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Of the calling thread: all that it has."""
    _checked(_libc().capset(_OWN_CAPABILITIES, _NO_CAPABILITIES), "capset")


def install_filter(program: bytes) -> None:
    """Put every later system call of the calling thread, and of all it starts, through the BPF program."""
    wanted = _FilterProgram(len(program) // _FILTER_STEP, program)
    answer = _libc().prctl(
        ctypes.c_int(_PR_SET_SECCOMP),
        ctypes.c_ulong(_SECCOMP_MODE_FILTER),
        ctypes.byref(wanted),
        *_zeros(2),
    )
    _checked(answer, "seccomp")


def install_listener(program: bytes) -> int:
    """As `install_filter`; a descriptor, not inherited, that tells of calls the program wants told.

    A call that is told waits for its answer, and fails with `ENOSYS` once nobody holds the descriptor.
    """
    wanted = _FilterProgram(len(program) // _FILTER_STEP, program)
    answer: int = _libc().syscall(
        ctypes.c_long(_SECCOMP[os.uname().machine]),
        ctypes.c_long(_SECCOMP_SET_MODE_FILTER),
        ctypes.c_long(_SECCOMP_NEW_LISTENER),
        ctypes.byref(wanted),
    )
    if answer < 0:
        _checked(answer, "seccomp")
    return answer


def _prctl(option: int, value: int) -> None:
    _checked(_libc().prctl(ctypes.c_int(option), ctypes.c_ulong(value), *_zeros(3)), "prctl")


def _zeros(count: int) -> tuple[ctypes.c_ulong, ...]:
    return (ctypes.c_ulong(0),) * count


def _checked(answer: int, what: str) -> None:
    if answer != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), what)


@cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    for name in ("capset", "mount", "prctl", "syscall"):
        # Found here and kept, instead of anew in each process that is forked later.
        getattr(library, name)
    return library


@cache
def _interpreter() -> ctypes.PyDLL:
    """The same functions, called without giving the interpreter's lock away."""
    return ctypes.PyDLL(None, use_errno=True)
