"""From an event and a view to the effects: the registry of handlers, one a behaviour. Pure.

Every path answers with at least one effect; a decision to do nothing is an `Ignore` that says why.
"""

from typing import assert_never

from handlers import reasons
from handlers.effects import Effect, Ignore
from handlers.events import (
    ButtonPressed,
    CheckReported,
    ChecksDue,
    CommentDeleted,
    EffectFailed,
    Event,
    HeldApproved,
    IssueCommented,
    OperatorAsked,
    Pinged,
    PullChanged,
    PullReady,
    PushRefused,
    ResultPushed,
    ReviewCommented,
    ReviewPosted,
    SubjectClosed,
    SubjectFound,
    SubjectOpened,
    SuggestionsPosted,
    ThreadSettled,
    TurnEnded,
    TurnEvent,
    UndoEnded,
    Unhandled,
)
from handlers.grammar import Review, parse_command
from handlers.ingest import ignored, is_plain_reply, request_of, triage, why_no_request
from handlers.on_button import on_button
from handlers.on_checks import on_checks
from handlers.on_companion import on_companion_approved
from handlers.on_effect_failed import on_effect_failed
from handlers.on_fork_result import on_suggestions_posted
from handlers.on_held_approved import on_held_approved
from handlers.on_mention import on_mention, on_plain_reply
from handlers.on_operator import on_operator
from handlers.on_pull_ready import on_pull_ready
from handlers.on_push_refused import on_push_refused
from handlers.on_result_pushed import on_result_pushed
from handlers.on_review import on_pull_changed, on_review_end, on_review_posted, on_thread_settled
from handlers.on_subject_gone import on_subject_gone
from handlers.on_turn_end import on_turn_end
from handlers.on_undo_ended import on_undo_ended
from handlers.view import View


def dispatch(event: Event, view: View) -> list[Effect]:
    """What is to be done about `event`, in order. The same event and view always give the same effects."""
    match event:
        case SubjectOpened():
            return _opened(event, view)
        case ReviewCommented() if is_plain_reply(event) and request_of(event, view.bot) is None:
            return on_plain_reply(event, view)
        case IssueCommented() | ReviewCommented():
            return on_mention(event, view)
        case PullChanged():
            set_aside = triage(event, view.bot)
            return on_pull_changed(event, view) if set_aside is None else [set_aside]
        case ThreadSettled():
            set_aside = triage(event, view.bot)
            return on_thread_settled(event, view) if set_aside is None else [set_aside]
        case ButtonPressed():
            return on_button(event, view)
        case CheckReported() | ChecksDue():
            return on_checks(event, view)
        case OperatorAsked():
            return on_operator(event, view)
        case UndoEnded():
            return on_undo_ended(event, view)
        case SubjectClosed() | SubjectFound() | CommentDeleted():
            return on_subject_gone(event, view)
        case Pinged() | Unhandled():
            is_ping = isinstance(event, Pinged)
            return [ignored(event, reasons.PINGED if is_ping else reasons.UNHANDLED)]
        case _:
            return _of_turn(event, view)


def _opened(event: SubjectOpened, view: View) -> list[Effect]:
    """A new pull request may be reviewed, and its text may ask for something besides."""
    asks = why_no_request(event, view.bot) is None
    is_new_pull = event.subject.is_pull and event.edited_from is None
    if not is_new_pull or triage(event, view.bot) is not None:
        return on_mention(event, view)
    if not asks:
        return on_pull_changed(event, view)
    text = request_of(event, view.bot) or ""
    if isinstance(parse_command(text), Review):
        return on_mention(event, view)
    begun = [effect for effect in on_pull_changed(event, view) if not isinstance(effect, Ignore)]
    return [*on_mention(event, view), *begun]


def _of_turn(event: TurnEvent, view: View) -> list[Effect]:
    """What goes back to the end of a turn."""
    match event:
        case TurnEnded(start=start):
            return on_review_end(event, view) if start.kind == "review" else on_turn_end(event, view)
        case ReviewPosted():
            return on_review_posted(event, view)
        case SuggestionsPosted():
            return on_suggestions_posted(event, view)
        case ResultPushed():
            return on_result_pushed(event, view)
        case PushRefused():
            return on_push_refused(event, view)
        case PullReady():
            return on_pull_ready(event, view)
        case HeldApproved(kind="companion"):
            return on_companion_approved(event, view)
        case HeldApproved():
            return on_held_approved(event, view)
        case EffectFailed():
            return on_effect_failed(event, view)
        case _:
            assert_never(event)
