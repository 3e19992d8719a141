"""From an event and a view to the effects: the registry of handlers, one a behaviour. Pure.

Every path answers with at least one effect; a decision to do nothing is an `Ignore` that says why.
"""

from typing import assert_never

from handlers import reasons
from handlers.effects import Effect
from handlers.events import (
    ButtonPressed,
    CommentDeleted,
    EffectFailed,
    Event,
    HeldApproved,
    IssueCommented,
    OperatorAsked,
    Pinged,
    PullReady,
    PushRefused,
    ResultPushed,
    ReviewCommented,
    SubjectClosed,
    SubjectFound,
    SubjectOpened,
    TurnEnded,
    TurnEvent,
    UndoEnded,
    Unhandled,
)
from handlers.ingest import ignored
from handlers.on_button import on_button
from handlers.on_effect_failed import on_effect_failed
from handlers.on_held_approved import on_held_approved
from handlers.on_mention import on_mention
from handlers.on_operator import on_operator
from handlers.on_pull_ready import on_pull_ready
from handlers.on_push_refused import on_push_refused
from handlers.on_result_pushed import on_result_pushed
from handlers.on_subject_gone import on_subject_gone
from handlers.on_turn_end import on_turn_end
from handlers.on_undo_ended import on_undo_ended
from handlers.view import View


def dispatch(event: Event, view: View) -> list[Effect]:
    """What is to be done about `event`, in order. The same event and view always give the same effects."""
    match event:
        case IssueCommented() | ReviewCommented() | SubjectOpened():
            return on_mention(event, view)
        case ButtonPressed():
            return on_button(event, view)
        case OperatorAsked():
            return on_operator(event, view)
        case UndoEnded():
            return on_undo_ended(event, view)
        case SubjectClosed() | SubjectFound() | CommentDeleted():
            return on_subject_gone(event, view)
        case Pinged():
            return [ignored(event, reasons.PINGED)]
        case Unhandled():
            return [ignored(event, reasons.UNHANDLED)]
        case _:
            return _of_turn(event, view)


def _of_turn(event: TurnEvent, view: View) -> list[Effect]:
    """What goes back to the end of a turn."""
    match event:
        case TurnEnded():
            return on_turn_end(event, view)
        case ResultPushed():
            return on_result_pushed(event, view)
        case PushRefused():
            return on_push_refused(event, view)
        case PullReady():
            return on_pull_ready(event, view)
        case HeldApproved():
            return on_held_approved(event, view)
        case EffectFailed():
            return on_effect_failed(event, view)
        case _:
            assert_never(event)
