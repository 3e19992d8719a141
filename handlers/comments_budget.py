"""What the bot says of budgets: what is spent, what is left, how to go on."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from harness.budget import Allowance, amount, named
from harness.items import BudgetScope, BudgetUnit, Exhausted

_ROWS: Final[dict[BudgetScope, str]] = {
    "turn": "this turn",
    "thread": "this conversation",
    "repository": "this repository today",
    "actor": "asked for by you today",
    "day": "this server today",
}
_LEFT_IN: Final[dict[BudgetScope, str]] = {
    "thread": "in this conversation",
    "repository": "in this repository today",
    "actor": "for {asker} today",
    "day": "on this server today",
}


def spent_parts(allowances: Sequence[Allowance], *, asker: str) -> list[str]:
    """For a footer: what a turn cost, where a price is known, and what each wider budget has left."""
    cost = [
        amount("money", one.used, one.currency)
        for one in allowances
        if one.scope == "turn" and one.unit == "money"
    ]
    left = "; ".join(_left(allowances, asker))
    return [*cost, *([f"left: {left}"] if left else [])]


def _left(allowances: Sequence[Allowance], asker: str) -> Iterator[str]:
    """A turn's own limits are none of these: the next turn begins with new ones."""
    for scope, where in _LEFT_IN.items():
        amounts = [
            amount(one.unit, one.left, one.currency)
            for one in allowances
            if one.scope == scope and one.left is not None
        ]
        if amounts:
            yield f"{', '.join(amounts)} {where.format(asker=asker)}"


def spent_tokens(allowances: Sequence[Allowance]) -> list[str]:
    """For a footer: the tokens that a turn has used so far."""
    return [
        amount("tokens", one.used)
        for one in allowances
        if one.scope == "turn" and one.unit == "tokens" and one.used
    ]


def not_started(spent: Allowance, *, mention: str) -> str:
    """To whoever asks when nothing may be spent any more."""
    budget = named(spent.scope, spent.unit, spent.allowed or 0, spent.currency)
    used = amount(spent.unit, spent.used, spent.currency)
    return f"⌛ **Out of budget** · I did not start: {budget} is spent ({used} so far). " + _way_on(
        spent, mention, "ask again"
    )


def exhausted(outcome: Exhausted) -> str:
    """What a turn came to the end of."""
    if outcome.scope == "turn":
        return f"The turn reached its limit of {amount(outcome.limit, outcome.allowed, outcome.currency)}."
    budget = named(outcome.scope, outcome.limit, outcome.allowed, outcome.currency)
    return f"{budget[0].upper()}{budget[1:]} is spent."


def after_exhausted(outcome: Exhausted, *, mention: str) -> str:
    """How to go on from there."""
    if outcome.scope == "turn":
        return f"To go on from here, write `@{mention} retry`: that is a new turn, with limits of its own."
    return _way_on(outcome, mention, f"write `@{mention} retry`")


def _way_on(spent: Allowance | Exhausted, mention: str, then: str) -> str:
    if spent.frees_at is not None:
        at = datetime.fromtimestamp(spent.frees_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return f"It is counted anew from {at}: {then} then. The operator of this server can raise it."
    if spent.is_raisable:
        return (
            f"Somebody with write access can raise it: `@{mention} budget N`, with the amount that all turns "
            f"here may cost together, or lift it: `@{mention} budget none`. Then {then}."
        )
    return f"The operator of this server can raise it. Then {then}."


def standing(allowances: Sequence[Allowance], *, mention: str, counts_money: bool) -> str:
    """What is spent, and what is left, of everything that a turn asked for here and now must keep to."""
    lines = ["| budget | spent | allowed | left |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {_ROWS[one.scope]} | {_amount(one, one.used)} | {_amount(one, one.allowed)} "
        f"| {_amount(one, one.left)} |"
        for one in allowances
    ]
    money = f", `@{mention} budget 5` in money" if counts_money else ""
    return (
        "\n".join(lines)
        + "\n\nA day goes from midnight to midnight UTC. What all turns of this conversation may cost "
        f"together is set by `@{mention} budget 200k` in tokens{money}; `@{mention} budget none` lifts it."
    )


def _amount(allowance: Allowance, value: float | None) -> str:
    return "no limit" if value is None else amount(allowance.unit, value, allowance.currency)


def budget_set(
    unit: BudgetUnit, value: int, *, asked: int, used: float, currency: str, is_at_work: bool
) -> str:
    """What holds from now on, and what it means for the turn at work."""
    holds = amount(unit, value, currency)
    said = f"From now on all turns of this conversation together may cost {holds}"
    if value < asked:
        wish = amount(unit, asked, currency)
        said += f": you asked for {wish}, and the operator of this server allows no more"
    said += f". {amount(unit, used, currency)} of it are spent." if used else "."
    if used >= value:
        return said + (
            " The turn at work ends before its next step." if is_at_work else " So no turn starts here."
        )
    return said + (" It holds for the turn at work, too." if is_at_work else "")


def budget_lifted(mention: str, *, is_at_work: bool) -> str:
    return (
        "This conversation has no budget of its own any more: its turns may cost what the operator of this "
        f"server allows, which `@{mention} budget` shows."
        + (" It holds for the turn at work, too." if is_at_work else "")
    )


def nothing_to_lift(mention: str) -> str:
    return (
        "This conversation has no budget of its own, so there is none to lift. What the operator of this "
        f"server allows holds here; `@{mention} budget` shows it."
    )


def no_price(mention: str) -> str:
    return (
        "I cannot count money here: the operator has set no price of the model. "
        f"Say it in tokens: `@{mention} budget 200k`."
    )
