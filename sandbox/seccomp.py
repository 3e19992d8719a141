"""The system calls that a confined process may not make, as a BPF program for the kernel. Never installs it.

The filter lists what is refused: every call that reaches beyond the namespaces (mounts, other processes'
memory, keys, kernel tuning, hypervisor sockets) or leaves something dangerous in the checkout (set-id files).
Calls that libraries try first and can do without answer `ENOSYS`, so that they fall back; so does every call
newer than the reviewed table. Raising `_NEWEST` means: review the calls in between first.

Numbers: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux 6.12.
"""

import errno
import platform
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, assert_never

from sandbox.base import SandboxUnavailable

Architecture = Literal["x86_64", "aarch64"]

# linux/audit.h, linux/seccomp.h
_AUDIT_ARCH: Final[dict[Architecture, int]] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT: Final = 0x40000000
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_KILL_PROCESS: Final = 0x80000000

# linux/bpf_common.h
_LOAD: Final = 0x20
_AND: Final = 0x54
_JUMP_EQUAL: Final = 0x15
_JUMP_GREATER_OR_EQUAL: Final = 0x35
_JUMP_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06

# Offsets in struct seccomp_data. Of an argument the low half is compared: all that the kernel looks at.
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_ARGUMENTS_AT: Final = 16

_NEWEST: Final = 462
"""`mseal`, the last call of the reviewed table."""

