"""What is done next about a failure: the counters end what does not converge."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.ci.attempts import (
    Attempt,
    CallPerson,
    Counters,
    Limits,
    Next,
    Repair,
    RerunFailedJobs,
    SaySameOnBase,
    Stop,
    next_step,
)
from handlers.ci.classes import Classified, FailureClass

CODE = Classified(FailureClass.DETERMINISTIC, "It is the code.")
FLAKE = Classified(FailureClass.FLAKY, "It passed before.")
OUTSIDE = Classified(FailureClass.EXTERNAL, "A host was away.")
NONE_YET = Counters("f1")
LIMITS = Limits()


def tried(*left: str | None) -> Counters:
    attempts = tuple(Attempt(f"t{number}", f"Tried {number}.", one) for number, one in enumerate(left))
    return Counters("f1", attempts, attempts_together=len(attempts))


def step(classified: Classified, counters: Counters, limits: Limits = LIMITS, *, asked: bool = False) -> Next:
    return next_step(classified, counters, limits, may_rerun=True, asked=asked)


def test_a_new_failure_of_the_code_is_repaired_up_to_three_times() -> None:
    assert step(CODE, NONE_YET) == Repair(1, 3)
    assert step(CODE, tried("other", "another")) == Repair(3, 3)

    three = tried("a", "b", "c")
    assert step(CODE, three) == CallPerson(
        "3 repairs were tried, which is the limit for one failure.", three.attempts
    )


def test_a_failure_that_comes_back_unchanged_calls_a_person_at_once() -> None:
    back = tried("f1")

    assert step(CODE, back) == CallPerson(
        "The same failure came back unchanged after the last attempt.", back.attempts
    )


def test_a_person_is_called_once() -> None:
    called = replace(tried("f1"), person_called=True)

    assert step(CODE, called) == Stop("Somebody was called for this failure already.")
    assert isinstance(step(CODE, called, asked=True), CallPerson)


def test_repairs_that_break_each_other_end() -> None:
    counters = replace(tried("f2"), attempts_together=6)

    assert step(CODE, counters) == CallPerson(
        "6 repairs were tried here, which is the limit for all failures together.", counters.attempts
    )


def test_money_and_time_are_limits_too() -> None:
    rich = replace(NONE_YET, money=2.5, seconds=1800)

    assert step(CODE, rich, Limits(money=2.0)) == CallPerson(
        "2.50 in money are spent on this failure, of at most 2.00.", ()
    )
    assert step(CODE, rich, Limits(seconds=1200)) == CallPerson(
        "30 minutes are spent on this failure, of at most 20.", ()
    )


def test_what_fails_on_the_base_too_is_said_and_repaired_only_if_asked() -> None:
    base = replace(CODE, same_on_base=True)

    assert step(base, NONE_YET) == SaySameOnBase()
    assert step(base, NONE_YET, asked=True) == Repair(1, 3)


def test_what_is_not_the_code_is_run_again_once_a_head() -> None:
    assert step(FLAKE, NONE_YET) == RerunFailedJobs("It passed before.")
    assert step(FLAKE, replace(NONE_YET, reruns=1)) == Stop(
        "It passed before. A flaky test is not repaired by itself."
    )
    assert step(OUTSIDE, replace(NONE_YET, reruns=1)) == Stop(
        "A host was away. The failed jobs were run again already; new code would not help."
    )
    assert next_step(OUTSIDE, NONE_YET, LIMITS, may_rerun=False) == Stop(
        "A host was away. No job can be run again from here, and new code would not help."
    )


@settings(deadline=None)  # A busy machine is no failure.
@given(st.lists(st.sampled_from(["f1", "f2", "f3", None]), min_size=20, max_size=20))
def test_whatever_ci_says_the_repairs_end(answers: list[str | None]) -> None:
    """Any sequence of failures on one pull request sees at most six repairs, and then people alone."""
    attempts: dict[str, list[Attempt]] = {}
    repairs = 0
    for number, failing in enumerate(answers):
        if failing is None:
            continue
        mine = attempts.setdefault(failing, [])
        if mine and mine[-1].left is None:
            mine[-1] = replace(mine[-1], left=failing)
        counters = Counters(failing, tuple(mine), attempts_together=repairs)
        if isinstance(step(CODE, counters), Repair):
            repairs += 1
            mine.append(Attempt(f"t{number}", "Tried.", None))

    assert repairs <= 6
    assert all(len(mine) <= 3 for mine in attempts.values())
