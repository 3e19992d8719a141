"""What a turn may cost: prices of models, and how much of each budget is used. Pure; money is whole numbers.

Money is counted in micros, millionths of the price table's currency, and never as a binary fraction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from harness.items import BudgetScope, BudgetUnit, Exhausted, TurnLimits, Usage

MICROS: Final = 1_000_000
"""In one unit of the currency; and the tokens that a price is for."""
SOFT_PERCENT: Final = 90
"""At this share of any budget the agent is asked, once, to wrap up."""


@dataclass(frozen=True, slots=True)
class Price:
    """Of a million tokens, in micros."""

    input: int
    cached_input: int
    """Of input that the endpoint had read before and kept."""
    output: int
    """Reasoning is output."""

    def of(self, usage: Usage) -> int:
        """What these tokens cost, rounded up: a sum of requests is never below the bill for them."""
        cached = min(usage.cached_input_tokens, usage.input_tokens)
        whole = (
            (usage.input_tokens - cached) * self.input
            + cached * self.cached_input
            + usage.output_tokens * self.output
        )
        return -(-whole // MICROS)


@dataclass(frozen=True, slots=True)
class Prices:
    """The operator's table: a model's name, or a beginning with `*`, and its price. Empty: none is known."""

    by_model: Mapping[str, Price] = field(default_factory=lambda: MappingProxyType({}))
    currency: str = "USD"
    """A label: nothing is converted."""

    def price_of(self, model: str) -> Price | None:
        """By its exact name, else by the longest beginning that fits."""
        if (exact := self.by_model.get(model)) is not None:
            return exact
        fitting = [
            name for name in self.by_model if name.endswith("*") and model.startswith(name.removesuffix("*"))
        ]
        return self.by_model[max(fitting, key=len)] if fitting else None

    def micros(self, model: str, usage: Usage) -> int | None:
        """What a request cost; None when the table has no price for the model."""
        price = self.price_of(model)
        return price.of(usage) if price is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How much of one budget is used."""

    scope: BudgetScope
    unit: BudgetUnit
    used: float
    """Money in micros, time in seconds."""
    allowed: float | None
    """None: as much as one likes."""
    currency: str = ""
    """Of money."""
    frees_at: float | None = None
    """When it is counted anew, in seconds since the epoch; None: never."""
    is_raisable: bool = False
    """Whether people may raise it themselves, with `budget`."""

    @property
    def is_spent(self) -> bool:
        return self.allowed is not None and self.used >= self.allowed

    @property
    def is_nearly_spent(self) -> bool:
        return self.allowed is not None and self.used * 100 >= self.allowed * SOFT_PERCENT

    @property
    def left(self) -> float | None:
        """None: no end to it."""
        return None if self.allowed is None else max(self.allowed - self.used, 0)


def turn_allowances(limits: TurnLimits, steps: int, usage: Usage, seconds: float) -> Sequence[Allowance]:
    """A turn's own limits, and what it has used of them."""
    return (
        Allowance(scope="turn", unit="steps", used=steps, allowed=limits.steps),
        Allowance(scope="turn", unit="tokens", used=usage.total_tokens, allowed=limits.tokens),
        Allowance(scope="turn", unit="wall_time", used=seconds, allowed=limits.wall_seconds),
    )


def exhausted_by(spent: Allowance, message: str) -> Exhausted:
    """The outcome of a turn that comes to the end of this budget."""
    return Exhausted(
        spent.unit,
        spent.allowed or 0,
        message,
        scope=spent.scope,
        currency=spent.currency,
        frees_at=spent.frees_at,
        is_raisable=spent.is_raisable,
    )


def longest_spent(allowances: Sequence[Allowance]) -> Allowance | None:
    """Of those that are spent the one that stays so for longest: to wait for another would be in vain."""
    spent = [allowance for allowance in allowances if allowance.is_spent]
    return max(spent, key=lambda one: float("inf") if one.frees_at is None else one.frees_at, default=None)


def strictest(allowances: Sequence[Allowance]) -> Allowance | None:
    """Of those that have an end, the one of which the greatest share is used."""
    ending = [allowance for allowance in allowances if allowance.allowed is not None]
    return max(ending, key=_share, default=None)


def _share(allowance: Allowance) -> float:
    return allowance.used / allowance.allowed if allowance.allowed else float("inf")


def amount(unit: BudgetUnit, value: float, currency: str = "") -> str:
    """So much of it, for people: `4,000 tokens`, `1.25 USD`, `1 h 5 min`."""
    match unit:
        case "money":
            return money(int(value), currency)
        case "wall_time":
            return _duration(value)
        case "tokens" | "steps":
            return f"{value:,.0f} {unit.removesuffix('s') if value == 1 else unit}"


def money(micros: int, currency: str) -> str:
    """Two decimals, rounded up; below a tenth four, so that a cheap request does not look like none."""
    digits = 2 if micros >= MICROS // 10 or micros == 0 else 4
    step = 10 ** (6 - digits)
    whole = -(-micros // step)
    return f"{whole // 10**digits:,}.{whole % 10**digits:0{digits}d} {currency}".strip()


def exact_money(micros: int) -> str:
    """All six decimals, for programs."""
    return f"{micros // MICROS}.{micros % MICROS:06d}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min" if whole % 3600 // 60 else f"{whole // 3600} h"


_OWNERS: Final[Mapping[BudgetScope, str]] = MappingProxyType(
    {
        "turn": "this turn's",
        "thread": "this conversation's",
        "repository": "this repository's daily",
        "actor": "the daily per-person",
        "day": "this server's daily",
    }
)


def named(scope: BudgetScope, unit: BudgetUnit, allowed: float, currency: str = "") -> str:
    """A budget for people: `this conversation's budget of 4,000 tokens`."""
    return f"{_OWNERS[scope]} budget of {amount(unit, allowed, currency)}"


def wrap_up(allowance: Allowance) -> str:
    """What the agent is told when a budget is nearly spent."""
    allowed, left = allowance.allowed or 0, allowance.left or 0
    return (
        f"Wrap up in time: {amount(allowance.unit, left, allowance.currency)} are left of "
        f"{named(allowance.scope, allowance.unit, allowed, allowance.currency)}. When it is spent, this turn "
        "ends at once, with what it has. Do what matters most, begin nothing that does not fit, keep your "
        "changes in a state that is sound as it is, and end with a final message that says what is done and "
        "what is not."
    )
