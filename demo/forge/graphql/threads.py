"""The mutations on review threads, which GitHub offers by GraphQL alone; by the same actions as the pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from demo.forge.actions import reviews
from demo.forge.graphql.asking import Asking
from demo.forge.graphql.writes import Input, Payload, node_of, not_a
from demo.forge.pages.timeline import Thread


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


THREAD_MUTATIONS: Final[Mapping[str, Callable[[Asking, Input], Payload]]] = {
    "addPullRequestReviewThreadReply": reply_to_thread,
    "resolveReviewThread": resolve_review_thread,
    "unresolveReviewThread": unresolve_review_thread,
}


def _thread(asking: Asking, node_id: object) -> Thread:
    found = node_of(asking, node_id)
    if not isinstance(found, Thread):
        raise not_a("PullRequestReviewThread", node_id)
    return found
