"""What the model is shown of failed jobs."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.ci.excerpt import FailedJob, excerpt_of
from handlers.ci.failures import Failure, JobLog
from handlers.ci.logs import read_log
from tests.handlers.ci.captured import LOGS

TEST = Failure(
    tool="pytest",
    kind="test",
    file="tests/test_a.py",
    line=7,
    test="tests/test_a.py::test_a",
    message="assert 1 == 2",
    details=">   assert one() == 2\nE   assert 1 == 2",
)
COMPILE = Failure(tool="cc", kind="compile", file="a.c", line=3, column=5, message="expected ';'")


def log(*failures: Failure) -> JobLog:
    return JobLog(failures=failures)


def test_what_does_not_compile_comes_first_and_the_log_is_named() -> None:
    assert excerpt_of([FailedJob("test", log(TEST, COMPILE), "/ci/test.log")]) == (
        "1 failed job, 2 failures:\n"
        "- test: 2 failures; whole log: /ci/test.log\n"
        "\n"
        "1. cc compile\n"
        "   at a.c:3:5\n"
        "   expected ';'\n"
        "\n"
        "2. pytest test tests/test_a.py::test_a\n"
        "   at tests/test_a.py:7\n"
        "   assert 1 == 2\n"
        "   | >   assert one() == 2\n"
        "   | E   assert 1 == 2"
    )


def test_a_matrix_and_failures_of_one_cause_are_told_once() -> None:
    many = [replace(TEST, test=f"tests/test_a.py::test_{n}") for n in range(9)]

    told = excerpt_of([FailedJob(f"test ({version})", log(*many), None) for version in ("3.11", "3.12")])

    assert told.count("assert 1 == 2\n") == 1
    assert (
        "   the same: tests/test_a.py::test_1; tests/test_a.py::test_2; tests/test_a.py::test_3;"
        " tests/test_a.py::test_4; tests/test_a.py::test_5; and 3 more\n   in 2 jobs"
    ) in told


def test_a_job_of_no_known_tool_shows_its_complaint_and_what_stands_above_it() -> None:
    job = FailedJob(
        "deploy", read_log([b"uploading\nno such bucket\n##[error]Process exited with 1.\n"]), None
    )

    assert excerpt_of([job]) == (
        "1 failed job, 0 failures:\n"
        "- deploy: no known failure\n"
        "\n"
        "deploy says:\n"
        "   Process exited with 1.\n"
        "   | uploading\n"
        "   | no such bucket"
    )


def test_unseen_characters_go_and_it_is_said() -> None:
    hidden = replace(TEST, message="assert\u200b 1 == 2\u202e", details="x\U000e0041")

    told = excerpt_of([FailedJob("te\u2060st", log(hidden), None)])

    assert told.isascii()
    assert "- test: 1 failure" in told
    assert told.endswith("4 unseen characters taken out.")


def test_every_failure_is_named_before_any_is_detailed_and_the_rest_is_counted() -> None:
    long = [replace(TEST, message=f"assert {n}", details="d" * 3_000) for n in range(30)]

    told = excerpt_of([FailedJob("test", replace(log(*long), more_failures=70, unread=5), None)], limit=6_000)

    assert len(told) <= 6_000
    assert "30. pytest" in told
    assert "characters left out" in told
    assert told.endswith(
        "Left out: the details of 28, 70 failures beyond what is kept of a log.\n"
        "The logs go on for 5 bytes that were not read."
    )


@settings(deadline=None)  # A busy machine is no failure.
@given(
    st.lists(
        st.builds(
            lambda message, details, test: replace(TEST, message=message or "m", details=details, test=test),
            st.text(max_size=400),
            st.text(max_size=3000),
            st.text(max_size=400),
        ),
        max_size=8,
    ),
    st.text(max_size=2000),
    st.integers(0, 5_000),
)
def test_whatever_the_logs_say_the_excerpt_is_bounded(failures: list[Failure], tail: str, limit: int) -> None:
    jobs = [FailedJob("a", log(*failures), "/log"), FailedJob("b", JobLog(failures=(), tail=tail), None)]

    assert len(excerpt_of(jobs, limit=limit)) <= max(limit, 1_000)


@pytest.mark.parametrize("name", ["pytest.txt", "go.txt", "cargo.txt", "gcc_cpp.txt", "gradle.txt"])
def test_of_a_real_log_each_failure_is_shown_with_its_place(name: str) -> None:
    read = read_log([(LOGS / name).read_bytes()])

    told = excerpt_of([FailedJob("test", read, "/ci/log")])

    assert all(failure.message.splitlines()[0][:100] in told for failure in read.failures)
    assert all(f"{failure.file}:{failure.line}" in told for failure in read.failures if failure.line)
