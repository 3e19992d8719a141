"""What people do in reviews: judge, comment on lines, reply, resolve, dismiss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from demo.forge import shapes
from demo.forge.actions.actor import ADMIN_RIGHTS, CONTENTS_WRITE, PULLS_WRITE, Actor
from demo.forge.actions.issues import check_body, note
from demo.forge.announce import announce
from demo.forge.diff import Anchor, anchors, line_at
from demo.forge.git import FileChange, Git
from demo.forge.refusals import ForgeError, Refused, invalid, not_found, unprocessable
from demo.forge.shapes import Json, pull_of
from demo.forge.state import (
    Issue,
    Repository,
    Review,
    ReviewComment,
    ReviewState,
    Side,
    ThreadResolution,
)

ReviewEvent = Literal["APPROVE", "REQUEST_CHANGES", "COMMENT"]
_STATES: Mapping[ReviewEvent, ReviewState] = {
    "APPROVE": "APPROVED",
    "REQUEST_CHANGES": "CHANGES_REQUESTED",
    "COMMENT": "COMMENTED",
}


FOREIGN_COMMIT = "commit_id is not part of the pull request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A comment to be put on a line, on lines, at a legacy position, or on a whole file."""

    path: str
    body: str
    line: int | None = None
    side: Side = "RIGHT"
    start_line: int | None = None
    start_side: Side | None = None
    position: int | None = None
    whole_file: bool = False


class Unanchored(ForgeError):
    """The draft points at nothing in the diff; `what` is the part that could not be resolved."""

    def __init__(self, what: Literal["path", "line", "start_line"]) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    draft: Draft
    line: int | None
    side: Side
    position: int | None
    diff_hunk: str


def review(
    actor: Actor,
    issue: Issue,
    *,
    event: ReviewEvent | None = None,
    body: str = "",
    comments: Sequence[Draft] = (),
    commit_sha: str | None = None,
) -> Review:
    """Submit a review, or begin a pending one when there is no event. One bad anchor refuses all of it."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, issue.repo_id)
        actor.require(repo, needs=PULLS_WRITE)
        sha = _commit_in(actor, repo, issue, commit_sha)
        if sha is None:
            raise unprocessable(FOREIGN_COMMIT)
        _refuse_review(actor, issue, event=event, body=body, comments=comments)
        placed = [_place_or_refuse(actor, repo, issue=issue, sha=sha, draft=draft) for draft in comments]
        made = state.put(
            Review(
                id=state.next_id(),
                repo_id=repo.id,
                issue_id=issue.id,
                author_id=actor.user.id,
                body=body,
                state="PENDING",
                commit_sha=sha,
                submitted_at=None,
            )
        )
        for one in placed:
            _write(actor, repo, issue=issue, review_=made, sha=sha, placed=one)
        return made if event is None else _submitted(actor, repo, issue=issue, made=made, event=event)


def submit(actor: Actor, made: Review, *, event: ReviewEvent, body: str | None = None) -> Review:
    """Send a pending review."""
    state = actor.state
    with state.lock:
        issue, repo = _place_of(actor, made)
        actor.require(repo, needs=PULLS_WRITE)
        if made.state != "PENDING" or made.author_id != actor.user.id:
            raise unprocessable("Can not submit a review that is not pending")
        said = made.body if body is None else body
        comments = list(state.where(ReviewComment, review_id=made.id))
        _refuse_verdict(actor, issue, event=event, body=said, has_comments=bool(comments))
        made = state.put(replace(made, body=said))
        return _submitted(actor, repo, issue=issue, made=made, event=event)


def edit_review(actor: Actor, made: Review, *, body: str) -> Review:
    with actor.state.lock:
        _, repo = _place_of(actor, made)
        _require_own(actor, repo, author_id=made.author_id)
        check_body("PullRequestReview", body, required=True)
        return actor.state.put(replace(made, body=body))


def dismiss(actor: Actor, made: Review, *, message: str) -> Review:
    state = actor.state
    with state.lock:
        issue, repo = _place_of(actor, made)
        actor.require(repo, needs=PULLS_WRITE, role="write")
        if made.state not in {"APPROVED", "CHANGES_REQUESTED"}:
            raise unprocessable(
                f"Can not dismiss a {made.state.lower().replace('_', ' ')} pull request review"
            )
        dismissed = state.put(replace(made, state="DISMISSED", dismissal=message))
        note(actor, issue, event="review_dismissed")
        _tell_review(actor, repo, issue=issue, made=dismissed, action="dismissed")
        return dismissed


def delete_pending(actor: Actor, made: Review) -> Review:
    state = actor.state
    with state.lock:
        _, repo = _place_of(actor, made)
        actor.require(repo, needs=PULLS_WRITE)
        if made.state != "PENDING" or made.author_id != actor.user.id:
            raise unprocessable("Can not delete a non-pending pull request review")
        for said in list(state.where(ReviewComment, review_id=made.id)):
            state.delete(said)
        state.delete(made)
        return made


def comment(actor: Actor, issue: Issue, *, draft: Draft, commit_sha: str) -> ReviewComment:
    """One comment on the diff, in a review of its own."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, issue.repo_id)
        actor.require(repo, needs=PULLS_WRITE)
        check_body("PullRequestReviewComment", draft.body, required=True)
        sha = _commit_in(actor, repo, issue, commit_sha)
        if sha is None:
            resource = "PullRequestReviewComment"
            raise invalid(resource, "custom", field="commit_id", message=FOREIGN_COMMIT)
        try:
            placed = _place(actor, repo, issue=issue, sha=sha, draft=draft)
        except Unanchored as failure:
            raise _not_in_diff(failure) from failure
        return _alone(actor, repo, issue=issue, sha=sha, placed=placed)


