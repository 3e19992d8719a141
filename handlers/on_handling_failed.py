"""Darner itself could not decide about an event: whoever waits for an answer gets one all the same."""

from handlers import comments
from handlers.effects import Effect, Ignore, PostComment
from handlers.events import (
    Event,
    IssueCommented,
    Pinged,
    ReviewCommented,
    SubjectOpened,
    Unhandled,
    ended_of,
)
from handlers.ingest import act_of
from handlers.on_mention import answered


def on_handling_failed(event: Event, *, fault: str) -> list[Effect]:
    """`fault` is for people: what was in the way, or the reference under which the log tells."""
    if isinstance(event, Pinged | Unhandled):
        return [Ignore(key=f"{act_of(event)}:failed", reason=fault)]
    text = comments.not_decided(fault)
    if isinstance(event, IssueCommented | ReviewCommented | SubjectOpened):
        return answered(event, text, "confused")
    start = ended_of(event).start
    return [
        PostComment(
            key=f"{start.turn_id}:final",
            number=start.number,
            body=text,
            review_thread=start.review_thread,
            requester=start.requester.login,
        )
    ]
