"""The mutations a bot needs beyond REST; each one calls the same action as REST or the pages would."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from demo.forge.actions import issues, pulls
from demo.forge.graphql.asking import CONTENT_NAMES, Asking
from demo.forge.graphql.connection import Edge, TypedError, cursor
from demo.forge.state import Comment, Issue, Review, ReviewComment

Input: TypeAlias = Mapping[str, object]
Payload: TypeAlias = Mapping[str, object]


def minimize_comment(asking: Asking, given: Input) -> Payload:
    subject = node_of(asking, given["subjectId"])
    if not isinstance(subject, Comment | ReviewComment):
        raise not_a("Minimizable", given["subjectId"])
    return {"minimizedComment": issues.minimize(asking.actor, subject, reason=str(given["classifier"]))}


def unminimize_comment(asking: Asking, given: Input) -> Payload:
    subject = node_of(asking, given["subjectId"])
    if not isinstance(subject, Comment | ReviewComment):
        raise not_a("Minimizable", given["subjectId"])
    return {"unminimizedComment": issues.minimize(asking.actor, subject, reason=None)}


def convert_to_draft(asking: Asking, given: Input) -> Payload:
    return {"pullRequest": pulls.set_draft(asking.actor, _pull(asking, given["pullRequestId"]), draft=True)}


def mark_ready(asking: Asking, given: Input) -> Payload:
    return {"pullRequest": pulls.set_draft(asking.actor, _pull(asking, given["pullRequestId"]), draft=False)}


def add_comment(asking: Asking, given: Input) -> Payload:
    subject = node_of(asking, given["subjectId"])
    if not isinstance(subject, Issue):
        raise not_a("IssueOrPullRequest", given["subjectId"])
    said = issues.comment(asking.actor, subject, body=str(given["body"]))
    last = len(asking.state.comments(subject)) - 1
    return {"commentEdge": Edge(said, cursor(last)), "subject": subject}


def add_reaction(asking: Asking, given: Input) -> Payload:
    subject = node_of(asking, given["subjectId"])
    if not isinstance(subject, Issue | Comment | ReviewComment | Review):
        raise not_a("Reactable", given["subjectId"])
    content = next(known for known, name in CONTENT_NAMES.items() if name == given["content"])
    reaction, _ = issues.react(asking.actor, subject, content=content)
    return {"reaction": reaction, "subject": subject}


MUTATIONS: Final[Mapping[str, Callable[[Asking, Input], Payload]]] = {
    "addComment": add_comment,
    "addReaction": add_reaction,
    "convertPullRequestToDraft": convert_to_draft,
    "markPullRequestReadyForReview": mark_ready,
    "minimizeComment": minimize_comment,
    "unminimizeComment": unminimize_comment,
}


def _pull(asking: Asking, node_id: object) -> Issue:
    found = node_of(asking, node_id)
    if not isinstance(found, Issue) or found.pull is None:
        raise not_a("PullRequest", node_id)
    return found


def node_of(asking: Asking, node_id: object) -> object:
    found = asking.node(str(node_id))
    if found is None:
        raise TypedError("NOT_FOUND", f"Could not resolve to a node with the global id of '{node_id}'.")
    return found


def not_a(kind: str, node_id: object) -> TypedError:
    return TypedError("NOT_FOUND", f"Could not resolve to {kind} node with the global id of '{node_id}'.")
