"""Issues, comments, labels, reactions and timelines as GitHub writes them."""

from __future__ import annotations

from urllib.parse import quote

from demo.forge.shapes.accounts import Json, app_by_id, node_id, stamp, user, user_by_id
from demo.forge.shapes.repositories import html_url, url
from demo.forge.state import (
    CONTENTS,
    Comment,
    Issue,
    Label,
    Reaction,
    Repository,
    State,
    SubjectKind,
    TimelineEvent,
    User,
)


def association(state: State, user_id: int, *, repo: Repository) -> str:
    """How the author of something stands to the repository; this is no permission."""
    if user_id == repo.owner_id:
        return "OWNER"
    if user_id in repo.collaborators:
        owner = state.get(User, repo.owner_id)
        return "MEMBER" if owner.type == "Organization" else "COLLABORATOR"
    for issue in state.where(Issue, repo_id=repo.id, author_id=user_id):
        if issue.pull and issue.pull.merged_at:
            return "CONTRIBUTOR"
    return "NONE"


def label(state: State, repo: Repository, *, of: Label) -> Json:
    return {
        "id": of.id,
        "node_id": node_id("Label", of.id),
        "url": f"{url(state, repo)}/labels/{quote(of.name)}",
        "name": of.name,
        "description": of.description,
        "color": of.color,
        "default": of.default,
    }


def rollup(state: State, subject: SubjectKind, *, subject_id: int, subject_url: str) -> Json:
    given = [reaction.content for reaction in state.reactions(subject, subject_id)]
    counts: Json = {content: given.count(content) for content in CONTENTS}
    return {"url": f"{subject_url}/reactions", "total_count": len(given), **counts}


def reaction(state: State, of: Reaction) -> Json:
    return {
        "id": of.id,
        "node_id": node_id("Reaction", of.id),
        "user": user_by_id(state, of.user_id),
        "content": of.content,
        "created_at": stamp(of.created_at),
    }


def issue(state: State, repo: Repository, *, of: Issue) -> Json:
    """An `issue`; a pull request has `pull_request` and `draft` besides."""
    here = f"{url(state, repo)}/issues/{of.number}"
    kind = "pull" if of.pull else "issues"
    page = f"{html_url(state, repo)}/{kind}/{of.number}"
    assignees = [user(state, state.get(User, user_id)) for user_id in of.assignee_ids]
    shape: Json = {
        "url": here,
        "repository_url": url(state, repo),
        "labels_url": f"{here}/labels{{/name}}",
        "comments_url": f"{here}/comments",
        "events_url": f"{here}/events",
        "html_url": page,
        "id": of.id,
        "node_id": node_id("PullRequest" if of.pull else "Issue", of.id),
        "number": of.number,
        "title": of.title,
        "user": user_by_id(state, of.author_id),
        "labels": [label(state, repo, of=given) for given in state.labels(of)],
        "state": of.state,
        "locked": of.locked,
        "assignee": assignees[0] if assignees else None,
        "assignees": assignees,
        "milestone": None,
        "comments": len(state.comments(of)),
        "created_at": stamp(of.created_at),
        "updated_at": stamp(of.updated_at),
        "closed_at": stamp(of.closed_at),
        "author_association": association(state, of.author_id, repo=repo),
        "active_lock_reason": None,
        "body": of.body,
        "reactions": rollup(state, "issue", subject_id=of.id, subject_url=here),
        "timeline_url": f"{here}/timeline",
        "performed_via_github_app": app_by_id(state, of.app_id),
        "state_reason": of.state_reason,
    }
    if of.pull:
        shape["draft"] = of.pull.draft
        shape["pull_request"] = {
            "url": f"{url(state, repo)}/pulls/{of.number}",
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "merged_at": stamp(of.pull.merged_at),
        }
    return shape


def full_issue(state: State, repo: Repository, *, of: Issue) -> Json:
    """The issue when it was asked for alone: with who closed it."""
    return issue(state, repo, of=of) | {"closed_by": user_by_id(state, of.closed_by_id)}


def comment(state: State, repo: Repository, *, of: Comment) -> Json:
    on = state.get(Issue, of.issue_id)
    kind = "pull" if on.pull else "issues"
    here = f"{url(state, repo)}/issues/comments/{of.id}"
    return {
        "url": here,
        "html_url": f"{html_url(state, repo)}/{kind}/{on.number}#issuecomment-{of.id}",
        "issue_url": f"{url(state, repo)}/issues/{on.number}",
        "id": of.id,
        "node_id": node_id("IssueComment", of.id),
        "user": user_by_id(state, of.author_id),
        "created_at": stamp(of.created_at),
        "updated_at": stamp(of.updated_at),
        "author_association": association(state, of.author_id, repo=repo),
        "body": of.body,
        "reactions": rollup(state, "issue_comment", subject_id=of.id, subject_url=here),
        "performed_via_github_app": app_by_id(state, of.app_id),
    }


def timeline_event(state: State, repo: Repository, *, of: TimelineEvent) -> Json:
    shape: Json = {
        "id": of.id,
        "node_id": node_id("Event", of.id),
        "url": f"{url(state, repo)}/issues/events/{of.id}",
        "actor": user_by_id(state, of.actor_id),
        "event": of.event,
        "commit_id": of.sha,
        "commit_url": f"{url(state, repo)}/commits/{of.sha}" if of.sha else None,
        "created_at": stamp(of.created_at),
        "performed_via_github_app": None,
    }
    if of.label_id is not None and (given := state.find(Label, of.label_id)):
        shape["label"] = {"name": given.name, "color": given.color}
    match of.event:
        case "assigned" | "unassigned":
            shape["assignee"] = user_by_id(state, of.user_id)
        case "review_requested" | "review_request_removed":
            shape["review_requester"] = user_by_id(state, of.actor_id)
            shape["requested_reviewer"] = user_by_id(state, of.user_id)
        case "renamed":
            shape["rename"] = {"from": of.before, "to": of.after}
        case _:
            pass
    return shape


def issue_event(state: State, repo: Repository, *, of: TimelineEvent) -> Json:
    """As the list of an issue's events has it: with who assigned."""
    shape = timeline_event(state, repo, of=of)
    if of.event in {"assigned", "unassigned"}:
        shape["assigner"] = user_by_id(state, of.actor_id)
    return shape


def timeline_comment(state: State, repo: Repository, *, of: Comment) -> Json:
    return comment(state, repo, of=of) | {"event": "commented", "actor": user_by_id(state, of.author_id)}
