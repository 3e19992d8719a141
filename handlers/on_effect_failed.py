"""Something could not be written to the forge for good: say so where it can still be said."""

from dataclasses import replace
from typing import assert_never

from handlers import reasons
from handlers.comments import Published, Unpublished
from handlers.effects import Effect, Ignore, OpenPull, PostComment, PushResult
from handlers.events import EffectFailed
from handlers.on_companion import is_companion, on_companion_failed
from handlers.on_fork_result import deliver_to_fork
from handlers.on_held_approved import is_held, on_held_failed
from handlers.publish import judgement_of, last_words
from handlers.view import View


def on_effect_failed(event: EffectFailed, view: View) -> list[Effect]:
    judgement = judgement_of(event.ended, view)
    effect = event.effect
    if is_held(effect):
        return on_held_failed(event, view)
    if is_companion(effect):
        return on_companion_failed(event, view)
    match effect:
        case PushResult() if effect.fork is not None:
            return deliver_to_fork(event.ended, view, judgement, push=event)
        case PushResult():
            return last_words(
                event.ended, view, Unpublished("unavailable", event.detail), judgement=judgement
            )
        case OpenPull():
            sha = event.pushed.sha if event.pushed else ""
            paths = event.pushed.push.paths if event.pushed else ()
            published = Published(branch=effect.head, sha=sha, pull_fault=event.detail)
            return last_words(event.ended, view, published, judgement=judgement.with_delivered(paths))
        case PostComment():
            if effect.review_thread is None:
                return [Ignore(key=f"{effect.key}:lost", reason=reasons.NOT_SAID)]
            # The review thread is gone, or closed to us; the conversation is still there.
            return [replace(effect, key=f"{effect.key}:conversation", review_thread=None)]
        case _:
            assert_never(effect)
