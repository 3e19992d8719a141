"""A failure is known again in another run, and two failures are never taken for one."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.ci.failures import Failure, fingerprint_of

FAILS = Failure(
    tool="pytest",
    kind="test",
    file="tests/test_money.py",
    line=12,
    test="tests/test_money.py::test_adds[EUR]",
    message="AssertionError: assert 3 == 4",
)


@pytest.mark.parametrize(
    ("once", "again"),
    [
        ("timeout after 1.23s", "timeout after 0.98s"),
        ("took 12 ms", "took 250 ms"),
        ("<Money object at 0x7f3a12bc>", "<Money object at 0x10ffaa90>"),
        ("java.lang.Object@1b6d3586 is not b", "java.lang.Object@4554617c is not b"),
        ("no file /tmp/pytest-of-runner/pytest-0/a.txt", "no file /tmp/pytest-of-ci/pytest-3/a.txt"),
        ("no file /tmp/tmpab12 there", "no file /private/var/folders/xy/T/tmpzz there"),
        ("at 2026-11-20T10:11:12.123Z it broke", "at 2026-11-21 08:00:00+02:00 it broke"),
        ("seed=1234: broke", "seed=99: broke"),
        ("connect to 127.0.0.1:43121 refused", "connect to 127.0.0.1:50001 refused"),
        ("goroutine 12 [running]", "goroutine 7 [running]"),
        ("see src/money.py:12", "see src/money.py:40"),
        ("lib.rs:3:5: wrong", "lib.rs:9:1: wrong"),
        ("in line 3 of it", "in line 44 of it"),
        ("key 6f1c2a8e-0b7d-4a55-9c70-0f3b6d1c2a8e", "key 00000000-1111-4222-8333-444444444444"),
        ("digest 3f786850e387550fdab836ed", "digest 89e6c98d92887913cadf06b2"),
        ("in /home/runner/_work/app/app/src/x.py", "in /Users/runner/work/app/app/src/x.py"),
    ],
)
def test_what_passes_makes_no_difference(once: str, again: str) -> None:
    assert replace(FAILS, message=once).fingerprint == replace(FAILS, message=again).fingerprint


@pytest.mark.parametrize(
    ("once", "again"),
    [
        ("assert 3 == 4", "assert 3 == 5"),
        ("assert 0 == 1", "assert 1 == 0"),
        ("expected 'add' got 'sub'", "expected 'add' got 'mul'"),
        ("status 404", "status 500"),
        ("KeyError: 'deadbeef'", "KeyError: 'feedface'"),
        ("no module named a.b", "no module named a.c"),
    ],
)
def test_another_message_is_another_failure(once: str, again: str) -> None:
    assert replace(FAILS, message=once).fingerprint != replace(FAILS, message=again).fingerprint


def test_another_test_file_or_tool_is_another_failure() -> None:
    others = [
        replace(FAILS, test="tests/test_money.py::test_adds[USD]"),
        replace(FAILS, file="tests/test_other.py"),
        replace(FAILS, tool="unittest"),
    ]

    assert len({one.fingerprint for one in [FAILS, *others]}) == 4


@pytest.mark.parametrize(
    "file",
    [
        "./tests/test_money.py",
        "/Users/runner/work/app/app/tests/test_money.py",
        "/home/runner/_work/app/app/tests/test_money.py",
        "/__w/app/app/tests/test_money.py",
        "/github/workspace/tests/test_money.py",
        "D:\\a\\app\\app\\tests\\test_money.py",
        "/opt/actions-runner/_work/app/app/tests/test_money.py",
    ],
)
def test_a_file_is_the_same_on_every_runner(file: str) -> None:
    assert replace(FAILS, file=file).fingerprint == FAILS.fingerprint


@settings(deadline=None)  # A busy machine is no failure.
@given(
    line=st.none() | st.integers(1, 10_000),
    details=st.text(),
    seconds=st.floats(0, 9_999, allow_nan=False).map(lambda one: f"{one:.2f}"),
    address=st.integers(0, 2**63),
)
def test_place_times_and_addresses_never_matter(
    line: int | None, details: str, seconds: str, address: int
) -> None:
    one = replace(
        FAILS, message=f"<X at {address:#x}> not ready within {seconds}s", line=line, details=details
    )

    assert one.fingerprint == replace(FAILS, message="<X at 0x1> not ready within 1.00s").fingerprint


@settings(deadline=None)  # A busy machine is no failure.
@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=3), min_size=1, max_size=4))
def test_what_failed_together_has_one_name_in_any_order(messages: list[str]) -> None:
    failures = [replace(FAILS, message=message) for message in messages]
    shuffled = [*failures, failures[0]]
    shuffled.reverse()

    assert fingerprint_of(failures) == fingerprint_of(shuffled)
    assert fingerprint_of(failures) != fingerprint_of([*failures, replace(FAILS, message="one more")])
