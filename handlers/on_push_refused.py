"""The forge did not take the commit: offer it beside the pull request, or say what stands in the way."""

from dataclasses import replace

from handlers.branches import own_branch
from handlers.comments import Unpublished
from handlers.effects import Effect
from handlers.events import PushRefused
from handlers.on_companion import is_companion, on_companion_not_pushed
from handlers.on_fork_result import deliver_to_fork
from handlers.on_held_approved import is_held, on_held_not_pushed
from handlers.publish import judgement_of, last_words
from handlers.view import View


def on_push_refused(event: PushRefused, view: View) -> list[Effect]:
    """A head that moved is never overwritten: the result goes to a companion branch instead."""
    if is_held(event.push):
        return on_held_not_pushed(event, view)
    if is_companion(event.push):
        return on_companion_not_pushed(event, view)
    start = event.ended.start
    if start.ci is not None and event.reason == "head_moved" and event.detail and not event.push.replays:
        key = f"{start.turn_id}:push:replay"
        moved = event.detail
        return [replace(event.push, key=key, parent=moved, expected=moved, replays=True)]
    if event.push.fork is not None:
        return deliver_to_fork(event.ended, view, judgement_of(event.ended, view), push=event)
    companion = own_branch(start)
    # Of a repair there is one place, and the new head's checks decide anew: its work is shown as a patch.
    is_meant_for_one = (start.is_pull or bool(start.onto)) and start.ci is None
    if is_meant_for_one and event.push.branch != companion and event.reason != "denied":
        key = f"{start.turn_id}:push:{event.reason}"
        return [replace(event.push, key=key, branch=companion, expected=None)]
    unpublished = Unpublished(event.reason, event.detail)
    return last_words(event.ended, view, unpublished, judgement=judgement_of(event.ended, view))
