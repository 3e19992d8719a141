"""Reviews and review comments over REST."""

from __future__ import annotations

from collections.abc import Mapping

from demo.forge import shapes
from demo.forge.actions import reviews as act
from demo.forge.refusals import Refused, invalid
from demo.forge.rest.call import NO_CONTENT, Answer, Call, Operation, not_supplied, operation, wrong_type
from demo.forge.shapes import Json
from demo.forge.state import Review, ReviewComment, Side


def _review(call: Call, made: Review) -> Answer:
    return Answer(body=shapes.review(call.state, call.repo, of=made))


def _comment(call: Call, said: ReviewComment) -> Json:
    return shapes.review_comment(call.state, call.repo, of=said)


def _described(call: Call, said: ReviewComment) -> Json:
    """Without the nulls: they were only ever seen where comments are read, and are described nowhere."""
    places = {"line", "original_line", "position", "original_position"}
    shape = _comment(call, said)
    return {name: value for name, value in shape.items() if value is not None or name not in places}


def _is_visible(call: Call, made: Review) -> bool:
    """A pending review is its author's secret."""
    return made.state != "PENDING" or (call.viewer.user is not None and made.author_id == call.viewer.user.id)


def list_reviews(call: Call) -> Answer:
    reviews = [made for made in call.state.reviews(call.pull) if _is_visible(call, made)]
    return call.listing(reviews, lambda made: shapes.review(call.state, call.repo, of=made))


def create_review(call: Call) -> Answer:
    made = act.review(
        call.actor,
        call.pull,
        event=_event(call),
        body=call.text("body") or "",
        comments=[_draft(one) for one in call.objects("comments") or ()],
        commit_sha=call.text("commit_id"),
    )
    return _review(call, made)


def _event(call: Call) -> act.ReviewEvent | None:
    match call.text("event"):
        case None | "PENDING":
            return None
        case "APPROVE":
            return "APPROVE"
        case "REQUEST_CHANGES":
            return "REQUEST_CHANGES"
        case "COMMENT":
            return "COMMENT"
        case other:
            raise invalid("PullRequestReview", "invalid", field="event", value=other)


def _draft(given: Mapping[str, object]) -> act.Draft:
    for name in ("path", "body"):
        if not isinstance(given.get(name), str):
            raise not_supplied(name)
    return act.Draft(
        path=str(given["path"]),
        body=str(given["body"]),
        line=_integer(given, "line"),
        side=_side(given, "side") or "RIGHT",
        start_line=_integer(given, "start_line"),
        start_side=_side(given, "start_side"),
        position=_integer(given, "position"),
        whole_file=given.get("subject_type") == "file",
    )


def _integer(given: Mapping[str, object], name: str) -> int | None:
    value = given.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise wrong_type(name, value, "integer")


def _side(given: Mapping[str, object], name: str) -> Side | None:
    match given.get(name):
        # `side` says: the same as that of the last line.
        case None | "side":
            return None
        case "LEFT":
            return "LEFT"
        case "RIGHT":
            return "RIGHT"
        case other:
            raise wrong_type(name, other, "member of [LEFT, RIGHT]")


def get_review(call: Call) -> Answer:
    return _review(call, call.review())


def update_review(call: Call) -> Answer:
    return _review(call, act.edit_review(call.actor, call.review(), body=call.required("body")))


def delete_review(call: Call) -> Answer:
    return _review(call, act.delete_pending(call.actor, call.review()))


def submit_review(call: Call) -> Answer:
    event = _event(call)
    if event is None:
        raise not_supplied("event")
    return _review(call, act.submit(call.actor, call.review(), event=event, body=call.text("body")))


def dismiss_review(call: Call) -> Answer:
    return _review(call, act.dismiss(call.actor, call.review(), message=call.required("message")))


def list_comments_of_review(call: Call) -> Answer:
    """The older shape: at positions, without lines."""
    made = call.review()
    comments = list(call.state.where(ReviewComment, review_id=made.id))
    return call.listing(comments, lambda said: _comment(call, said))


