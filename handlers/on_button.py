"""Somebody pressed a button of one of our check runs: the same as the command it stands for."""

from typing import Final

from handlers import comments_control, on_answer, reasons
from handlers.asked import Asked, answer_to, by_button
from handlers.ci.offers import pull_of_offer
from handlers.effects import Effect, StartTurn
from handlers.events import ButtonPressed
from handlers.grammar import Approve, Command, Deny, Request, Retry, Review, Stop, parse_command
from handlers.ingest import act_of, ignored, triage
from handlers.on_control import control, stopping
from handlers.on_repair_asked import on_repair_asked
from handlers.on_review_asked import begun, fix_all
from handlers.permissions import STANDING, Refusal
from handlers.policy import Resolved, resolve, situation_of
from handlers.view import View

BUTTONS: Final[dict[str, Command]] = {
    "stop": Stop(),
    "retry": Retry(),
    "rerequested": Retry(),
    "review": Review(is_full=True),
    "fix": Request("fix"),
}
"""What a button's identifier stands for; `rerequested` is GitHub's own "Re-run"."""


def command_of(event: ButtonPressed) -> Command | None:
    """The identifiers of *Approve* and *Deny* name their request, as the comment does."""
    named = parse_command(event.button)
    return named if isinstance(named, Approve | Deny) and named.request else BUTTONS.get(event.button)


def on_button(event: ButtonPressed, view: View) -> list[Effect]:
    """GitHub shows buttons to people who may write; the permission API is asked all the same."""
    if (set_aside := triage(event, view.bot)) is not None:
        return [set_aside]
    if (offered := pull_of_offer(event.external_id)) is not None:
        return on_repair_asked(event, view, offered)
    command, target = command_of(event), view.target
    if target is None or command is None:
        return [ignored(event, reasons.NOT_OUR_CHECK if target is None else reasons.UNKNOWN_BUTTON)]
    start = target.start
    if STANDING[view.permission] != "writer":
        return [ignored(event, reasons.NEEDS_WRITE)]
    asked = by_button(event, view, start)
    situation = situation_of(view, repository=event.repository.full_name, is_fork=start.is_fork)
    resolved = resolve(situation)
    if isinstance(resolved, Refusal):
        return [ignored(event, reasons.NEEDS_WRITE)]
    if isinstance(command, Approve | Deny):
        return _answered(event, view, command, asked)
    if isinstance(command, Stop):
        own = [turn for turn in view.turns if turn.id == event.external_id and turn.state != "ended"]
        if not own:
            return answer_to(asked, comments_control.not_at_work(event.external_id))
        return stopping(asked, own, mention=view.bot.mention)
    if not view.config.enabled or view.config_error:
        return [ignored(event, reasons.DISABLED)]
    if start.kind == "review":
        return _of_review(event, view, command, asked, resolved, start)
    if start.turn_id != event.external_id:
        return answer_to(asked, comments_control.not_the_last(event.external_id, start.turn_id))
    return control(asked, view, Retry(), resolved)


def _answered(event: ButtonPressed, view: View, command: Approve | Deny, asked: Asked) -> list[Effect]:
    if event.actor.kind != "User":
        # A person's word is wanted: no bot has one, whatever its rights.
        return [ignored(event, reasons.NEEDS_WRITE)]
    reply = on_answer.on_answer(command, view, act=act_of(event), actor=event.actor)
    decision: list[Effect] = [] if reply.decision is None else [reply.decision]
    return decision + answer_to(asked, reply.said, reply.reaction)


def _of_review(
    event: ButtonPressed, view: View, command: Command, asked: Asked, resolved: Resolved, start: StartTurn
) -> list[Effect]:
    """The buttons of a review's check run."""
    if isinstance(command, Request):
        return fix_all(asked, start, view, resolved)
    return begun(
        asked,
        view,
        repository_id=event.repository.id,
        repository=event.repository.full_name,
        installation_id=event.installation_id,
        is_full=isinstance(command, Review),
        trigger=start.trigger,
    )
