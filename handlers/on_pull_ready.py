"""The pull request is open: tell everyone where the result is."""

from typing import Literal

from handlers.comments import Published
from handlers.effects import Effect, StartTurn
from handlers.events import PullReady
from handlers.on_companion import is_companion, on_companion_ready
from handlers.on_held_approved import is_held, on_held_pull_ready
from handlers.publish import judgement_of, last_words
from handlers.view import View


def on_pull_ready(event: PullReady, view: View) -> list[Effect]:
    if is_held(event.pushed.push):
        return on_held_pull_ready(event, view)
    if is_companion(event.pushed.push):
        return on_companion_ready(event, view)
    ended = event.pushed.ended
    push = event.pushed.push
    published = Published(
        branch=push.branch,
        sha=event.pushed.sha,
        pull_number=event.number,
        pull_url=event.url,
        detour=_detour(push.key, ended.start),
    )
    return last_words(ended, view, published, judgement=judgement_of(ended, view).with_delivered(push.paths))


def _detour(
    push_key: str, start: StartTurn
) -> Literal["head_moved", "branch_protected", "default_branch", "second_attempt", ""]:
    """Why there is a companion: its push is named after what led to it."""
    if start.follows and start.is_pull:
        return "second_attempt"
    if not start.is_pull and not push_key.endswith((":head_moved", ":branch_protected")):
        return ""
    if push_key.endswith(":branch_protected"):
        return "branch_protected"
    if push_key.endswith(":default_branch"):
        return "default_branch"
    return "head_moved"
