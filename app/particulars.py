"""What a command wants to know besides the plain view: the turn it means, or the decision it asks about."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from app.explain import Explanation, explain
from app.store import decisions, inbox, landings, reviews, threads, turns
from handlers.effects import EffectAdapter, StartTurn
from handlers.events import (
    ButtonPressed,
    Event,
    IssueCommented,
    OperatorAsked,
    ReviewCommented,
    SubjectOpened,
)
from handlers.grammar import Command, Companion, Fork, Retry, Undo, Why, parse_command
from handlers.ingest import request_of
from handlers.on_button import command_of as command_of_button
from handlers.on_control import turn_meant
from handlers.review.memory import Memory
from handlers.view import Account, Bot, DoneEffect, Landing, Target, ThreadFacts, TurnBrief
from harness.items import Declined, Failed, Stopped


@dataclass(frozen=True, slots=True)
class Particulars:
    thread: ThreadFacts
    memory: Memory
    target: Target | None
    account: Account | None


def command_of(event: Event, bot: Bot) -> Command | None:
    """What the event asks for; None when it asks for nothing."""
    match event:
        case IssueCommented() | ReviewCommented() | SubjectOpened():
            text = request_of(event, bot)
            return None if text is None else parse_command(text)
        case ButtonPressed():
            return command_of_button(event)
        case OperatorAsked(text=text):
            return parse_command(text)
        case _:
            return None


def particulars_of(
    connection: Connection,
    thread: str,
    event: Event,
    bot: Bot,
    *,
    briefs: Sequence[TurnBrief],
    delivery: int | None,
) -> Particulars:
    """As the store has it now. `delivery` is the one that asks."""
    command = command_of(event, bot)
    meant = None
    by_id = {brief.id: brief for brief in briefs}
    if (
        isinstance(event, ButtonPressed)
        and (named := by_id.get(event.external_id))
        and named.kind == "review"
    ):
        meant = named.id
    elif isinstance(command, Retry | Fork | Undo | Companion):
        tasks = [brief for brief in briefs if brief.kind == "task"]
        meant = turn_meant(command, tasks, landings.of_thread(connection, thread))
    elif isinstance(event, ButtonPressed):
        meant = event.external_id
    target = _target(connection, thread, meant) if meant is not None else None
    if target is not None and isinstance(command, Companion):
        target = replace(target, ended=inbox.end_of_turn(connection, thread, target.start.turn_id))
    return Particulars(
        thread=threads.facts_of(connection, thread),
        memory=reviews.memory_of(connection, thread),
        target=target,
        account=_account(connection, thread, command.named, delivery) if isinstance(command, Why) else None,
    )


def _target(connection: Connection, thread: str, turn: str) -> Target | None:
    row = turns.find(connection, turn)
    if row is None or row.thread != thread:
        return None
    start = EffectAdapter.validate_json(row.start)
    if not isinstance(start, StartTurn):
        return None
    landed = [landing for landing in landings.of_thread(connection, thread) if landing.turn == turn]
    return Target(
        start=start,
        outcome=row.outcome,
        follows=row.follows or "",
        landing=_whole(landed) if landed else None,
    )


def _whole(landed: Sequence[Landing]) -> Landing:
    """A turn's commits on top of one another (what was held back came later) as one."""
    whole = landed[-1]
    for before in reversed(landed[:-1]):
        if (before.branch, before.sha) == (whole.branch, whole.parent):
            whole = replace(whole, parent=before.parent)
    return whole


def _account(connection: Connection, thread: str, named: str | None, asking: int | None) -> Account | None:
    """Of this thread only: what happened elsewhere is nobody's business here."""
    guid = decisions.delivery_meant(connection, thread, named, asking)
    if guid is None:
        return None
    found = explain(connection, guid)
    return None if found is None else _told(connection, found)


def _told(connection: Connection, found: Explanation) -> Account:
    turn = turns.find(connection, found.turn.id) if found.turn is not None else None
    outcome = turn.outcome if turn is not None else None
    cause = ""
    if isinstance(outcome, Failed):
        cause = outcome.cause
    elif isinstance(outcome, Declined):
        cause = outcome.reason
    elif isinstance(outcome, Stopped):
        cause = f"Stopped by {outcome.by}."
    return Account(
        who=found.actor or "",
        what=found.event + (f".{found.action}" if found.action else ""),
        at=found.received_at,
        text=found.text,
        decision=found.decision,
        reason=found.reason,
        effects=tuple(
            DoneEffect(effect.type, effect.state, effect.error, str(effect.result.get("url", "")))
            for effect in found.effects
            if effect.type != "ignore"
        ),
        turn=turn.id if turn is not None else "",
        turn_state=turn.state if turn is not None else "",
        turn_cause=cause,
    )
