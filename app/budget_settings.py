"""Budgets and prices as the operator writes them: amounts of tokens, money and time; money as decimals."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from handlers.budgets import Amounts, Budgets
from handlers.written import Written
from harness.budget import MICROS, Price


def _money(value: Any) -> Any:
    """As it is written: a decimal fraction of TOML is taken by its digits, never by its binary value."""
    if isinstance(value, bool):
        raise ValueError("must be an amount such as 2.50")  # noqa: TRY004  pydantic tells the person of a ValueError
    return Decimal(repr(value)) if isinstance(value, float) else value


Money = Annotated[
    Decimal, BeforeValidator(_money), Field(ge=0, max_digits=15, decimal_places=6, allow_inf_nan=False)
]
Tokens = Annotated[int, Field(ge=1, le=10**15, strict=True)]
Seconds = Annotated[float, Field(gt=0, le=10**9, allow_inf_nan=False)]


def _named_model(name: str) -> str:
    if not name or "*" in name[:-1]:
        raise ValueError("must be the name of a model, or its beginning with a `*`, such as gpt-5*")
    return name


ModelName = Annotated[str, AfterValidator(_named_model)]


class WrittenPrice(Written):
    """One `[prices."MODEL"]`: for a million tokens."""

    input: Money
    output: Money
    cached_input: Money | None = None
    """Not said: as any input."""

    @property
    def price(self) -> Price:
        cached = self.input if self.cached_input is None else self.cached_input
        return Price(input=micros(self.input), cached_input=micros(cached), output=micros(self.output))


class WrittenAmounts(Written):
    """One `[budget.SCOPE]`."""

    tokens: Tokens | None = None
    money: Money | None = None
    seconds: Seconds | None = None

    @property
    def amounts(self) -> Amounts:
        return Amounts(
            tokens=self.tokens,
            micros=None if self.money is None else micros(self.money),
            seconds=self.seconds,
        )


class ScopedBudgets(Written):
    """What can be said of one owner or one repository."""

    turn: WrittenAmounts = WrittenAmounts()
    thread: WrittenAmounts = WrittenAmounts()
    repository: WrittenAmounts = WrittenAmounts()
    actor: WrittenAmounts = WrittenAmounts()

    @property
    def budgets(self) -> Budgets:
        return Budgets(
            turn=self.turn.amounts,
            thread=self.thread.amounts,
            repository=self.repository.amounts,
            actor=self.actor.amounts,
        )


class WrittenBudgets(ScopedBudgets):
    """`[budget.…]` of the whole server."""

    day: WrittenAmounts = WrittenAmounts()

    @property
    def budgets(self) -> Budgets:
        return Budgets(
            turn=self.turn.amounts,
            thread=self.thread.amounts,
            repository=self.repository.amounts,
            actor=self.actor.amounts,
            day=self.day.amounts,
        )


def micros(amount: Decimal) -> int:
    """Whole: no amount has more than six decimals."""
    return int(amount * MICROS)
