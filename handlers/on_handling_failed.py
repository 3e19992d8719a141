"""Darner itself could not decide about an event: whoever waits for an answer gets one all the same."""

from handlers import comments
from handlers.asked import answer_to, by_operator
from handlers.effects import Effect, Ignore, PostComment
from handlers.events import (
    ButtonPressed,
    CheckReported,
    ChecksDue,
    CommentDeleted,
    Event,
    IssueCommented,
    OperatorAsked,
    Pinged,
    PullChanged,
    ReviewCommented,
    SubjectClosed,
    SubjectFound,
    SubjectOpened,
    ThreadSettled,
    UndoEnded,
    Unhandled,
    ended_of,
)
from handlers.ingest import act_of
from handlers.on_mention import answered
from handlers.publish import final_comment


def on_handling_failed(event: Event, *, fault: str) -> list[Effect]:
    """`fault` is for people: what was in the way, or the reference under which the log tells."""
    if isinstance(event, ChecksDue):
        return _checks_not_looked_at(event, fault)
    if isinstance(event, SubjectFound):
        # Nobody asked: the next look finds it again.
        return []
    if isinstance(
        event,
        Pinged
        | Unhandled
        | ButtonPressed
        | SubjectClosed
        | CommentDeleted
        | PullChanged
        | ThreadSettled
        | CheckReported,
    ):
        return [Ignore(key=f"{act_of(event)}:failed", reason=fault)]
    text = comments.not_decided(fault)
    if isinstance(event, IssueCommented | ReviewCommented | SubjectOpened):
        return answered(event, text, "confused")
    if isinstance(event, OperatorAsked):
        return answer_to(by_operator(event), text, "confused")
    if isinstance(event, UndoEnded):
        undo = event.undo
        key = f"{undo.key}:failed"
        return [PostComment(key=key, number=undo.number, body=text, requester=undo.requester)]
    return [final_comment(ended_of(event).start, text)]


def _checks_not_looked_at(event: ChecksDue, fault: str) -> list[Effect]:
    """Whoever asked is told; where nobody did, the next check that ends is reason for another look."""
    asked = event.asked
    if asked is None:
        return [Ignore(key=f"ci/{event.repository_id}/{event.sha}/{event.round}:failed", reason=fault)]
    return [
        PostComment(
            key=f"{asked.act}:answer",
            number=event.number,
            body=comments.not_decided(fault),
            review_thread=asked.review_thread,
            requester=asked.by.login,
        )
    ]