_ALL_BITS: Final = 0xFFFFFFFF
_SET_ID_BITS: Final = 0o6000
_FILE_TYPE: Final = 0o170000
_DEVICES: Final = (0o020000, 0o060000)
# O_CREAT, and the bit that makes O_TMPFILE what it is; the same on both architectures.
_CREATES: Final = 0o100 | 0o20000000
# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
_NEW_NAMESPACE: Final = 0x7E020000
_SOCKET_FAMILIES: Final = (1, 2, 10, 16)
"""UNIX, INET, INET6 and NETLINK, each private to the network namespace. VSOCK, for one, is not."""
_NETLINK: Final = 16
_NETLINK_ROUTE: Final = 0
_TERMINAL_INJECTION: Final = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX."""
_LINE_DISCIPLINE: Final = 0x5423
"""TIOCSETD: loads modules of the kernel that nobody needs."""
_WHITEOUT: Final = 4
"""RENAME_WHITEOUT: leaves a device where the file was."""
_LEASE: Final = 1024
"""F_SETLEASE: makes whoever opens the file wait, the service too."""
_PERSONALITIES: Final = (0, 0xFFFFFFFF)
"""Linux, and asking."""


class Test(Enum):
    """What makes a rule apply to a call's argument."""

    ANY_BIT = "any bit"
    EQUALS = "equals"
    NOT_IN = "not in"


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of one argument."""

    argument: int
    test: Test
    values: tuple[int, ...]
    mask: int = _ALL_BITS


@dataclass(frozen=True, slots=True)
class Rule:
    """A call is answered with `error` when all conditions hold."""

    call: str
    error: int
    conditions: tuple[Condition, ...] = ()


_REFUSED: Final = (
    # Other processes and the kernel's view of them.
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_getfd",
    "kcmp",
    "perf_event_open",
    "bpf",
    "process_madvise",
    # Keys are not confined by namespaces.
    "add_key",
    "request_key",
    "keyctl",
    # Namespaces and mounts.
    "unshare",
    "setns",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    # Files by handle, whole-file-system watches, quotas, accounting, swap.
    "open_by_handle_at",
    "name_to_handle_at",
    "fanotify_init",
    "fanotify_mark",
    "quotactl",
    "quotactl_fd",
    "acct",
    "swapon",
    "swapoff",
    # The machine.
    "reboot",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "syslog",
    "sethostname",
    "setdomainname",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "vhangup",
    "iopl",
    "ioperm",
    "modify_ldt",
    "lookup_dcookie",
    "nfsservctl",
    "uselib",
    "ustat",
    "sysfs",
    "_sysctl",
    "migrate_pages",
    "move_pages",
)

_MISSING: Final = (
    "clone3",
    "openat2",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "userfaultfd",
    "memfd_secret",
    "statmount",
    "listmount",
    "lsm_get_self_attr",
    "lsm_set_self_attr",
    "lsm_list_modules",
)

_MODE_ARGUMENTS: Final = {
    "chmod": 1,
    "fchmod": 1,
    "fchmodat": 2,
    "fchmodat2": 2,
    "creat": 1,
    "mkdir": 1,
    "mkdirat": 2,
}
_OPEN_ARGUMENTS: Final = {"open": (1, 2), "openat": (2, 3)}
_NODE_ARGUMENTS: Final = {"mknod": 1, "mknodat": 2}


def rules() -> tuple[Rule, ...]:
    """The whole policy, by the calls' names."""
    set_id = [
        Rule(call, errno.EPERM, (Condition(argument, Test.ANY_BIT, (_SET_ID_BITS,)),))
        for call, argument in (_MODE_ARGUMENTS | _NODE_ARGUMENTS).items()
    ]
    # The mode of an open that creates nothing is whatever the register happened to hold.
    set_id += [
        Rule(
            call,
            errno.EPERM,
            (Condition(flags, Test.ANY_BIT, (_CREATES,)), Condition(mode, Test.ANY_BIT, (_SET_ID_BITS,))),
        )
        for call, (flags, mode) in _OPEN_ARGUMENTS.items()
    ]
    devices = [
        Rule(call, errno.EPERM, (Condition(argument, Test.EQUALS, (kind,), _FILE_TYPE),))
        for call, argument in _NODE_ARGUMENTS.items()
        for kind in _DEVICES
    ]
    terminals = [
        Rule("ioctl", errno.EPERM, (Condition(1, Test.EQUALS, (request,)),))
        for request in (*_TERMINAL_INJECTION, _LINE_DISCIPLINE)
    ]
    families = [
        Rule(call, errno.EAFNOSUPPORT, (Condition(0, Test.NOT_IN, _SOCKET_FAMILIES),))
        for call in ("socket", "socketpair")
    ]
    netlink = Rule(
        "socket",
        errno.EPROTONOSUPPORT,
        (Condition(0, Test.EQUALS, (_NETLINK,)), Condition(2, Test.NOT_IN, (_NETLINK_ROUTE,))),
    )
    return (
        *(Rule(call, errno.EPERM) for call in _REFUSED),
        *(Rule(call, errno.ENOSYS) for call in _MISSING),
        *set_id,
        *devices,
        *terminals,
        *families,
        netlink,
        Rule("fcntl", errno.EPERM, (Condition(1, Test.EQUALS, (_LEASE,)),)),
        Rule("renameat2", errno.EINVAL, (Condition(4, Test.ANY_BIT, (_WHITEOUT,)),)),
        Rule("clone", errno.EPERM, (Condition(0, Test.ANY_BIT, (_NEW_NAMESPACE,)),)),
        Rule("personality", errno.EPERM, (Condition(0, Test.NOT_IN, _PERSONALITIES),)),
    )


def number_of(call: str, architecture: Architecture) -> int | None:
    """The call's number; None where the architecture has no such call."""
    on_x86_64, on_aarch64 = _NUMBERS[call]
    return on_x86_64 if architecture == "x86_64" else on_aarch64


def filter_program(machine: str | None = None) -> bytes:
    """The BPF program for this machine. Raises `SandboxUnavailable` on an architecture without a table."""
    match machine or platform.machine():
        case "x86_64" as architecture:
            return _assembled(architecture)
        case "aarch64" as architecture:
            return _assembled(architecture)
        case other:
            raise SandboxUnavailable(
                f"There is no table of system calls for {other}.", remedy="Run on x86-64 or 64-bit ARM."
            )


