"""Reactions to issues, comments and review comments over REST."""

from __future__ import annotations

from collections.abc import Callable

from demo.forge import shapes
from demo.forge.actions import issues as act
from demo.forge.rest.call import NO_CONTENT, Answer, Call, Operation, Route, operation
from demo.forge.state import Comment, Issue, ReviewComment

Subject = Issue | Comment | ReviewComment
Finder = Callable[[Call], Subject]


def _issue(call: Call) -> Subject:
    return call.issue


def _comment(call: Call) -> Subject:
    return call.named(Comment, "comment_id")


def _review_comment(call: Call) -> Subject:
    return call.named(ReviewComment, "comment_id")


def listing(find: Finder) -> Route:
    def route(call: Call) -> Answer:
        subject = find(call)
        given = call.state.reactions(act.subject_kind(subject), subject.id)
        if content := call.query.get("content"):
            given = [reaction for reaction in given if reaction.content == content]
        return call.listing(given, lambda reaction: shapes.reaction(call.state, reaction))

    return route


def creating(find: Finder) -> Route:
    """201 for a new reaction, 200 for one that was there."""

    def route(call: Call) -> Answer:
        reaction, is_new = act.react(call.actor, find(call), content=call.required("content"))
        return Answer(status=201 if is_new else 200, body=shapes.reaction(call.state, reaction))

    return route


def deleting(find: Finder) -> Route:
    def route(call: Call) -> Answer:
        act.unreact(call.actor, find(call), reaction_id=int(call.params["reaction_id"]))
        return NO_CONTENT

    return route


def _three(subject: str, path: str, find: Finder, *, deletes: str) -> tuple[Operation, ...]:
    base = f"/repos/{{owner}}/{{repo}}/{path}/reactions"
    return (
        operation(f"reactions/list-for-{subject}", "GET", base, route=listing(find)),
        operation(f"reactions/create-for-{subject}", "POST", base, route=creating(find)),
        operation(
            f"reactions/delete-for-{deletes}", "DELETE", f"{base}/{{reaction_id}}", route=deleting(find)
        ),
    )


OPERATIONS: tuple[Operation, ...] = (
    *_three("issue", "issues/{issue_number}", _issue, deletes="issue"),
    *_three("issue-comment", "issues/comments/{comment_id}", _comment, deletes="issue-comment"),
    *_three(
        "pull-request-review-comment",
        "pulls/comments/{comment_id}",
        _review_comment,
        deletes="pull-request-comment",
    ),
)
