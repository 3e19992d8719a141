"""The filter as the kernel will run it: interpreted here, call by call."""

import errno
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.base import SandboxUnavailable
from sandbox.seccomp import filter_program, rules

ALLOW = 0x7FFF0000
KILL = 0x80000000
X86_64 = 0xC000003E
I386 = 0x40000003
ARM64 = 0xC00000B7


def verdict(program: bytes, architecture: int, number: int, arguments: Sequence[int] = ()) -> int:
    """What the kernel would answer: a small interpreter of the few instructions that we use."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    call = struct.pack("<iIQ6Q", number, architecture, 0, *padded)
    accumulator = at = 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("<HBBI", program, at * 8)
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", call, value)
            case 0x54:
                accumulator &= value
            case 0x15:
                at += if_true if accumulator == value else if_false
            case 0x35:
                at += if_true if accumulator >= value else if_false
            case 0x45:
                at += if_true if accumulator & value else if_false
            case 0x06:
                return int(value)
            case other:
                pytest.fail(f"unknown instruction {other:#x}")


def error(number: int) -> int:
    return 0x50000 | number


@pytest.mark.parametrize(
    ("number", "arguments", "expected"),
    [
        (0, (), ALLOW),  # read
        (101, (), error(errno.EPERM)),  # ptrace
        (435, (), error(errno.ENOSYS)),  # clone3
        (462, (), ALLOW),  # mseal, the last one known
        (463, (), error(errno.ENOSYS)),
        (0x40000000, (), error(errno.ENOSYS)),  # x32
        (56, (0x01200011,), ALLOW),  # clone, as fork does
        (56, (0x10000011,), error(errno.EPERM)),  # with a new user namespace
        (41, (1, 1, 0), ALLOW),
        (41, (10, 1, 0), ALLOW),
        (41, (16, 3, 0), ALLOW),  # netlink, as `ip` asks
        (41, (16, 3, 9), error(errno.EPROTONOSUPPORT)),
        (41, (40, 1, 0), error(errno.EAFNOSUPPORT)),  # vsock
        (16, (0, 0x5401), ALLOW),  # ioctl, TCGETS
        (16, (0, 0x5412), error(errno.EPERM)),  # TIOCSTI
        (16, (0, 0xFFFFFFFF00005412), error(errno.EPERM)),  # the kernel looks at the low half only
        (16, (0, 0x5423), error(errno.EPERM)),  # TIOCSETD
        (72, (0, 1), ALLOW),  # fcntl, F_GETFD
        (72, (0, 1024), error(errno.EPERM)),  # F_SETLEASE
        (316, (0, 0, 0, 0, 2), ALLOW),  # renameat2, RENAME_EXCHANGE
        (316, (0, 0, 0, 0, 5), error(errno.EINVAL)),  # RENAME_WHITEOUT, which leaves a device
        (90, (0, 0o755), ALLOW),
        (90, (0, 0o4755), error(errno.EPERM)),
        (2, (0, 0, 0o4755), ALLOW),  # open that creates nothing
        (2, (0, 0o100, 0o4755), error(errno.EPERM)),
        (2, (0, 0o100, 0o644), ALLOW),
        (133, (0, 0o010644), ALLOW),  # a FIFO
        (133, (0, 0o020666), error(errno.EPERM)),  # a character device
        (133, (0, 0o060666), error(errno.EPERM)),  # a block device
        (133, (0, 0o104755), error(errno.EPERM)),
        (135, (0,), ALLOW),
        (135, (0xFFFFFFFF,), ALLOW),
        (135, (0x0040000,), error(errno.EPERM)),
    ],
)
def test_the_verdict_on_x86_64(number: int, arguments: Sequence[int], expected: int) -> None:
    """Call by call, with the arguments that decide."""
    assert verdict(filter_program("x86_64"), X86_64, number, arguments) == expected


@pytest.mark.parametrize(
    ("number", "arguments", "expected"),
    [
        (63, (), ALLOW),  # read
        (117, (), error(errno.EPERM)),  # ptrace
        (435, (), error(errno.ENOSYS)),
        (198, (40,), error(errno.EAFNOSUPPORT)),
        (53, (0, 0, 0o2755), error(errno.EPERM)),  # fchmodat
        (29, (0, 0x5412), error(errno.EPERM)),
        (101, (), ALLOW),  # nanosleep here, ptrace on the other
    ],
)
def test_the_verdict_on_64_bit_arm(number: int, arguments: Sequence[int], expected: int) -> None:
    """The same policy by other numbers."""
    assert verdict(filter_program("aarch64"), ARM64, number, arguments) == expected


@given(st.integers(0, 2**31 - 1))
def test_another_architecture_is_killed(number: int) -> None:
    """Else `int 0x80` would reach the same calls by numbers that mean something else here."""
    assert verdict(filter_program("x86_64"), I386, number) == KILL
    assert verdict(filter_program("aarch64"), X86_64, number) == KILL


@given(st.integers(463, 2**31 - 1))
def test_what_was_not_reviewed_is_not_there(number: int) -> None:
    """A call that is newer than the table, and every call by its x32 number."""
    assert verdict(filter_program("x86_64"), X86_64, number) == error(errno.ENOSYS)


def test_every_call_has_its_number() -> None:
    """As the kernel's own headers have it, where they are installed."""
    known = {rule.call for rule in rules()}
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    numbers = {}
    if header.exists():
        lines = [line.split() for line in header.read_text().splitlines()]
        numbers = {
            words[1].removeprefix("__NR_"): int(words[2])
            for words in lines
            if len(words) == 3 and words[1].startswith("__NR_")
        }
    program = filter_program("x86_64")
    always = {rule.call: rule.error for rule in rules() if not rule.conditions}
    checked = {call: verdict(program, X86_64, numbers[call]) for call in always.keys() & numbers.keys()}
    assert checked == {call: error(always[call]) for call in checked}
    assert len(known) > 80


def test_an_unknown_machine_is_refused() -> None:
    """No table, no filter, no turn."""
    with pytest.raises(SandboxUnavailable, match="riscv64"):
        filter_program("riscv64")
