"""What may be spent at most: by a turn, in a conversation, in a day. Data only."""

from dataclasses import dataclass, field, fields
from typing import TypeVar

Amount = TypeVar("Amount", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """Of each unit at most so much; None: no limit."""

    tokens: int | None = None
    """Input and output together."""
    micros: int | None = None
    """Millionths of the price table's currency."""
    seconds: float | None = None
    """Of model calls and commands."""

    def narrowed(self, other: "Amounts") -> "Amounts":
        """The smaller of both, unit by unit."""
        return Amounts(
            tokens=_least(self.tokens, other.tokens),
            micros=_least(self.micros, other.micros),
            seconds=_least(self.seconds, other.seconds),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """What each scope may spend; repository, actor and day in a day, from midnight to midnight UTC."""

    turn: Amounts = field(default_factory=Amounts)
    thread: Amounts = field(default_factory=Amounts)
    """All turns of a conversation together, however long it lives."""
    repository: Amounts = field(default_factory=Amounts)
    actor: Amounts = field(default_factory=Amounts)
    """All that one person asked for, wherever."""
    day: Amounts = field(default_factory=Amounts)
    """All that this server does."""

    def narrowed(self, other: "Budgets") -> "Budgets":
        return Budgets(
            turn=self.turn.narrowed(other.turn),
            thread=self.thread.narrowed(other.thread),
            repository=self.repository.narrowed(other.repository),
            actor=self.actor.narrowed(other.actor),
            day=self.day.narrowed(other.day),
        )

    @property
    def counts_money(self) -> bool:
        """Whether any of them is in money: then each model needs a price."""
        return any(getattr(self, scope.name).micros is not None for scope in fields(self))


def _least(one: Amount | None, other: Amount | None) -> Amount | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
