"""Issues, their comments, labels, assignees and timeline over REST."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from demo.forge import shapes
from demo.forge.actions import issues as act
from demo.forge.git import Git
from demo.forge.refusals import Refused, invalid, not_found
from demo.forge.rest.call import NO_CONTENT, Answer, Call, Operation, names_in, not_supplied, operation
from demo.forge.shapes import Json
from demo.forge.state import Comment, Issue, Label, TimelineEvent, User


def _shape(call: Call, issue: Issue) -> Json:
    return shapes.full_issue(call.state, call.repo, of=issue)


def list_issues(call: Call) -> Answer:
    wanted = call.query.get("state", "open")
    issues = [issue for issue in call.state.issues(call.repo) if wanted in {"all", issue.state}]
    for label in filter(None, call.query.get("labels", "").split(",")):
        issues = [issue for issue in issues if label in {known.name for known in call.state.labels(issue)}]
    if creator := call.query.get("creator"):
        issues = [issue for issue in issues if call.state.get(User, issue.author_id).login == creator]
    if since := call.query.get("since"):
        issues = [issue for issue in issues if issue.updated_at >= _moment(since)]
    ordered = sort(call, issues)
    return call.listing(ordered, lambda issue: shapes.issue(call.state, call.repo, of=issue))


def sort(call: Call, issues: Sequence[Issue]) -> list[Issue]:
    """By creation or update, newest first unless asked otherwise."""
    newest_first = call.query.get("direction", "desc") == "desc"
    if call.query.get("sort") == "updated":
        return sorted(issues, key=lambda issue: (issue.updated_at, issue.number), reverse=newest_first)
    return sorted(issues, key=lambda issue: issue.number, reverse=newest_first)


def create_issue(call: Call) -> Answer:
    title = call.members.get("title")
    if title is None:
        raise not_supplied("title")
    assignee = call.text("assignee")
    issue = act.create_issue(
        call.actor,
        call.repo,
        title=str(title),
        body=call.text("body"),
        labels=call.texts("labels") or (),
        assignees=(call.texts("assignees") or []) + ([assignee] if assignee else []),
    )
    body = _shape(call, issue)
    return Answer(status=201, body=body, headers={"location": str(body["url"])})


def get_issue(call: Call) -> Answer:
    return Answer(body=_shape(call, call.issue))


def update_issue(call: Call) -> Answer:
    actor, issue = call.actor, call.issue
    title = call.members.get("title")
    issue = act.edit_issue(actor, issue, title=None if title is None else str(title), body=_body(call))
    labels, assignees = call.texts("labels"), call.texts("assignees")
    if labels is not None:
        issue = act.set_labels(actor, issue, names=labels)
    if assignees is not None:
        issue = act.set_assignees(actor, issue, logins=assignees)
    issue = change_state(call, issue)
    return Answer(body=_shape(call, issue))


def _body(call: Call) -> str | None:
    """An explicit null empties the body."""
    return "" if "body" in call.members and call.members["body"] is None else call.text("body")


def change_state(call: Call, issue: Issue) -> Issue:
    match call.text("state"):
        case None:
            return issue
        case "open":
            return act.reopen(call.actor, issue)
        case "closed":
            return act.close(call.actor, issue, reason=_reason(call))
        case _:
            raise invalid("PullRequest" if issue.pull else "Issue", "invalid", field="state")


def _reason(call: Call) -> act.StateReason:
    match call.text("state_reason"):
        case "not_planned":
            return "not_planned"
        case "duplicate":
            return "duplicate"
        case _:
            return "completed"


def lock(call: Call) -> Answer:
    act.lock(call.actor, call.issue, locked=True)
    return NO_CONTENT


def unlock(call: Call) -> Answer:
    act.lock(call.actor, call.issue, locked=False)
    return NO_CONTENT


def _comment(call: Call, said: Comment) -> Json:
    return shapes.comment(call.state, call.repo, of=said)


def list_comments(call: Call) -> Answer:
    comments = call.state.comments(call.issue)
    if since := call.query.get("since"):
        comments = [said for said in comments if said.updated_at >= _moment(since)]
    return call.listing(comments, lambda said: _comment(call, said))


def list_repo_comments(call: Call) -> Answer:
    comments = list(call.state.where(Comment, repo_id=call.repo.id))
    if since := call.query.get("since"):
        comments = [said for said in comments if said.updated_at >= _moment(since)]
    if call.query.get("direction") == "desc":
        comments.reverse()
    return call.listing(comments, lambda said: _comment(call, said))


def create_comment(call: Call) -> Answer:
    said = act.comment(call.actor, call.issue, body=call.required("body"))
    body = _comment(call, said)
    return Answer(status=201, body=body, headers={"location": str(body["url"])})


def get_comment(call: Call) -> Answer:
    return Answer(body=_comment(call, call.named(Comment, "comment_id")))


def update_comment(call: Call) -> Answer:
    said = call.named(Comment, "comment_id")
    return Answer(body=_comment(call, act.edit_comment(call.actor, said, body=call.required("body"))))


def delete_comment(call: Call) -> Answer:
    act.delete_comment(call.actor, call.named(Comment, "comment_id"))
    return NO_CONTENT


def _labels(call: Call, labels: Sequence[Label]) -> Answer:
    return Answer(body=[shapes.label(call.state, call.repo, of=label) for label in labels])


def _label_names(call: Call) -> list[str]:
    """`{"labels": […]}`, or the bare list that is accepted too."""
    if isinstance(call.body, list):
        return names_in("labels", call.body)
    names = call.texts("labels")
    if names is None:
        raise not_supplied("labels")
    return names


def list_issue_labels(call: Call) -> Answer:
    return call.listing(
        call.state.labels(call.issue), lambda label: shapes.label(call.state, call.repo, of=label)
    )


def add_labels(call: Call) -> Answer:
    issue = act.add_labels(call.actor, call.issue, names=_label_names(call))
    return _labels(call, call.state.labels(issue))


def set_labels(call: Call) -> Answer:
    issue = act.set_labels(call.actor, call.issue, names=_label_names(call))
    return _labels(call, call.state.labels(issue))


def remove_label(call: Call) -> Answer:
    issue = act.remove_label(call.actor, call.issue, name=call.params["name"])
    return _labels(call, call.state.labels(issue))


def remove_all_labels(call: Call) -> Answer:
    act.set_labels(call.actor, call.issue, names=[])
    return NO_CONTENT


def list_repo_labels(call: Call) -> Answer:
    labels = list(call.state.where(Label, repo_id=call.repo.id))
    return call.listing(labels, lambda label: shapes.label(call.state, call.repo, of=label))


def _label(call: Call) -> Label:
    label = act.label_of(call.actor, call.repo, name=call.params["name"])
    if label is None:
        raise not_found()
    return label


def create_label(call: Call) -> Answer:
    color = call.text("color") or "ededed"
    if len(color) != 6 or not all(digit in "0123456789abcdefABCDEF" for digit in color):
        raise invalid("Label", "invalid", field="color")
    label = act.create_label(
        call.actor,
        call.repo,
        name=call.required("name"),
        color=color,
        description=call.text("description"),
    )
    body = shapes.label(call.state, call.repo, of=label)
    return Answer(status=201, body=body, headers={"location": str(body["url"])})


def get_label(call: Call) -> Answer:
    return Answer(body=shapes.label(call.state, call.repo, of=_label(call)))


def update_label(call: Call) -> Answer:
    label = act.edit_label(
        call.actor,
        _label(call),
        name=call.text("new_name"),
        color=call.text("color"),
        description=call.text("description"),
    )
    return Answer(body=shapes.label(call.state, call.repo, of=label))


def delete_label(call: Call) -> Answer:
    act.delete_label(call.actor, _label(call))
    return NO_CONTENT


def _logins(call: Call, issue: Issue) -> list[str]:
    return [call.state.get(User, user_id).login for user_id in issue.assignee_ids]


def add_assignees(call: Call) -> Answer:
    logins = [*_logins(call, call.issue), *(call.texts("assignees") or [])]
    issue = act.set_assignees(call.actor, call.issue, logins=logins)
    return Answer(status=201, body=_shape(call, issue))


def remove_assignees(call: Call) -> Answer:
    removed = {login.casefold() for login in call.texts("assignees") or []}
    kept = [login for login in _logins(call, call.issue) if login.casefold() not in removed]
    return Answer(body=_shape(call, act.set_assignees(call.actor, call.issue, logins=kept)))


def list_events(call: Call) -> Answer:
    events = list(call.state.where(TimelineEvent, issue_id=call.issue.id))
    return call.listing(events, lambda event: shapes.issue_event(call.state, call.repo, of=event))


def timeline(call: Call) -> Answer:
    """Comments, reviews and events in the order in which they happened."""
    issue, state, repo = call.issue, call.state, call.repo
    entries: list[tuple[datetime, int, Json]] = [
        (event.created_at, event.id, shapes.timeline_event(state, repo, of=event))
        for event in state.where(TimelineEvent, issue_id=issue.id)
    ]
    entries += [
        (said.created_at, said.id, shapes.timeline_comment(state, repo, of=said))
        for said in state.comments(issue)
    ]
    entries += [
        (review.submitted_at, review.id, shapes.timeline_review(state, repo, of=review))
        for review in state.reviews(issue)
        if review.submitted_at is not None
    ]
    ordered = [shape for _, _, shape in sorted(entries, key=lambda entry: entry[:2])]
    if issue.pull is not None:
        commits = reversed(Git(state.git_dir(repo)).log(f"{issue.pull.base_sha}..{issue.pull.head_sha}"))
        ordered = [
            *(shapes.git_commit(state, repo, of=commit) | {"event": "committed"} for commit in commits),
            *ordered,
        ]
    return call.listing(ordered, lambda shape: shape)


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused(422, "Invalid since") from error


_ISSUE = "/repos/{owner}/{repo}/issues/{issue_number}"
_COMMENT = "/repos/{owner}/{repo}/issues/comments/{comment_id}"
_REPO = "/repos/{owner}/{repo}"

OPERATIONS: tuple[Operation, ...] = (
    operation("issues/list-for-repo", "GET", f"{_REPO}/issues", route=list_issues),
    operation("issues/create", "POST", f"{_REPO}/issues", route=create_issue),
    operation("issues/get", "GET", _ISSUE, route=get_issue),
    operation("issues/update", "PATCH", _ISSUE, route=update_issue),
    operation("issues/lock", "PUT", f"{_ISSUE}/lock", route=lock),
    operation("issues/unlock", "DELETE", f"{_ISSUE}/lock", route=unlock),
    operation("issues/list-comments", "GET", f"{_ISSUE}/comments", route=list_comments),
    operation("issues/create-comment", "POST", f"{_ISSUE}/comments", route=create_comment),
    operation("issues/list-comments-for-repo", "GET", f"{_REPO}/issues/comments", route=list_repo_comments),
    operation("issues/get-comment", "GET", _COMMENT, route=get_comment),
    operation("issues/update-comment", "PATCH", _COMMENT, route=update_comment),
    operation("issues/delete-comment", "DELETE", _COMMENT, route=delete_comment),
    operation("issues/list-labels-on-issue", "GET", f"{_ISSUE}/labels", route=list_issue_labels),
    operation("issues/add-labels", "POST", f"{_ISSUE}/labels", route=add_labels),
    operation("issues/set-labels", "PUT", f"{_ISSUE}/labels", route=set_labels),
    operation("issues/remove-all-labels", "DELETE", f"{_ISSUE}/labels", route=remove_all_labels),
    operation("issues/remove-label", "DELETE", f"{_ISSUE}/labels/{{name}}", route=remove_label),
    operation("issues/list-labels-for-repo", "GET", f"{_REPO}/labels", route=list_repo_labels),
    operation("issues/create-label", "POST", f"{_REPO}/labels", route=create_label),
    operation("issues/get-label", "GET", f"{_REPO}/labels/{{name}}", route=get_label),
    operation("issues/update-label", "PATCH", f"{_REPO}/labels/{{name}}", route=update_label),
    operation("issues/delete-label", "DELETE", f"{_REPO}/labels/{{name}}", route=delete_label),
    operation("issues/add-assignees", "POST", f"{_ISSUE}/assignees", route=add_assignees),
    operation("issues/remove-assignees", "DELETE", f"{_ISSUE}/assignees", route=remove_assignees),
    operation("issues/list-events", "GET", f"{_ISSUE}/events", route=list_events),
    operation("issues/list-events-for-timeline", "GET", f"{_ISSUE}/timeline", route=timeline),
)
