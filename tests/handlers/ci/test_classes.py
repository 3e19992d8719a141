"""Whose a failure is, by what is known of it."""

from dataclasses import replace

import pytest

from handlers.ci.classes import Classified, Evidence, FailureClass, FlakeRecord, classify, ledger_key
from handlers.ci.failures import Failure

TEST = Failure(tool="pytest", kind="test", test="tests/test_a.py::test_a", message="assert 1 == 2")
OTHER = replace(TEST, test="tests/test_a.py::test_b")
LINT = Failure(tool="ruff", kind="lint", file="a.py", line=1, message="F401 `os` imported but unused")
FAILED = Evidence(failures=(TEST,), conclusions=("failure",))


def of(evidence: Evidence) -> tuple[FailureClass, str]:
    classified = classify(evidence)
    return classified.what, classified.reason


def test_without_other_evidence_it_is_the_code() -> None:
    assert classify(FAILED) == Classified(
        FailureClass.DETERMINISTIC, "Nothing speaks for a flake, for the runner, or for a service elsewhere."
    )
    assert of(replace(FAILED, failures=(LINT,))) == (
        FailureClass.DETERMINISTIC,
        "A compiler or a linter says it of the code itself.",
    )


def test_what_passes_when_run_again_is_a_flake_and_what_fails_again_is_not() -> None:
    assert of(replace(FAILED, rerun="passed")) == (
        FailureClass.FLAKY,
        "The failed jobs passed when they were run again on the same commit.",
    )
    assert of(replace(FAILED, rerun="failed")) == (
        FailureClass.DETERMINISTIC,
        "It failed again when the failed jobs were run once more on the same commit.",
    )


def test_the_ledger_knows_flaky_tests() -> None:
    key = ledger_key(TEST)
    assert key is not None

    assert of(replace(FAILED, ledger={key: FlakeRecord(passed=90, failed=3, flaked=3)})) == (
        FailureClass.FLAKY,
        "The test has failed and passed on the same commit before, 3 times.",
    )
    assert of(replace(FAILED, ledger={key: FlakeRecord(failed=9, flaked=1)}))[0] is FailureClass.DETERMINISTIC


def test_one_real_failure_among_flakes_is_real() -> None:
    key = ledger_key(TEST) or ""
    both = replace(FAILED, failures=(TEST, OTHER), ledger={key: FlakeRecord(flaked=5)})

    assert of(both) == (
        FailureClass.DETERMINISTIC,
        "Of what fails, 1 known to be flaky and 1 not.",
    )


@pytest.mark.parametrize(
    ("said", "what", "reason"),
    [
        (
            "##[error]The self-hosted runner: r-1 lost communication with the server. Verify the machine",
            FailureClass.INFRASTRUCTURE,
            "The log says that the runner was lost.",
        ),
        (
            "tar: app/x: Cannot write: No space left on device",
            FailureClass.INFRASTRUCTURE,
            "The log says that the runner's disk is full.",
        ),
        (
            "Process completed with exit code 137.",
            FailureClass.INFRASTRUCTURE,
            "The log says that the runner ran out of memory.",
        ),
        (
            "The job running on runner A has exceeded the maximum execution time of 360 minutes.",
            FailureClass.INFRASTRUCTURE,
            "The log says that the job ran out of time.",
        ),
        (
            "toomanyrequests: You have reached your pull rate limit.",
            FailureClass.EXTERNAL,
            "The log says that a service limits how often it may be asked.",
        ),
        (
            "curl: (6) Could not resolve host: example.org",
            FailureClass.EXTERNAL,
            "The log says that a host's name could not be resolved.",
        ),
        (
            "npm error code E503",
            FailureClass.EXTERNAL,
            "The log says that a service elsewhere is out of order.",
        ),
        (
            "Could not transfer artifact a:b: status code: 502, reason phrase: Bad Gateway (502)",
            FailureClass.EXTERNAL,
            "The log says that a service elsewhere is out of order.",
        ),
        (
            "npm error code ECONNRESET",
            FailureClass.EXTERNAL,
            "The log says that a connection to a service elsewhere broke.",
        ),
    ],
)
def test_known_phrases_tell_of_the_runner_and_of_services_elsewhere(
    said: str, what: FailureClass, reason: str
) -> None:
    assert of(Evidence(failures=(), conclusions=("failure",), said=(said,))) == (what, reason)


def test_a_phrase_in_the_log_does_not_excuse_a_test_that_fails_for_another_reason() -> None:
    evidence = replace(FAILED, said=("expected: Could not resolve host",))

    assert of(evidence)[0] is FailureClass.DETERMINISTIC


def test_tests_that_all_fail_for_want_of_a_service_are_external() -> None:
    lost = replace(TEST, message="OSError: [Errno -3] Temporary failure in name resolution")

    assert of(replace(FAILED, failures=(lost, replace(lost, test="b"))))[0] is FailureClass.EXTERNAL
    assert of(replace(FAILED, failures=(lost, OTHER)))[0] is FailureClass.DETERMINISTIC


def test_jobs_that_were_ended_with_no_failure_told_are_the_runners() -> None:
    assert of(Evidence(failures=(), conclusions=("timed_out", "cancelled"))) == (
        FailureClass.INFRASTRUCTURE,
        "The jobs were ended from outside, and no tool reported a failure.",
    )


def test_the_same_on_base_is_told_only_when_all_of_it_is_there() -> None:
    there = frozenset({TEST.fingerprint})

    assert classify(replace(FAILED, on_base=there)).same_on_base
    assert not classify(replace(FAILED, failures=(TEST, OTHER), on_base=there)).same_on_base
    assert not classify(FAILED).same_on_base
    assert not classify(Evidence(failures=(), on_base=there)).same_on_base
