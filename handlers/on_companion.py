"""A companion pull request for a fork's result: asked for, approved by a person, opened once.

Its branch is the repository's own, and so its CI runs the contributor's code with the repository's secrets:
it is made by leave alone, for exactly one result on exactly one head.
"""

from typing import Final

from handlers import comments, reasons
from handlers import comments_companion as words
from handlers.asking import may_ask
from handlers.branches import own_branch
from handlers.broker import Judgement, approval_hash, is_protected
from handlers.comments_fork import files_url
from handlers.delivery import CI_PATHS, LONGEST_PATCH, UNREAD
from handlers.effects import AskApproval, Effect, OpenPull, PostComment, PushResult
from handlers.events import EffectFailed, HeldApproved, PullReady, PushRefused, ResultPushed, TurnEnded
from handlers.permissions import STANDING, Refusal
from handlers.policy import resolve, situation_of
from handlers.publish import judgement_of
from handlers.view import View
from handlers.wanted import Wanted, read, written
from harness.approvals import request_id
from harness.items import Completed, Exhausted
from sandbox.base import SandboxMode

_MARK: Final = ":companion:"


def can_be_asked(ended: TurnEnded, view: View, judgement: Judgement) -> bool:
    """Whether people may be asked for a companion of this result as things are."""
    pull = view.pull
    return (
        ended.start.is_fork
        and isinstance(ended.outcome, Completed | Exhausted)
        and bool(ended.snapshot and judgement.deliver)
        and pull is not None
        and pull.is_open
        and pull.head.sha == ended.start.base_sha
        and not _changes_ci(ended)
        and may_ask(ended, view)
    )


def ask_for_companion(
    ended: TurnEnded, view: View, judgement: Judgement, *, act: str = ""
) -> tuple[AskApproval, str]:
    """The request, and what is said with it. `act`: what a person asked by; empty: the turn's end asks."""
    start, paths = ended.start, judgement.deliver
    name = request_id(start.turn_id, f"companion/{act}" if act else "companion")
    digest = _digest(ended, paths)
    asked = AskApproval(
        key=f"{act or start.turn_id}:ask:companion",
        request_id=name,
        turn_id=start.turn_id,
        kind="companion",
        asked=written(Wanted(paths, start.requester.id, own_branch(start))),
        digest=digest,
        head_sha=start.base_sha,
        until=None,
    )
    said = words.offer(
        start,
        name,
        digest,
        files=len(paths),
        touches=ended.head_touches,
        is_shown=len(ended.patch) <= LONGEST_PATCH,
        files_url=files_url(start),
        mention=view.bot.mention,
        hours=view.bot.ceiling.approval_seconds / 3600,
    )
    return asked, said


def companion_wanted(view: View, *, act: str) -> tuple[AskApproval | None, str]:
    """Somebody who may write asks for one: the request, if there is something to ask, and what is said."""
    mention, target = view.bot.mention, view.target
    ended = target.ended if target is not None else None
    if target is None or ended is None or not ended.start.is_fork:
        return None, words.none_to_make(mention)
    if target.landing is not None and not target.landing.undone_by:
        return None, words.is_elsewhere(target.landing)
    turn = ended.start.turn_id
    for request in view.requests:
        if (request.kind, request.turn, request.state) == ("companion", turn, "open"):
            return None, words.is_asked_for(request.id, mention)
    if _changes_ci(ended):
        return None, words.changes_ci(ended.start, ended.head_touches)
    judgement = judgement_of(ended, view)
    if not can_be_asked(ended, view, judgement):
        return None, words.none_to_make(mention)
    return ask_for_companion(ended, view, judgement, act=act)


def on_companion_approved(event: HeldApproved, view: View) -> list[Effect]:
    """Checked again, all of it; then one branch of the repository's own."""
    start = event.ended.start
    wanted = read(event.asked)
    if why := _why_not(event, view, wanted.wanted):
        said = words.refused(event.request_id, why, mention=_at(view))
        return [_comment(event.ended, event.request_id, said)]
    return [
        PushResult(
            key=f"{start.turn_id}{_MARK}{event.request_id}:push",
            turn_id=start.turn_id,
            branch=wanted.branch,
            parent=event.head_sha,
            expected=None,
            paths=wanted.wanted,
            message=comments.commit_message(start, approved_by=event.by.login),
        )
    ]


