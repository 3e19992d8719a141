"""Why Darner did, or did not do, something about a delivery: read from the ledger, never guessed."""

from dataclasses import asdict, dataclass

from sqlalchemy import Connection

from app.store import charges, deliveries, inbox, outbox, turns
from app.store.outbox import EffectRow


@dataclass(frozen=True, slots=True)
class ExplainedTurn:
    id: str
    status: str
    outcome: str | None
    seconds: float | None
    tokens: int = 0
    micros: int = 0
    """What it cost, as far as prices were known, in millionths of the currency."""
    unpriced_tokens: int = 0
    """Those whose price was not known."""


@dataclass(frozen=True, slots=True)
class Explanation:
    guid: str
    event: str
    action: str | None
    repository: str | None
    number: int | None
    actor: str | None
    received_at: float
    text: str
    command: str
    decision: str
    """The delivery's state: handled, ignored, duplicate, refused, pending, failed."""
    reason: str
    effects: tuple[EffectRow, ...]
    """Everything that came of it, the end of its turn included."""
    turn: ExplainedTurn | None

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def explain(connection: Connection, guid: str) -> Explanation | None:
    """The story of one delivery; None when it never came in."""
    row = deliveries.find(connection, guid)
    if row is None:
        return None
    effects = outbox.of_letters(connection, inbox.of_origin(connection, row.id))
    return Explanation(
        guid=guid,
        event=row.event,
        action=row.action,
        repository=row.repository,
        number=row.number,
        actor=row.actor,
        received_at=row.received_at,
        text=row.text,
        command=row.command,
        decision=row.state,
        reason=row.reason,
        effects=tuple(effects),
        turn=_turn_of(connection, effects),
    )


def _turn_of(connection: Connection, effects: list[EffectRow]) -> ExplainedTurn | None:
    started = [str(e.result["turn"]) for e in effects if e.type == "start_turn" and "turn" in e.result]
    turn = turns.find(connection, started[0]) if started else None
    if turn is None:
        return None
    seconds = turn.ended_at - turn.started_at if turn.ended_at and turn.started_at else None
    outcome, spent = turn.outcome, charges.of_turn(connection, turn.id)
    return ExplainedTurn(
        turn.id,
        turn.status,
        outcome.status if outcome else None,
        seconds,
        spent.tokens,
        spent.micros,
        spent.unpriced_tokens,
    )
