"""A turn is over: send its result on its way, or say why there is none."""

from dataclasses import replace

from handlers import comments, reasons
from handlers.asking import ask_people
from handlers.branches import own_branch
from handlers.broker import Judgement, Refused
from handlers.effects import EditComment, Effect, PushResult, StartTurn
from handlers.events import TurnEnded
from handlers.on_fork_result import deliver_to_fork
from handlers.permissions import Refusal
from handlers.policy import resolve, situation_of, trigger_of
from handlers.publish import judgement_of, last_words
from handlers.view import View
from harness.items import Completed, Exhausted, Waiting
from sandbox.base import SandboxMode


def on_turn_end(event: TurnEnded, view: View) -> list[Effect]:
    """Completed and exhausted turns deliver what they have; the others publish nothing of their changes."""
    start = event.start
    if isinstance(event.outcome, Waiting):
        return [_parked(event)] if event.asked is None else ask_people(event, event.asked, view)
    if not isinstance(event.outcome, Completed | Exhausted):
        return last_words(event, view, None, judgement=Judgement((), (), ()))
    judgement = judgement_of(event, view)
    why = _why_not_deliver(start, view)
    if why and judgement.deliver:
        refused = tuple(Refused(path, why) for path in judgement.deliver)
        judgement = Judgement((), judgement.held, (*judgement.refused, *refused))
    if not judgement.deliver:
        return last_words(event, view, None, judgement=judgement)
    if start.is_fork:
        return deliver_to_fork(event, view, judgement)
    push = push_of(start, judgement.deliver)
    if view.default_branch is not None and push.branch == view.default_branch.name:
        # A pull request from the default branch, say into a release branch: no work lands there unseen.
        push = replace(push, key=f"{push.key}:default_branch", branch=own_branch(start), expected=None)
    return [push]


def push_of(start: StartTurn, paths: tuple[str, ...]) -> PushResult:
    """To the branch that it is meant for, if that has not moved; else to a branch of the turn's own."""
    onto = start.onto or (start.base_ref if start.is_pull and not start.follows else "")
    return PushResult(
        key=f"{start.turn_id}:push",
        turn_id=start.turn_id,
        branch=onto or own_branch(start),
        parent=start.base_sha,
        expected=start.base_sha if onto else None,
        paths=paths,
        message=comments.commit_message(start),
    )


def _why_not_deliver(start: StartTurn, view: View) -> str:
    """The rules are looked at again before a write: rights and settings can change while a turn runs."""
    resolved = resolve(
        situation_of(view, repository=start.repository, trigger=trigger_of(start), is_fork=start.is_fork)
    )
    if isinstance(resolved, Refusal):
        return reasons.RIGHT_LOST
    if SandboxMode.READ_ONLY in (start.mode, resolved.policy.mode):
        return reasons.READ_ONLY
    if view.config_error or not view.config.enabled:
        return reasons.SETTINGS_CHANGED
    return ""


def _parked(event: TurnEnded) -> EditComment:
    start = event.start
    words = event.outcome.reason if isinstance(event.outcome, Waiting) else ""
    state = comments.Progress(
        phase="waiting",
        start=start,
        seconds=event.seconds,
        plan=event.plan,
        note=comments.waiting(words),
        allowances=event.allowances,
    )
    return EditComment(
        key=f"{start.turn_id}:progress:waiting:{event.steps}",
        posted_key=start.progress_key,
        body=comments.progress(state),
        requester=start.requester.login,
    )
