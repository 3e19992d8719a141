"""What to do when the model gave no whole answer: one table from fault to rule. Never sleeps itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, assert_never

from harness.items import Declined, Failed, Outcome, Waiting
from harness.protocols import ModelError, ModelFault

BASE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
PARK_SECONDS: Final = 60.0
"""A pause longer than this is not slept through: the turn is parked and holds nothing meanwhile."""
LONGEST_OBEYED: Final = 24 * 3600.0
"""Of a wait that the endpoint asks for: no wrong clock and no gateway's mistake parks a turn for good."""
LONGEST_PARK_SECONDS: Final = 900.0
"""Between two looks whether an endpoint that is out of order works again."""
OUTAGE_SECONDS: Final = 24 * 3600.0
"""How long a turn waits for it."""
DETAIL_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class Repeat:
    """Ask again after a growing pause, `attempts` times in all; then end as `then` says."""

    attempts: int
    told: str
    then: "GiveUp | Park"


@dataclass(frozen=True, slots=True)
class Park:
    """Set the turn aside for a while: the endpoint works, only not for us now."""

    told: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Asking again would change nothing (or was tried often enough)."""

    told: str
    retryable: bool = False
    is_outage: bool = False
    """Whether it may be over in some hours: a turn that can be parked waits for that."""
    is_detailed: bool = False
    """Whether the endpoint's own words are added. Never for keys: endpoints quote parts of them."""


@dataclass(frozen=True, slots=True)
class Decline:
    """The model would not do it."""


Rule = Repeat | Park | GiveUp | Decline

RULES: Final[Mapping[ModelFault, Rule]] = MappingProxyType(
    {
        "rate_limited": Repeat(
            attempts=8,
            told="The model endpoint limits its rate",
            then=Park("The model endpoint limits its rate."),
        ),
        "overloaded": Repeat(
            attempts=6,
            told="The model endpoint is overloaded",
            then=GiveUp("The model endpoint stayed overloaded. Retry later.", retryable=True, is_outage=True),
        ),
        "stream_cut": Repeat(
            attempts=6,
            told="The model's answer was cut off",
            then=GiveUp(
                "The model's answers were cut off again and again. Retry later.",
                retryable=True,
                is_outage=True,
            ),
        ),
        "connection": Repeat(
            attempts=6,
            told="The model endpoint could not be reached",
            then=GiveUp(
                "The model endpoint could not be reached. Check its address and that it runs, then retry.",
                retryable=True,
                is_outage=True,
            ),
        ),
        "server": Repeat(
            attempts=6,
            told="The model endpoint had an error",
            then=GiveUp(
                "The model endpoint kept failing. Retry later.",
                retryable=True,
                is_outage=True,
                is_detailed=True,
            ),
        ),
        "malformed_answer": Repeat(
            attempts=3,
            told="The model endpoint's answer could not be read",
            then=GiveUp(
                "The model endpoint's answers could not be read. Check that it speaks the configured wire.",
                retryable=True,
                is_detailed=True,
            ),
        ),
        "context_overflow": GiveUp(
            "The conversation no longer fits into the model's context window. "
            "Start anew with a smaller request, or use a model with a larger window."
        ),
        "quota": GiveUp(
            "The quota of the model endpoint's account is used up. Raise it or add credit, then retry."
        ),
        "authentication": GiveUp(
            "The model endpoint refused the key. The operator has to check the key and its permissions."
        ),
        "invalid_request": GiveUp("The model endpoint refused the request.", is_detailed=True),
        "refused": Decline(),
    }
)


@dataclass(frozen=True, slots=True)
class Pause:
    """Sleep, then ask again."""

    seconds: float
    told: str


def after_fault(
    error: ModelError,
    *,
    attempt: int,
    now: float,
    jitter: float,
    reference: str,
    age: float | None = None,
) -> Pause | Outcome:
    """What follows on the `attempt`th failed try (from 1). `jitter` lies in 0 … 1.

    A wait that the endpoint asks for (`Retry-After`) is kept as given, up to a day. `age` is for how many
    seconds the turn has been under way: it is parked through an outage; None: it cannot be, and fails.
    """
    rule = RULES[error.fault]
    if isinstance(rule, Repeat):
        named = error.retry_after
        pause = min(named, LONGEST_OBEYED) if named is not None else _backoff(attempt, jitter)
        if pause > PARK_SECONDS:
            return Waiting(reason=f"{rule.told}.", until=now + pause)
        if attempt < rule.attempts:
            return Pause(pause, f"{rule.told}; asking again in {pause:.1f} s (try {attempt + 1}).")
        is_outage = isinstance(rule.then, GiveUp) and rule.then.is_outage
        if is_outage and age is not None and age < OUTAGE_SECONDS:
            pause = min(max(PARK_SECONDS, age / 4), LONGEST_PARK_SECONDS)
            return Waiting(reason=f"{rule.told}; it is asked again from time to time.", until=now + pause)
        rule = rule.then
    match rule:
        case Park(told):
            return Waiting(reason=told, until=now + PARK_SECONDS)
        case GiveUp(told, retryable=retryable, is_detailed=is_detailed):
            cause = f"{told} It said: {_short(error.detail)}" if is_detailed and error.detail else told
            return Failed(cause=cause, reference=reference, retryable=retryable)
        case Decline():
            return Declined(reason=_short(error.detail) or "The model declined the request.")
        case _:
            assert_never(rule)


def _backoff(attempt: int, jitter: float) -> float:
    """Doubling from the base; the jitter takes off up to half, so that many turns do not ask in step."""
    return min(LONGEST_PAUSE_SECONDS, BASE_SECONDS * 2.0 ** (attempt - 1)) * (1.0 - jitter / 2)


def _short(detail: str) -> str:
    line = " ".join(detail.split())
    return line if len(line) <= DETAIL_CHARACTERS else f"{line[:DETAIL_CHARACTERS]}…"
