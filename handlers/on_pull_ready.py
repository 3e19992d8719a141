"""The pull request is open: tell everyone where the result is."""

from typing import Literal

from handlers.comments import Published
from handlers.effects import Effect
from handlers.events import PullReady
from handlers.on_held_approved import is_held, on_held_pull_ready
from handlers.publish import judgement_of, last_words
from handlers.view import View


def on_pull_ready(event: PullReady, view: View) -> list[Effect]:
    if is_held(event.pushed.push):
        return on_held_pull_ready(event, view)
    ended = event.pushed.ended
    push = event.pushed.push
    published = Published(
        branch=push.branch,
        sha=event.pushed.sha,
        pull_number=event.number,
        pull_url=event.url,
        detour=_detour(push.key) if ended.start.is_pull else "",
    )
    return last_words(ended, view, published, judgement=judgement_of(ended, view).with_delivered(push.paths))


def _detour(push_key: str) -> Literal["head_moved", "branch_protected", "default_branch"]:
    """Why there is a companion: its push is named after what led to it."""
    if push_key.endswith(":branch_protected"):
        return "branch_protected"
    if push_key.endswith(":default_branch"):
        return "default_branch"
    return "head_moved"
