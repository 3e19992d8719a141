"""What is done next about a failure, given what was done before: the counters decide, not the model."""

from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from handlers.ci.classes import Classified, FailureClass

ATTEMPTS: Final = 3
"""At one failure."""
ATTEMPTS_TOGETHER: Final = 6
"""At all failures of one pull request or branch: repairs that break something else must end, too."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be spent on one failure."""

    attempts: int = ATTEMPTS
    attempts_together: int = ATTEMPTS_TOGETHER
    money: float | None = None
    """In the operator's currency."""
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One repair that was tried."""

    turn_id: str
    said: str
    """What was tried, in one sentence of the turn's own."""
    left: str | None
    """The fingerprint of what CI showed afterwards; None where it passed, or has not been heard of."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What was done so far about one failure (`fingerprint_of` all that failed together)."""

    fingerprint: str
    attempts: tuple[Attempt, ...] = ()
    """Oldest first."""
    attempts_together: int = 0
    """At any failure of this pull request or branch, these included."""
    money: float = 0.0
    seconds: float = 0.0
    reruns: int = 0
    """How often the failed jobs of this head were run again."""
    person_called: bool = False


@dataclass(frozen=True, slots=True)
class Repair:
    number: int
    """Which attempt this is, from 1."""
    of: int


@dataclass(frozen=True, slots=True)
class CallPerson:
    reason: str
    tried: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class RerunFailedJobs:
    reason: str


@dataclass(frozen=True, slots=True)
class SaySameOnBase:
    """The base branch fails in the same way: said so, and not repaired here unless somebody asks."""


@dataclass(frozen=True, slots=True)
class Stop:
    reason: str


Next: TypeAlias = Repair | CallPerson | RerunFailedJobs | SaySameOnBase | Stop


def next_step(
    classified: Classified, counters: Counters, limits: Limits, *, may_rerun: bool, asked: bool = False
) -> Next:
    """What to do about a failure that was seen just now, at the newest head, CI having settled.

    `may_rerun` tells whether failed jobs can be run again at all; it happens at most once a head. `asked`
    means that a person asked for this very repair: then it is tried whatever its class and wherever else it
    fails, within the same limits.
    """
    if not asked and classified.same_on_base:
        return SaySameOnBase()
    if not asked and classified.what is not FailureClass.DETERMINISTIC:
        return _not_the_code(classified, counters, may_rerun=may_rerun)
    if counters.person_called and not asked:
        return Stop("Somebody was called for this failure already.")
    spent = _why_no_more(counters, limits)
    if spent is not None:
        return CallPerson(spent, counters.attempts)
    return Repair(len(counters.attempts) + 1, limits.attempts)


def _not_the_code(classified: Classified, counters: Counters, *, may_rerun: bool) -> Next:
    if may_rerun and not counters.reruns:
        return RerunFailedJobs(classified.reason)
    match classified.what:
        case FailureClass.FLAKY:
            return Stop(f"{classified.reason} A flaky test is not repaired by itself.")
        case FailureClass.INFRASTRUCTURE | FailureClass.EXTERNAL:
            if counters.reruns:
                return Stop(
                    f"{classified.reason} The failed jobs were run again already; new code would not help."
                )
            return Stop(
                f"{classified.reason} No job can be run again from here, and new code would not help."
            )
        case FailureClass.DETERMINISTIC:
            return Stop(classified.reason)
        case _:
            assert_never(classified.what)


def _why_no_more(counters: Counters, limits: Limits) -> str | None:
    if counters.attempts and counters.attempts[-1].left == counters.fingerprint:
        return "The same failure came back unchanged after the last attempt."
    if len(counters.attempts) >= limits.attempts:
        return f"{_times(len(counters.attempts))} tried, which is the limit for one failure."
    if counters.attempts_together >= limits.attempts_together:
        return (
            f"{_times(counters.attempts_together)} tried here, which is the limit for all failures together."
        )
    if limits.money is not None and counters.money >= limits.money:
        # Of the price table's currency, which is not known here.
        money, allowed = f"{counters.money:.2f}", f"{limits.money:.2f}"
        return f"{money} in money are spent on this failure, of at most {allowed}."
    if limits.seconds is not None and counters.seconds >= limits.seconds:
        spent, most = counters.seconds / 60, limits.seconds / 60
        return f"{spent:.0f} minutes are spent on this failure, of at most {most:.0f}."
    return None


def _times(count: int) -> str:
    return "One repair was" if count == 1 else f"{count} repairs were"
