"""A person wants what was held back: check again all that was checked when it was offered, then push it."""

from typing import Final

from handlers import comments, comments_requests, reasons
from handlers.branches import own_branch
from handlers.broker import approval_hash
from handlers.effects import Effect, OpenPull, PostComment, PushResult
from handlers.events import EffectFailed, HeldApproved, PullReady, PushRefused, ResultPushed, TurnEnded
from handlers.permissions import STANDING, Refusal
from handlers.policy import resolve, situation_of
from handlers.publish import judgement_of
from handlers.view import View
from handlers.wanted import read
from harness.approvals import request_id
from sandbox.base import SandboxMode

_PUSH: Final = ":held:push"
_PULL: Final = ":held:pull"


def on_held_approved(event: HeldApproved, view: View) -> list[Effect]:
    """Exactly the files that were asked about go out, on top of what the turn has pushed."""
    start = event.ended.start
    wanted = read(event.asked)
    if why := _why_not(event, view, wanted.wanted):
        return [_refused(event.ended, why, mention=view.bot.mention)]
    branch = wanted.branch or (start.base_ref if start.is_pull else own_branch(start))
    if view.default_branch is not None and branch == view.default_branch.name:
        branch = own_branch(start)
    is_there = bool(wanted.branch) or (start.is_pull and branch == start.base_ref)
    return [
        PushResult(
            key=f"{start.turn_id}{_PUSH}",
            turn_id=start.turn_id,
            branch=branch,
            parent=event.head_sha,
            # The lease: the branch is where it was when this was asked, or nothing is pushed.
            expected=event.head_sha if is_there else None,
            paths=wanted.wanted,
            message=comments.commit_message(start, approved_by=event.by.login),
        )
    ]


def is_held(effect: Effect) -> bool:
    """Whether the effect delivers what had been held back."""
    return effect.key.endswith((_PUSH, _PULL))


def on_held_pushed(event: ResultPushed, view: View) -> list[Effect]:
    """Said where the turn was asked for; a branch that is new gets its pull request first."""
    if event.push.expected is not None:
        return [_delivered(event, view)]
    start = event.ended.start
    judgement = judgement_of(event.ended, view).with_delivered(event.push.paths)
    body = comments.pull_body(
        event.ended, judgement=judgement, mention=view.bot.mention, is_companion=start.is_pull
    )
    return [
        OpenPull(
            key=f"{start.turn_id}{_PULL}",
            turn_id=start.turn_id,
            head=event.push.branch,
            base=start.base_ref,
            title=comments.pull_title(start),
            body=body,
        )
    ]


def on_held_pull_ready(event: PullReady, view: View) -> list[Effect]:
    return [_delivered(event.pushed, view, pull_url=event.url)]


def on_held_not_pushed(event: PushRefused, view: View) -> list[Effect]:
    """The forge did not take it: nothing was overwritten, and nothing else is tried."""
    mention = view.bot.mention
    if event.reason != "head_moved":
        return [_refused(event.ended, event.detail or event.reason, mention=mention)]
    name = _name(event.ended)
    said = comments_requests.held_moved(name, branch=event.push.branch, mention=mention)
    return [_comment(event.ended, said)]


def on_held_failed(event: EffectFailed, view: View) -> list[Effect]:
    """Given up: the branch may be there already."""
    return [_refused(event.ended, event.detail, mention=view.bot.mention)]


def _why_not(event: HeldApproved, view: View, paths: tuple[str, ...]) -> str:
    """Rights, settings and the files themselves are looked at again before anything is written."""
    start = event.ended.start
    resolved = resolve(situation_of(view, repository=start.repository, is_fork=start.is_fork))
    if isinstance(resolved, Refusal) or STANDING[view.permission] != "writer":
        return reasons.APPROVER_LOST_RIGHT
    if SandboxMode.READ_ONLY in (start.mode, resolved.policy.mode) or start.is_fork:
        return reasons.READ_ONLY
    if view.config_error or not view.config.enabled or not resolved.askable.may_ask:
        return reasons.SETTINGS_CHANGED
    if approval_hash(event.ended.protected_patch) != event.digest:
        return reasons.OTHER_PATCH
    judgement = judgement_of(event.ended, view)
    if not set(paths) <= {*judgement.held, *judgement.deliver}:
        return reasons.OTHER_PATCH
    return ""


def _delivered(event: ResultPushed, view: View, *, pull_url: str = "") -> PostComment:
    name = _name(event.ended)
    by = next((request.decided_by for request in view.requests if request.id == name), "")
    said = comments_requests.held_delivered(
        name,
        branch=event.push.branch,
        sha=event.sha,
        files=len(event.push.paths),
        by=by,
        pull_url=pull_url,
    )
    return _comment(event.ended, said)


def _refused(ended: TurnEnded, why: str, *, mention: str) -> PostComment:
    return _comment(ended, comments_requests.held_refused(_name(ended), why, mention=mention))


def _comment(ended: TurnEnded, said: str) -> PostComment:
    start = ended.start
    return PostComment(
        key=f"{start.turn_id}:held:said",
        number=start.number,
        body=said,
        review_thread=start.review_thread,
        requester=start.requester.login,
    )


def _name(ended: TurnEnded) -> str:
    return request_id(ended.start.turn_id, "held")
