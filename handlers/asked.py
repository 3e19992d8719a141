"""Who asks for something, by whichever door: a text at the forge, a button of a check run, the command line.

What answers them is the same for all three: a reaction where there is a text, and a comment.
"""

from dataclasses import dataclass
from typing import Literal, assert_never

from handlers.effects import Effect, PostComment, React, ReactionTarget, Requester, StartTurn, Trigger
from handlers.events import ButtonPressed, IssueCommented, OperatorAsked, ReviewCommented, SubjectOpened
from handlers.ingest import act_of
from handlers.view import View

Mentioning = IssueCommented | ReviewCommented | SubjectOpened
OPERATOR = "the operator"
"""Who a turn hears from when it was said at the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    act: str
    """Begins the keys of all effects."""
    author: str
    """Login, or `OPERATOR`."""
    number: int
    review_thread: int | None
    text: ReactionTarget | None
    """Where a reaction can go; None where nobody wrote anything."""
    requester: Requester | None
    """None: whoever asked for the turn before."""
    trigger: Trigger | None
    """None: that of the turn before."""
    lead: str = ""
    """Begins the answer where it does not stand below what was asked."""


def by_text(event: Mentioning, view: View) -> Asked:
    trigger = trigger_of(event)
    return Asked(
        act=act_of(event),
        author=event.actor.login,
        number=event.subject.number,
        review_thread=event.thread_root if isinstance(event, ReviewCommented) else None,
        text=ReactionTarget(trigger.kind, trigger.id),
        requester=Requester(event.actor.id, event.actor.login, view.permission),
        trigger=trigger,
    )


def by_button(event: ButtonPressed, view: View, start: StartTurn) -> Asked:
    """`start` is the turn whose check run it is."""
    return Asked(
        act=act_of(event),
        author=event.actor.login,
        number=start.number,
        review_thread=start.review_thread,
        text=None,
        requester=Requester(event.actor.id, event.actor.login, view.permission),
        trigger=None,
        lead=lead_of(event),
    )


def lead_of(event: ButtonPressed) -> str:
    return f"Asked by {event.actor.login} with a button. "


def by_operator(event: OperatorAsked) -> Asked:
    return Asked(
        act=event.key,
        author=OPERATOR,
        number=event.start.number,
        review_thread=None,
        text=None,
        requester=None,
        trigger=None,
        lead="Asked by the operator. ",
    )


def answer_to(asked: Asked, body: str, reaction: Literal["+1", "confused", "eyes"] = "+1") -> list[Effect]:
    """A reaction and one comment, where it was asked."""
    return [*reaction_to(asked, reaction), comment_to(asked, body)]


def reaction_to(asked: Asked, content: Literal["+1", "confused", "eyes"]) -> list[Effect]:
    if asked.text is None:
        return []
    return [React(key=f"{asked.act}:react", target=asked.text, content=content)]


def comment_to(asked: Asked, body: str) -> PostComment:
    return PostComment(
        key=f"{asked.act}:answer",
        number=asked.number,
        body=f"{asked.lead}{body}",
        review_thread=asked.review_thread,
        requester=asked.author if asked.author != OPERATOR else "",
    )


def trigger_of(event: Mentioning) -> Trigger:
    match event:
        case IssueCommented():
            return Trigger("issue_comment", event.comment.id, event.comment.url, event.comment.updated_at)
        case ReviewCommented():
            return Trigger("review_comment", event.comment.id, event.comment.url, event.comment.updated_at)
        case SubjectOpened():
            return Trigger("subject", event.subject.number, event.subject.url, event.updated_at)
        case _:
            assert_never(event)
