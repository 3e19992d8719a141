"""What has been spent of each budget that applies, read anew whenever it is asked for.

Nothing is set aside for a request that is on its way: of turns that run at the same time, each may overshoot
a budget that they share by one request.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from app.store import charges
from app.store.charges import Spent
from app.store.database import Database
from app.store.places import RepositoryRef
from handlers.budgets import Amounts
from handlers.wishes import Ceiling
from harness.budget import Allowance
from harness.items import BudgetScope, TurnLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Whose budgets are looked at."""

    thread: str
    turn: str | None = None
    place: RepositoryRef | None = None
    """None for a local directory."""
    actor: int | None = None


@dataclass(frozen=True, slots=True)
class Spending:
    """The budgets of one deployment."""

    ceiling: Callable[[], Ceiling]
    limits: TurnLimits
    """Of a turn, before the budgets narrow them."""
    now: Callable[[], float]

    def turn_limits(self, place: RepositoryRef | None) -> TurnLimits:
        """What a turn may use by itself: it counts these from its own journal."""
        limits, amounts = self.limits, self.ceiling().budgets_of(place.full_name if place else "").turn
        return TurnLimits(
            steps=limits.steps,
            tokens=min(limits.tokens, amounts.tokens or limits.tokens),
            wall_seconds=min(limits.wall_seconds, amounts.seconds or limits.wall_seconds),
        )

    def standing(self, connection: Connection, payer: Payer) -> tuple[Allowance, ...]:
        """What a turn has used and may use: its own tokens, money and time, and each budget with an end."""
        limits = self.turn_limits(payer.place)
        spent = charges.of_turn(connection, payer.turn or "")
        shared = self.allowances(connection, payer)
        own = [
            Allowance(scope="turn", unit="tokens", used=spent.tokens, allowed=limits.tokens),
            Allowance(scope="turn", unit="wall_time", used=spent.seconds, allowed=limits.wall_seconds),
        ]
        currency = self.ceiling().currency
        if currency and not any(allowance.scope == "turn" for allowance in shared):
            own.append(
                Allowance(scope="turn", unit="money", used=spent.micros, allowed=None, currency=currency)
            )
        return (*own, *shared)

    def allowances(
        self, connection: Connection, payer: Payer, *, with_open_ones: bool = False
    ) -> tuple[Allowance, ...]:
        """Every budget that the payer's next model call must keep to, but for the turn's tokens and time.

        `with_open_ones`: also what is spent where there is no limit, which costs a sum over each scope.
        """
        ceiling = self.ceiling()
        budgets = ceiling.budgets_of(payer.place.full_name if payer.place else "")
        today, tomorrow = charges.day_of(self.now())
        in_thread = budgets.thread.narrowed(charges.budget_of(connection, payer.thread))
        found: list[Allowance] = []

        def look(
            scope: BudgetScope, amounts: Amounts, spent: Callable[[], Spent], *, is_daily: bool = True
        ) -> None:
            if with_open_ones or amounts != Amounts():
                frees_at = tomorrow if is_daily else None
                found.extend(
                    _allowances(
                        scope,
                        amounts,
                        spent(),
                        currency=ceiling.currency,
                        frees_at=frees_at,
                        with_open_ones=with_open_ones,
                    )
                )

        if (turn := payer.turn) is not None:
            of_turn = Amounts(micros=budgets.turn.micros)
            look("turn", of_turn, lambda: charges.of_turn(connection, turn), is_daily=False)
        look("thread", in_thread, lambda: charges.of_thread(connection, payer.thread), is_daily=False)
        if (place := payer.place) is not None:
            look(
                "repository",
                budgets.repository,
                lambda: charges.of_repository(connection, place.id, since=today),
            )
        if (actor := payer.actor) is not None:
            look("actor", budgets.actor, lambda: charges.of_actor(connection, actor, since=today))
        look("day", budgets.day, lambda: charges.of_all(connection, since=today))
        return tuple(_raisable(allowance, budgets.thread) for allowance in found)


@dataclass(frozen=True, slots=True)
class Purse:
    """What one payer has to spend."""

    database: Database
    spending: Spending
    payer: Payer

    async def allowances(self) -> tuple[Allowance, ...]:
        """As `Spending.allowances`."""
        return await self.database.read(lambda connection: self.spending.allowances(connection, self.payer))

    async def standing(self) -> tuple[Allowance, ...]:
        """As `Spending.standing`."""
        return await self.database.read(lambda connection: self.spending.standing(connection, self.payer))


def _raisable(allowance: Allowance, ceiling: Amounts) -> Allowance:
    """Whether people have set it for their conversation, below what the operator allows."""
    match allowance:
        case Allowance(scope="thread", unit="tokens", allowed=allowed):
            most: int | None = ceiling.tokens
        case Allowance(scope="thread", unit="money", allowed=allowed):
            most = ceiling.micros
        case _:
            return allowance
    return replace(allowance, is_raisable=allowed is not None and (most is None or allowed < most))


def _allowances(
    scope: BudgetScope,
    amounts: Amounts,
    spent: Spent,
    *,
    currency: str,
    frees_at: float | None,
    with_open_ones: bool,
) -> Iterator[Allowance]:
    if with_open_ones or amounts.tokens is not None:
        yield Allowance(
            scope=scope, unit="tokens", used=spent.tokens, allowed=amounts.tokens, frees_at=frees_at
        )
    if amounts.micros is not None or (with_open_ones and currency):
        yield Allowance(
            scope=scope,
            unit="money",
            used=spent.micros,
            allowed=amounts.micros,
            currency=currency,
            frees_at=frees_at,
        )
    if with_open_ones or amounts.seconds is not None:
        yield Allowance(
            scope=scope, unit="wall_time", used=spent.seconds, allowed=amounts.seconds, frees_at=frees_at
        )
