"""The profile for container engines answers as the filter of the other driver does."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.seccomp import Architecture, filter_program, number_of, rules
from sandbox.seccomp_json import docker_profile
from tests.sandbox.test_seccomp import ALLOW, ARM64, X86_64, verdict

PROFILE: Final[dict[str, Any]] = json.loads(docker_profile())
HALF: Final = 0xFFFFFFFF
DECIDED_BY_ARGUMENTS: Final = sorted({rule.call for rule in rules() if rule.conditions})
# Values at which some rule changes its mind, and their neighbours.
TURNING: Final = sorted(
    {
        near & HALF
        for rule in rules()
        for condition in rule.conditions
        for value in (*condition.values, 0, HALF, *(1 << place for place in range(32)))
        for near in (value - 1, value, value + 1)
    }
)
VALUES: Final = st.sampled_from(TURNING) | st.integers(0, HALF)


def answer(call: str, arguments: Sequence[int] = ()) -> int:
    """What the profile says, as the filter would return it. No two entries may disagree."""
    fitting = {
        ALLOW if entry["action"] == "SCMP_ACT_ALLOW" else 0x50000 | entry["errnoRet"]
        for entry in PROFILE["syscalls"]
        if call in entry["names"] and all(holds(test, arguments) for test in entry.get("args", ()))
    }
    assert len(fitting) <= 1
    return fitting.pop() if fitting else 0x50000 | PROFILE["defaultErrnoRet"]


def holds(test: Mapping[str, Any], arguments: Sequence[int]) -> bool:
    assert test["op"] == "SCMP_CMP_MASKED_EQ"
    return bool(arguments[test["index"]] & test["value"] == test["valueTwo"])


@pytest.mark.parametrize("call", DECIDED_BY_ARGUMENTS)
@given(arguments=st.tuples(VALUES, VALUES, VALUES, VALUES, VALUES))
def test_both_forms_agree_on_arguments(call: str, arguments: tuple[int, ...]) -> None:
    """On both architectures, whatever a program passes: never two answers, never another one."""
    machines: tuple[tuple[Architecture, int], ...] = (("x86_64", X86_64), ("aarch64", ARM64))
    for machine, architecture in machines:
        number = number_of(call, machine)
        if number is not None:
            expected = verdict(filter_program(machine), architecture, number, arguments)
            assert answer(call, arguments) == expected


def test_both_forms_agree_on_every_call_of_the_kernel() -> None:
    """By the kernel's own header: the same verdict, but for what no kernel answers."""
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("the kernel's headers are not installed: linux-libc-dev")
    numbers = dict(re.findall(r"__NR_(\w+) (\d+)", header.read_text()))
    program = filter_program("x86_64")
    different = {
        call
        for call, number in numbers.items()
        if call not in DECIDED_BY_ARGUMENTS and answer(call) != verdict(program, X86_64, int(number))
    }
    assert different == {
        "afs_syscall", "create_module", "epoll_ctl_old", "epoll_wait_old", "get_kernel_syms",
        "get_thread_area", "getpmsg", "putpmsg", "query_module", "security", "set_thread_area", "tuxcall",
        "vserver",
    }  # fmt: skip


def test_a_call_without_a_name_is_not_there() -> None:
    """Nor one that the engine's library is too old to know; nor any by another architecture's numbers."""
    assert answer("newer_than_the_table") == 0x50000 | 38
    assert [entry["subArchitectures"] for entry in PROFILE["archMap"]] == [[], []]


def test_a_policy_with_fewer_rules_lets_more_through() -> None:
    """How a profile for a container is made that builds sandboxes itself."""
    kept = tuple(rule for rule in rules() if rule.call not in {"unshare", "clone"})
    allowed = json.loads(docker_profile(kept))["syscalls"][0]
    assert {"unshare", "clone"} <= set(allowed["names"])
    assert "mount" not in allowed["names"]
