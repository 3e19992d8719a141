"""The mutations a bot needs beyond REST; each one calls the same action as REST or the pages would."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from demo.forge.actions import issues, pulls, reviews
from demo.forge.graphql.asking import CONTENT_NAMES, Asking
from demo.forge.graphql.connection import Edge, TypedError, cursor
from demo.forge.pages.timeline import Thread
from demo.forge.state import Comment, Issue, Review, ReviewComment

Input: TypeAlias = Mapping[str, object]
Payload: TypeAlias = Mapping[str, object]


def resolve_review_thread(asking: Asking, given: Input) -> Payload:
    return _resolution(asking, given, resolved=True)


def unresolve_review_thread(asking: Asking, given: Input) -> Payload:
    return _resolution(asking, given, resolved=False)


def _resolution(asking: Asking, given: Input, *, resolved: bool) -> Payload:
    thread = _thread(asking, given["threadId"])
    issue = asking.issue_of(thread.first)
    reviews.resolve(asking.actor, issue, thread_id=thread.first.id, resolved=resolved)
    return {"thread": asking.thread(thread.first)}


def reply_to_thread(asking: Asking, given: Input) -> Payload:
    thread = _thread(asking, given["pullRequestReviewThreadId"])
    issue = asking.issue_of(thread.first)
    said = reviews.reply(asking.actor, issue, thread_id=thread.first.id, body=str(given["body"]))
    return {"comment": said}


def minimize_comment(asking: Asking, given: Input) -> Payload:
    subject = _node(asking, given["subjectId"])
    if not isinstance(subject, Comment | ReviewComment):
        raise _not_a("Minimizable", given["subjectId"])
    return {"minimizedComment": issues.minimize(asking.actor, subject, reason=str(given["classifier"]))}


def unminimize_comment(asking: Asking, given: Input) -> Payload:
    subject = _node(asking, given["subjectId"])
    if not isinstance(subject, Comment | ReviewComment):
        raise _not_a("Minimizable", given["subjectId"])
    return {"unminimizedComment": issues.minimize(asking.actor, subject, reason=None)}


def convert_to_draft(asking: Asking, given: Input) -> Payload:
    return {"pullRequest": pulls.set_draft(asking.actor, _pull(asking, given["pullRequestId"]), draft=True)}


def mark_ready(asking: Asking, given: Input) -> Payload:
    return {"pullRequest": pulls.set_draft(asking.actor, _pull(asking, given["pullRequestId"]), draft=False)}


def add_comment(asking: Asking, given: Input) -> Payload:
    subject = _node(asking, given["subjectId"])
    if not isinstance(subject, Issue):
        raise _not_a("IssueOrPullRequest", given["subjectId"])
    said = issues.comment(asking.actor, subject, body=str(given["body"]))
    last = len(asking.state.comments(subject)) - 1
    return {"commentEdge": Edge(said, cursor(last)), "subject": subject}


def add_reaction(asking: Asking, given: Input) -> Payload:
    subject = _node(asking, given["subjectId"])
    if not isinstance(subject, Issue | Comment | ReviewComment | Review):
        raise _not_a("Reactable", given["subjectId"])
    content = next(known for known, name in CONTENT_NAMES.items() if name == given["content"])
    reaction, _ = issues.react(asking.actor, subject, content=content)
    return {"reaction": reaction, "subject": subject}


MUTATIONS: Final[Mapping[str, Callable[[Asking, Input], Payload]]] = {
    "addComment": add_comment,
    "addPullRequestReviewThreadReply": reply_to_thread,
    "addReaction": add_reaction,
    "convertPullRequestToDraft": convert_to_draft,
    "markPullRequestReadyForReview": mark_ready,
    "minimizeComment": minimize_comment,
    "resolveReviewThread": resolve_review_thread,
    "unminimizeComment": unminimize_comment,
    "unresolveReviewThread": unresolve_review_thread,
}


def _thread(asking: Asking, node_id: object) -> Thread:
    found = _node(asking, node_id)
    if not isinstance(found, Thread):
        raise _not_a("PullRequestReviewThread", node_id)
    return found


def _pull(asking: Asking, node_id: object) -> Issue:
    found = _node(asking, node_id)
    if not isinstance(found, Issue) or found.pull is None:
        raise _not_a("PullRequest", node_id)
    return found


def _node(asking: Asking, node_id: object) -> object:
    found = asking.node(str(node_id))
    if found is None:
        raise TypedError("NOT_FOUND", f"Could not resolve to a node with the global id of '{node_id}'.")
    return found


def _not_a(kind: str, node_id: object) -> TypedError:
    return TypedError("NOT_FOUND", f"Could not resolve to {kind} node with the global id of '{node_id}'.")