@dataclass(frozen=True, slots=True)
class _Step:
    """One instruction of a rule's body; a jump can only go on or to the end of the rule."""

    code: int
    value: int
    leave_if: bool | None = None
    """Whether a true or a false test leaves the rule; None for what is no test."""


def _assembled(architecture: Architecture) -> bytes:
    instructions = [
        _instruction(_LOAD, _ARCHITECTURE_AT),
        # Another architecture's entry (int 0x80) has other numbers: nothing legitimate comes through it.
        _instruction(_JUMP_EQUAL, _AUDIT_ARCH[architecture], if_true=1),
        _instruction(_RETURN, _KILL_PROCESS),
        _instruction(_LOAD, _NUMBER_AT),
    ]
    if architecture == "x86_64":
        instructions += _answered_from(_X32_BIT)
    instructions += _answered_from(_NEWEST + 1)
    for rule in rules():
        number = number_of(rule.call, architecture)
        if number is not None:
            instructions += _body(number, rule)
    instructions.append(_instruction(_RETURN, _ALLOW))
    return b"".join(instructions)


def _answered_from(first: int) -> list[bytes]:
    return [
        _instruction(_JUMP_GREATER_OR_EQUAL, first, if_false=1),
        _instruction(_RETURN, _ERRNO | errno.ENOSYS),
    ]


def _body(number: int, rule: Rule) -> list[bytes]:
    steps = [step for condition in rule.conditions for step in _steps(condition)]
    steps.append(_Step(_RETURN, _ERRNO | rule.error))
    instructions = [_resolved(step, to_end=len(steps) - at - 1) for at, step in enumerate(steps)]
    if rule.conditions:
        # The tests have overwritten the call's number.
        instructions.append(_instruction(_LOAD, _NUMBER_AT))
    return [_instruction(_JUMP_EQUAL, number, if_false=len(instructions)), *instructions]


def _steps(condition: Condition) -> Iterable[_Step]:
    yield _Step(_LOAD, _ARGUMENTS_AT + 8 * condition.argument)
    if condition.mask != _ALL_BITS:
        yield _Step(_AND, condition.mask)
    match condition.test:
        case Test.ANY_BIT:
            yield from (_Step(_JUMP_ANY_BIT, value, leave_if=False) for value in condition.values)
        case Test.EQUALS:
            yield from (_Step(_JUMP_EQUAL, value, leave_if=False) for value in condition.values)
        case Test.NOT_IN:
            yield from (_Step(_JUMP_EQUAL, value, leave_if=True) for value in condition.values)
        case _:
            assert_never(condition.test)


def _resolved(step: _Step, *, to_end: int) -> bytes:
    match step.leave_if:
        case None:
            return _instruction(step.code, step.value)
        case True:
            return _instruction(step.code, step.value, if_true=to_end)
        case False:
            return _instruction(step.code, step.value, if_false=to_end)


def _instruction(code: int, value: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    # struct sock_filter
    return struct.pack("=HBBI", code, if_true, if_false, value)


# Each call's number on x86-64 and on 64-bit ARM, where some of the older ones do not exist.
_NUMBERS: Final[dict[str, tuple[int | None, int | None]]] = {
    "_sysctl": (156, None),
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chmod": (90, None),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "creat": (85, None),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fcntl": (72, 25),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "listmount": (458, 458),
    "lookup_dcookie": (212, 18),
    "lsm_get_self_attr": (459, 459),
    "lsm_list_modules": (461, 461),
    "lsm_set_self_attr": (460, 460),
    "memfd_secret": (447, 447),
    "migrate_pages": (256, 238),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open": (2, None),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "openat": (257, 56),
    "openat2": (437, 437),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "renameat2": (316, 276),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "statmount": (457, 457),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "sysfs": (139, None),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "ustat": (136, None),
    "vhangup": (153, 58),
}