def comment_line(actor: Actor, issue: Issue, *, path: str, side: Side, line: int, body: str) -> ReviewComment:
    """A comment on a line of the present head."""
    draft = Draft(path=path, side=side, line=line, body=body)
    return comment(actor, issue, draft=draft, commit_sha=pull_of(issue).head_sha)


def reply(actor: Actor, issue: Issue, *, thread_id: int, body: str) -> ReviewComment:
    """Answer in the thread whose first comment has this id."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, issue.repo_id)
        actor.require(repo, needs=PULLS_WRITE)
        check_body("PullRequestReviewComment", body, required=True)
        first = state.find(ReviewComment, thread_id)
        if first is None or first.issue_id != issue.id or first.thread_id != first.id:
            raise not_found()
        answer = replace(
            first,
            id=state.next_id(),
            author_id=actor.user.id,
            body=body,
            created_at=state.clock(),
            updated_at=state.clock(),
            minimized_reason=None,
        )
        made = _review_around(actor, repo, issue=issue, sha=first.commit_sha)
        said = state.put(replace(answer, review_id=made.id))
        _submitted(actor, repo, issue=issue, made=made, event="COMMENT")
        return said


def edit_comment(actor: Actor, said: ReviewComment, *, body: str) -> ReviewComment:
    state = actor.state
    with state.lock:
        issue, repo = _place_of(actor, said)
        _require_own(actor, repo, author_id=said.author_id)
        check_body("PullRequestReviewComment", body, required=True)
        if body == said.body:
            return said
        edited = state.put(replace(said, body=body, updated_at=state.clock()))
        changes: Json = {"changes": {"body": {"from": said.body}}}
        _tell_comment(actor, repo, issue=issue, said=edited, action="edited", members=changes)
        return edited


def delete_comment(actor: Actor, said: ReviewComment) -> None:
    state = actor.state
    with state.lock:
        issue, repo = _place_of(actor, said)
        _require_own(actor, repo, author_id=said.author_id)
        _tell_comment(actor, repo, issue=issue, said=said, action="deleted")
        for reaction in state.reactions("review_comment", said.id):
            state.delete(reaction)
        state.delete(said)


def resolve(actor: Actor, issue: Issue, *, thread_id: int, resolved: bool) -> None:
    """Resolve or unresolve a thread. An App needs `contents: write` for this, as found in practice."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, issue.repo_id)
        mine = issue.author_id == actor.user.id
        actor.require(repo, needs=CONTENTS_WRITE, role="read" if mine else "write")
        first = state.find(ReviewComment, thread_id)
        if first is None or first.issue_id != issue.id or first.thread_id != first.id:
            raise not_found()
        present = state.find(ThreadResolution, thread_id)
        if (present is not None) == resolved:
            return
        if present is not None:
            state.delete(present)
        else:
            state.put(ThreadResolution(id=thread_id, resolved_by_id=actor.user.id, resolved_at=state.clock()))
        thread = [said for said in state.review_comments(issue) if said.thread_id == thread_id]
        members: Json = {
            "pull_request": shapes.pull_simple(state, repo, of=issue),
            "thread": {
                "node_id": shapes.node_id("PullRequestReviewThread", thread_id),
                "comments": [shapes.webhook_review_comment(state, repo, of=said) for said in thread],
            },
        }
        action = "resolved" if resolved else "unresolved"
        announce(actor, repo, event="pull_request_review_thread", action=action, members=members)