def is_companion(effect: Effect) -> bool:
    """Whether the effect makes a companion pull request."""
    return _MARK in effect.key and effect.key.endswith((":push", ":pull"))


def on_companion_pushed(event: ResultPushed, view: View) -> list[Effect]:
    start = event.ended.start
    judgement = judgement_of(event.ended, view).with_delivered(event.push.paths)
    author = view.pull.author if view.pull is not None else ""
    return [
        OpenPull(
            key=event.push.key.removesuffix(":push") + ":pull",
            turn_id=start.turn_id,
            head=event.push.branch,
            base=start.base_ref,
            title=comments.pull_title(start),
            body=comments.pull_body(
                event.ended, judgement=judgement, mention=_at(view), fork_note=words.in_pull(start, author)
            ),
        )
    ]


def on_companion_ready(event: PullReady, view: View) -> list[Effect]:
    push = event.pushed.push
    name = _named(push)
    said = words.opened(
        name,
        number=event.number,
        url=event.url,
        branch=push.branch,
        sha=event.pushed.sha,
        by=next((one.decided_by for one in view.requests if one.id == name), ""),
    )
    return [_comment(event.pushed.ended, name, said)]


def on_companion_not_pushed(event: PushRefused, view: View) -> list[Effect]:
    name = _named(event.push)
    said = words.not_pushed(name, event.reason, event.detail, branch=event.push.branch, mention=_at(view))
    return [_comment(event.ended, name, said)]


def on_companion_failed(event: EffectFailed, view: View) -> list[Effect]:
    """Given up: the branch may be there already."""
    name = _named(event.effect)
    return [_comment(event.ended, name, words.refused(name, event.detail, mention=_at(view)))]


def _why_not(event: HeldApproved, view: View, paths: tuple[str, ...]) -> str:
    """Rights, settings, the head and the result itself are looked at again before anything is written."""
    start, pull = event.ended.start, view.pull
    resolved = resolve(situation_of(view, repository=start.repository, is_fork=start.is_fork))
    if isinstance(resolved, Refusal) or STANDING[view.permission] != "writer":
        return reasons.APPROVER_LOST_RIGHT
    if SandboxMode.READ_ONLY in (start.mode, resolved.policy.mode):
        return reasons.READ_ONLY
    if view.config_error or not view.config.enabled or not resolved.askable.may_ask:
        return reasons.SETTINGS_CHANGED
    if pull is None or not pull.is_open:
        return reasons.PULL_CLOSED
    if _changes_ci(event.ended):
        return reasons.CHANGES_CI
    if pull.head.sha != event.head_sha or event.head_sha != start.base_sha:
        return reasons.HEAD_MOVED
    if event.digest != _digest(event.ended, paths):
        return reasons.OTHER_PATCH
    if not set(paths) <= set(judgement_of(event.ended, view).deliver):
        return reasons.OTHER_PATCH
    return ""


def _changes_ci(ended: TurnEnded) -> bool:
    """Such commits could have the repository's secrets sent anywhere; what cannot be read counts as such."""
    return any(path == UNREAD or is_protected(path, CI_PATHS) for path in ended.head_touches)


def _digest(ended: TurnEnded, paths: tuple[str, ...]) -> str:
    """Of the result, the head that it stands on, and the files that go out."""
    return approval_hash("\n".join((ended.snapshot, ended.start.base_sha, *paths)))


def _named(effect: PushResult | OpenPull | PostComment) -> str:
    """The request that an effect's key names."""
    return effect.key.partition(_MARK)[2].partition(":")[0]


def _at(view: View) -> str:
    return view.bot.mention


def _comment(ended: TurnEnded, name: str, said: str) -> PostComment:
    start = ended.start
    return PostComment(
        key=f"{start.turn_id}:said{_MARK}{name}",
        number=start.number,
        body=said,
        review_thread=start.review_thread,
        requester=start.requester.login,
    )
