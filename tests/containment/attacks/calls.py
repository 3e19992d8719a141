"""System calls by their numbers, and processes to try them in."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
from collections.abc import Callable
from contextlib import suppress

from .attack import Held

CLONE_NEWTIME = 0x80
CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x2000000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# On x86-64 and on 64-bit ARM.
NUMBERS = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "fanotify_init": (300, 262),
    "fchmodat2": (452, 452),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "ioperm": (173, -1),
    "kcmp": (312, 272),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "listmount": (458, 458),
    "lookup_dcookie": (212, 18),
    "lsm_list_modules": (461, 461),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "migrate_pages": (256, 238),
    "mknodat": (259, 33),
    "modify_ldt": (154, -1),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_pages": (279, 239),
    "mq_open": (240, 180),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "openat2": (437, 437),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "renameat2": (316, 276),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "sysfs": (139, -1),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "ustat": (136, -1),
    "vhangup": (153, 58),
}

LIBC = ctypes.CDLL(None, use_errno=True)
# A filter's words: refused, or said not to exist.
REFUSALS = {errno.EPERM, errno.ENOSYS}


def call(name: str | int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """The call's answer. Raises `OSError`, and `Held` where this machine has no such call."""
    number = name if isinstance(name, int) else NUMBERS[name][platform.machine() != "x86_64"]
    if number < 0:
        raise Held("no such call on this machine")
    # Every argument of a variadic call must be as wide as a register.
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    answer = int(LIBC.syscall(ctypes.c_long(number), *wide))
    if answer < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), str(name))
    return answer


def reached(name: str | int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> str:
    """Whether the kernel looked at the arguments, which are wrong on purpose where they must be harmless."""
    try:
        call(name, *arguments)
    except OSError as error:
        if error.errno in REFUSALS:
            raise
        return f"{name} answered {errno.errorcode[error.errno or 0]}"
    return f"{name} worked"


def in_child(function: Callable[[], str]) -> str:
    """Try it in a process of its own, which it may change or lose. Raises `Held`."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            answer = "+" + function()
        except OSError as error:
            answer = "-" + (error.strerror or repr(error))
        except (Held, MemoryError) as error:
            answer = f"-{error!r}"
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    if answer.startswith("+"):
        return answer[1:]
    if os.WIFSIGNALED(status):
        raise Held(f"killed by {signal.Signals(os.WTERMSIG(status)).name}")
    raise Held(answer[1:] or f"ended with {os.waitstatus_to_exitcode(status)}")


def as_root_of_namespaces(function: Callable[[], str], flags: int = CLONE_NEWNS) -> str:
    """Try it with all the rights that a user can give themselves in namespaces of their own, else without."""

    def attempt() -> str:
        with suppress(OSError):
            call("unshare", CLONE_NEWUSER | flags)
        return function()

    return in_child(attempt)