def _place_of(actor: Actor, thing: Review | ReviewComment) -> tuple[Issue, Repository]:
    return actor.state.get(Issue, thing.issue_id), actor.state.get(Repository, thing.repo_id)


def _require_own(actor: Actor, repo: Repository, *, author_id: int) -> None:
    mine = author_id == actor.user.id
    actor.require(repo, needs=PULLS_WRITE, role="read" if mine else "write", otherwise=ADMIN_RIGHTS)


def _commit_in(actor: Actor, repo: Repository, issue: Issue, sha: str | None) -> str | None:
    """The commit that is meant, the head if none is named; None for one that is not the pull request's."""
    pull = pull_of(issue)
    if sha is None or sha == pull.head_sha:
        return pull.head_sha
    git = Git(actor.state.git_dir(repo))
    is_in = git.has(sha) and git.is_ancestor(sha, pull.head_sha) and not git.is_ancestor(sha, pull.base_sha)
    return sha if is_in else None


def _refuse_review(
    actor: Actor, issue: Issue, *, event: ReviewEvent | None, body: str, comments: Sequence[Draft]
) -> None:
    pending = actor.state.where(Review, issue_id=issue.id, author_id=actor.user.id, state="PENDING")
    if any(True for _ in pending):
        raise unprocessable("User can only have one pending review per pull request")
    check_body("PullRequestReview", body, required=False)
    for draft in comments:
        check_body("PullRequestReviewComment", draft.body, required=True)
    if event is not None:
        _refuse_verdict(actor, issue, event=event, body=body, has_comments=bool(comments))


def _refuse_verdict(actor: Actor, issue: Issue, *, event: ReviewEvent, body: str, has_comments: bool) -> None:
    if issue.author_id == actor.user.id and event == "APPROVE":
        raise unprocessable("Can not approve your own pull request")
    if issue.author_id == actor.user.id and event == "REQUEST_CHANGES":
        raise unprocessable("Can not request changes on your own pull request")
    if event != "APPROVE" and not body.strip() and (event == "REQUEST_CHANGES" or not has_comments):
        raise unprocessable("Body can not be blank")


def _place_or_refuse(actor: Actor, repo: Repository, *, issue: Issue, sha: str, draft: Draft) -> _Placed:
    try:
        return _place(actor, repo, issue=issue, sha=sha, draft=draft)
    except Unanchored as failure:
        what = "Path" if failure.what == "path" else "Line"
        raise unprocessable(f"{what} could not be resolved") from failure


def _not_in_diff(failure: Unanchored) -> Refused:
    """The wording of a single comment's refusal names the thread's member."""
    field = f"pull_request_review_thread.{failure.what}"
    if failure.what == "path":
        return invalid(
            "PullRequestReviewComment", "invalid", field=field, message=f"{field} must be part of the diff"
        )
    entries = [
        {
            "resource": "PullRequestReviewComment",
            "code": "custom",
            "field": field,
            "message": f"{field} must be part of the diff",
        },
        {
            "resource": "PullRequestReviewComment",
            "code": "missing_field",
            "field": "pull_request_review_thread.diff_hunk",
        },
    ]
    return Refused(422, "Validation Failed", errors=entries)


def _place(actor: Actor, repo: Repository, *, issue: Issue, sha: str, draft: Draft) -> _Placed:
    """Find the draft's line in the pull request's diff at this commit."""
    file = _file(actor, repo, issue=issue, sha=sha, path=draft.path)
    if draft.whole_file:
        return _Placed(draft=draft, line=None, side=draft.side, position=1, diff_hunk="")
    side, line = draft.side, draft.line
    if line is None and draft.position is not None:
        named = line_at(file.patch, draft.position)
        if named is None:
            raise Unanchored("line")
        side, line = named
    lines = anchors(file.patch)
    anchor = lines.get((side, line)) if line is not None else None
    if anchor is None or line is None:
        raise Unanchored("line")
    if draft.start_line is not None:
        start = lines.get((draft.start_side or side, draft.start_line))
        _check_start(start, anchor, draft=draft, line=line)
    return _Placed(draft=draft, line=line, side=side, position=anchor.position, diff_hunk=anchor.diff_hunk)


