"""The few Linux system calls that Python does not offer. Never decides anything: callers give every flag."""

import ctypes
import errno
import os
import platform
from functools import cache
from typing import Final

RESOLVE_NO_XDEV: Final = 0x01
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08

MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2
CLONE_NEWNS: Final = 0x00020000

# The same number on every architecture: include/uapi/asm-generic/unistd.h and all tables since Linux 5.0.
_OPENAT2: Final = 437
_IDENTITY: Final = {"x86_64": (116, 119, 117), "aarch64": (159, 149, 147)}
"""setgroups, setresgid and setresuid."""

# EAGAIN means that a rename elsewhere made ".." unsafe to resolve just now:
# https://man7.org/linux/man-pages/man2/openat2.2.html
_TRIES: Final = 32


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


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
    setgroups, setresgid, setresuid = _IDENTITY[platform.machine()]
    number = ctypes.c_long(user)
    _checked(_libc().syscall(ctypes.c_long(setgroups), ctypes.c_long(0), None), "setgroups")
    _checked(_libc().syscall(ctypes.c_long(setresgid), number, number, number), "setresgid")
    _checked(_libc().syscall(ctypes.c_long(setresuid), number, number, number), "setresuid")


def _checked(answer: int, what: str) -> None:
    if answer != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), what)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
