"""`budget`: what a conversation may cost, within what the operator allows, and how it stands."""

from handlers import comments_budget
from handlers.budgets import Amounts
from handlers.effects import LiftBudget, SetBudget
from handlers.grammar import Budget
from handlers.view import View
from harness.budget import Allowance, longest_spent
from harness.items import BudgetUnit


def budgeted(
    command: Budget, view: View, *, repository: str, act: str, author: str
) -> tuple[SetBudget | LiftBudget | None, str]:
    """What is set, if anything, and what is said of it. For people who may direct turns."""
    mention, ceiling = view.bot.mention, view.bot.ceiling
    if command.is_lifted:
        return _lifted(view, act=act, author=author)
    if command.micros is not None and not ceiling.currency:
        return None, comments_budget.no_price(mention)
    if command.micros is None and command.tokens is None:
        said = comments_budget.standing(view.allowances, mention=mention, counts_money=bool(ceiling.currency))
        return None, said
    wish = Amounts(tokens=command.tokens, micros=command.micros)
    given = wish.narrowed(_only_asked(ceiling.budgets_of(repository).thread, wish))
    unit: BudgetUnit = "tokens" if command.tokens is not None else "money"
    said = comments_budget.budget_set(
        unit,
        _of(given),
        asked=_of(wish),
        used=_used(view.allowances, unit),
        currency=ceiling.currency,
        is_at_work=view.running_turn is not None,
    )
    key = f"{act}:budget"
    return SetBudget(key=key, tokens=given.tokens, micros=given.micros, author=author), said


def _lifted(view: View, *, act: str, author: str) -> tuple[LiftBudget | None, str]:
    mention, thread = view.bot.mention, view.thread
    if thread.budget_tokens is None and thread.budget_micros is None:
        return None, comments_budget.nothing_to_lift(mention)
    said = comments_budget.budget_lifted(mention, is_at_work=view.running_turn is not None)
    return LiftBudget(key=f"{act}:budget", author=author), said


def why_nothing_starts(view: View) -> str:
    """To whoever asks for a turn when a budget that it would need is spent; empty when none is."""
    spent = longest_spent(view.allowances)
    return comments_budget.not_started(spent, mention=view.bot.mention) if spent else ""


def _only_asked(ceiling: Amounts, wish: Amounts) -> Amounts:
    """The ceiling of the unit that is asked about: the others are not touched."""
    return Amounts(
        tokens=None if wish.tokens is None else ceiling.tokens,
        micros=None if wish.micros is None else ceiling.micros,
    )


def _of(amounts: Amounts) -> int:
    """The one unit that is set."""
    return amounts.tokens if amounts.tokens is not None else amounts.micros or 0


def _used(allowances: tuple[Allowance, ...], unit: BudgetUnit) -> float:
    return next((one.used for one in allowances if one.scope == "thread" and one.unit == unit), 0)