def _check_start(start: Anchor | None, end: Anchor, *, draft: Draft, line: int) -> None:
    """The first line lies above the last one, in the same hunk."""
    if start is None or start.hunk != end.hunk or start.position >= end.position:
        raise Unanchored("start_line")
    same_side = (draft.start_side or draft.side) == draft.side
    if same_side and draft.start_line is not None and draft.start_line >= line:
        raise Unanchored("start_line")


def _file(actor: Actor, repo: Repository, *, issue: Issue, sha: str, path: str) -> FileChange:
    pull = pull_of(issue)
    files = shapes.compared(actor.state.git_dir(repo), pull.base_sha, sha).files
    found = next((file for file in files if file.path == path), None)
    if found is None:
        raise Unanchored("path")
    return found


def _review_around(actor: Actor, repo: Repository, *, issue: Issue, sha: str) -> Review:
    state = actor.state
    return state.put(
        Review(
            id=state.next_id(),
            repo_id=repo.id,
            issue_id=issue.id,
            author_id=actor.user.id,
            body="",
            state="PENDING",
            commit_sha=sha,
            submitted_at=None,
        )
    )


def _alone(actor: Actor, repo: Repository, *, issue: Issue, sha: str, placed: _Placed) -> ReviewComment:
    made = _review_around(actor, repo, issue=issue, sha=sha)
    said = _write(actor, repo, issue=issue, review_=made, sha=sha, placed=placed)
    _submitted(actor, repo, issue=issue, made=made, event="COMMENT")
    return said


def _write(
    actor: Actor, repo: Repository, *, issue: Issue, review_: Review, sha: str, placed: _Placed
) -> ReviewComment:
    state = actor.state
    comment_id = state.next_id()
    now = state.clock()
    draft = placed.draft
    return state.put(
        ReviewComment(
            id=comment_id,
            repo_id=repo.id,
            issue_id=issue.id,
            review_id=review_.id,
            thread_id=comment_id,
            author_id=actor.user.id,
            body=draft.body,
            path=draft.path,
            side=placed.side,
            subject="file" if draft.whole_file else "line",
            line=placed.line,
            start_line=draft.start_line,
            start_side=(draft.start_side or draft.side) if draft.start_line is not None else None,
            position=placed.position,
            original_line=placed.line,
            original_start_line=draft.start_line,
            original_position=placed.position,
            commit_sha=sha,
            original_commit_sha=sha,
            diff_hunk=placed.diff_hunk,
            created_at=now,
            updated_at=now,
        )
    )


def _submitted(actor: Actor, repo: Repository, *, issue: Issue, made: Review, event: ReviewEvent) -> Review:
    """Publish a pending review: its webhook first, then one for each of its comments."""
    state = actor.state
    done = state.put(replace(made, state=_STATES[event], submitted_at=state.clock()))
    pull = pull_of(issue)
    if actor.user.id in pull.requested_reviewer_ids:
        waiting = tuple(one for one in pull.requested_reviewer_ids if one != actor.user.id)
        issue = replace(issue, pull=replace(pull, requested_reviewer_ids=waiting))
    issue = state.put(replace(issue, updated_at=state.clock()))
    _tell_review(actor, repo, issue=issue, made=done, action="submitted")
    for said in list(state.where(ReviewComment, review_id=made.id)):
        _tell_comment(actor, repo, issue=issue, said=said, action="created")
    return done


def _tell_review(actor: Actor, repo: Repository, *, issue: Issue, made: Review, action: str) -> None:
    shown = shapes.review(actor.state, repo, of=made)
    members: Json = {
        # Webhooks write the state in lower case and an empty body as null.
        "review": shown | {"state": made.state.lower(), "body": made.body or None},
        "pull_request": shapes.pull_simple(actor.state, repo, of=issue),
    }
    announce(actor, repo, event="pull_request_review", action=action, members=members)


def _tell_comment(
    actor: Actor,
    repo: Repository,
    *,
    issue: Issue,
    said: ReviewComment,
    action: str,
    members: Json | None = None,
) -> None:
    about: Json = {
        "comment": shapes.webhook_review_comment(actor.state, repo, of=said),
        "pull_request": shapes.pull_simple(actor.state, repo, of=issue),
    }
    announce(actor, repo, event="pull_request_review_comment", action=action, members=about | (members or {}))