def _published(call: Call, comments: list[ReviewComment]) -> list[ReviewComment]:
    pending = {made.id for made in call.state.where(Review, repo_id=call.repo.id, state="PENDING")}
    return [said for said in comments if said.review_id not in pending]


def list_comments(call: Call) -> Answer:
    comments = _published(call, call.state.review_comments(call.pull))
    return call.listing(comments, lambda said: _comment(call, said))


def list_repo_comments(call: Call) -> Answer:
    comments = _published(call, list(call.state.where(ReviewComment, repo_id=call.repo.id)))
    return call.listing(comments, lambda said: _described(call, said))


def create_comment(call: Call) -> Answer:
    in_reply_to = call.number("in_reply_to")
    if in_reply_to is not None:
        said = act.reply(call.actor, call.pull, thread_id=in_reply_to, body=call.required("body"))
    else:
        missing = [name for name in ("body", "commit_id", "path") if call.text(name) is None]
        if missing:
            raise not_supplied(*missing)
        draft = _draft(call.members)
        said = act.comment(call.actor, call.pull, draft=draft, commit_sha=call.required("commit_id"))
    body = _described(call, said)
    return Answer(status=201, body=body, headers={"location": str(body["url"])})


def reply(call: Call) -> Answer:
    text = call.params["comment_id"]
    if not text.isdecimal():
        raise Refused(404, "Not Found")
    said = act.reply(call.actor, call.pull, thread_id=int(text), body=call.required("body"))
    body = _described(call, said)
    return Answer(status=201, body=body, headers={"location": str(body["url"])})


def get_comment(call: Call) -> Answer:
    return Answer(body=_comment(call, call.named(ReviewComment, "comment_id")))


def update_comment(call: Call) -> Answer:
    said = call.named(ReviewComment, "comment_id")
    return Answer(body=_described(call, act.edit_comment(call.actor, said, body=call.required("body"))))


def delete_comment(call: Call) -> Answer:
    act.delete_comment(call.actor, call.named(ReviewComment, "comment_id"))
    return NO_CONTENT


_REPO = "/repos/{owner}/{repo}"
_PULL = f"{_REPO}/pulls/{{pull_number}}"
_REVIEW = f"{_PULL}/reviews/{{review_id}}"
_COMMENT = f"{_REPO}/pulls/comments/{{comment_id}}"

OPERATIONS: tuple[Operation, ...] = (
    operation("pulls/list-reviews", "GET", f"{_PULL}/reviews", route=list_reviews),
    operation("pulls/create-review", "POST", f"{_PULL}/reviews", route=create_review),
    operation("pulls/get-review", "GET", _REVIEW, route=get_review),
    operation("pulls/update-review", "PUT", _REVIEW, route=update_review),
    operation("pulls/delete-pending-review", "DELETE", _REVIEW, route=delete_review),
    operation("pulls/submit-review", "POST", f"{_REVIEW}/events", route=submit_review),
    operation("pulls/dismiss-review", "PUT", f"{_REVIEW}/dismissals", route=dismiss_review),
    operation("pulls/list-comments-for-review", "GET", f"{_REVIEW}/comments", route=list_comments_of_review),
    operation("pulls/list-review-comments", "GET", f"{_PULL}/comments", route=list_comments),
    operation("pulls/create-review-comment", "POST", f"{_PULL}/comments", route=create_comment),
    operation(
        "pulls/create-reply-for-review-comment",
        "POST",
        f"{_PULL}/comments/{{comment_id}}/replies",
        route=reply,
    ),
    operation(
        "pulls/list-review-comments-for-repo", "GET", f"{_REPO}/pulls/comments", route=list_repo_comments
    ),
    operation("pulls/get-review-comment", "GET", _COMMENT, route=get_comment),
    operation("pulls/update-review-comment", "PATCH", _COMMENT, route=update_comment),
    operation("pulls/delete-review-comment", "DELETE", _COMMENT, route=delete_comment),
)
