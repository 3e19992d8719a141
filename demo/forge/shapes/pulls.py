"""Pull requests, reviews and review comments as GitHub writes them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from demo.forge.git import EMPTY_TREE, FileChange, Git
from demo.forge.shapes.accounts import Json, api, node_id, stamp, user, user_by_id
from demo.forge.shapes.conversations import association, label, rollup
from demo.forge.shapes.repositories import html_url, repository, url
from demo.forge.state import Issue, Pull, Repository, Review, ReviewComment, State, User


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Head against the merge base: what a pull request shows."""

    merge_base: str
    commits: int
    files: tuple[FileChange, ...]


@functools.lru_cache(maxsize=256)
def compared(git_dir: Path, base_sha: str, head_sha: str) -> Comparison:
    """Three-dot comparison of two commits. They never change, so neither does the answer."""
    git = Git(git_dir)
    merge_base = git.merge_base(base_sha, head_sha) or EMPTY_TREE
    return Comparison(
        merge_base=merge_base,
        commits=git.count(f"{base_sha}..{head_sha}"),
        files=tuple(git.changes(merge_base, head_sha)),
    )


def comparison(state: State, repo: Repository, *, pull: Pull) -> Comparison:
    return compared(state.git_dir(repo), pull.base_sha, pull.head_sha)


def pull_of(issue: Issue) -> Pull:
    if issue.pull is None:
        raise TypeError(f"#{issue.number} is an issue")
    return issue.pull


def pull_simple(state: State, repo: Repository, *, of: Issue) -> Json:
    """A `pull-request-simple`: the shape in lists and in review webhooks."""
    pull = pull_of(of)
    here = f"{url(state, repo)}/pulls/{of.number}"
    as_issue = f"{url(state, repo)}/issues/{of.number}"
    page = f"{html_url(state, repo)}/pull/{of.number}"
    statuses = f"{url(state, repo)}/statuses/{pull.head_sha}"
    assignees = [user(state, state.get(User, user_id)) for user_id in of.assignee_ids]
    return {
        "url": here,
        "id": of.id,
        "node_id": node_id("PullRequest", of.id),
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "issue_url": as_issue,
        "number": of.number,
        "state": of.state,
        "locked": of.locked,
        "title": of.title,
        "user": user_by_id(state, of.author_id),
        "body": of.body,
        "created_at": stamp(of.created_at),
        "updated_at": stamp(of.updated_at),
        "closed_at": stamp(of.closed_at),
        "merged_at": stamp(pull.merged_at),
        "merge_commit_sha": pull.merge_commit_sha,
        "assignee": assignees[0] if assignees else None,
        "assignees": assignees,
        "requested_reviewers": [user_by_id(state, user_id) for user_id in pull.requested_reviewer_ids],
        "requested_teams": [],
        "labels": [label(state, repo, of=given) for given in state.labels(of)],
        "milestone": None,
        "draft": pull.draft,
        "commits_url": f"{here}/commits",
        "review_comments_url": f"{here}/comments",
        "review_comment_url": f"{url(state, repo)}/pulls/comments{{/number}}",
        "comments_url": f"{as_issue}/comments",
        "statuses_url": statuses,
        "head": _head(state, pull),
        "base": _side(state, repo, ref=pull.base_ref, sha=pull.base_sha),
        "_links": {
            "self": {"href": here},
            "html": {"href": page},
            "issue": {"href": as_issue},
            "comments": {"href": f"{as_issue}/comments"},
            "review_comments": {"href": f"{here}/comments"},
            "review_comment": {"href": f"{url(state, repo)}/pulls/comments{{/number}}"},
            "commits": {"href": f"{here}/commits"},
            "statuses": {"href": statuses},
        },
        "author_association": association(state, of.author_id, repo=repo),
        "auto_merge": None,
        "active_lock_reason": None,
    }


def _head(state: State, pull: Pull) -> Json:
    repo = state.find(Repository, pull.head_repo_id)
    if repo is not None:
        return _side(state, repo, ref=pull.head_ref, sha=pull.head_sha)
    # The fork was deleted: the commits stay, the repository does not.
    owner = state.find(User, pull.head_owner_id)
    return {
        "label": f"{owner.login}:{pull.head_ref}" if owner else pull.head_ref,
        "ref": pull.head_ref,
        "sha": pull.head_sha,
        "user": user(state, owner) if owner else None,
        "repo": None,
    }


def _side(state: State, repo: Repository, *, ref: str, sha: str) -> Json:
    owner = state.get(User, repo.owner_id)
    return {
        "label": f"{owner.login}:{ref}",
        "ref": ref,
        "sha": sha,
        "user": user(state, owner),
        "repo": repository(state, repo),
    }


def pull(state: State, repo: Repository, *, of: Issue) -> Json:
    """A `pull-request`, as when it is asked for alone."""
    what = pull_of(of)
    against = comparison(state, repo, pull=what)
    mergeable = known_mergeable(state, repo, pull=what) if of.state == "open" else None
    return pull_simple(state, repo, of=of) | {
        "merged": what.merged_at is not None,
        "mergeable": mergeable,
        "rebaseable": mergeable,
        "mergeable_state": mergeable_state(repo, pull=what, mergeable=mergeable),
        "merged_by": user_by_id(state, what.merged_by_id),
        "comments": len(state.comments(of)),
        "review_comments": len(state.review_comments(of)),
        "maintainer_can_modify": what.maintainer_can_modify,
        "commits": against.commits,
        "additions": sum(file.additions for file in against.files),
        "deletions": sum(file.deletions for file in against.files),
        "changed_files": len(against.files),
    }


def known_mergeable(state: State, repo: Repository, *, pull: Pull) -> bool | None:
    """What was computed for the present head and base; None while it has not been."""
    tip = Git(state.git_dir(repo)).head_of(pull.base_ref)
    return pull.mergeable if tip and pull.mergeable_for == (pull.head_sha, tip) else None


def mergeable_state(repo: Repository, *, pull: Pull, mergeable: bool | None) -> str:
    if mergeable is None:
        return "unknown"
    if not mergeable:
        return "dirty"
    return "draft" if pull.draft else "clean"


def pull_minimal(state: State, repo: Repository, *, of: Issue) -> Json:
    """The shape inside check runs."""
    what = pull_of(of)
    return {
        "url": f"{url(state, repo)}/pulls/{of.number}",
        "id": of.id,
        "number": of.number,
        "head": _minimal_side(state, what.head_repo_id or repo.id, ref=what.head_ref, sha=what.head_sha),
        "base": _minimal_side(state, repo.id, ref=what.base_ref, sha=what.base_sha),
    }


def _minimal_side(state: State, repo_id: int, *, ref: str, sha: str) -> Json:
    repo = state.get(Repository, repo_id)
    return {
        "ref": ref,
        "sha": sha,
        "repo": {"id": repo.id, "url": f"{api(state)}/repos/{state.full_name(repo)}", "name": repo.name},
    }


def review(state: State, repo: Repository, *, of: Review) -> Json:
    on = state.get(Issue, of.issue_id)
    page = f"{html_url(state, repo)}/pull/{on.number}#pullrequestreview-{of.id}"
    here = f"{url(state, repo)}/pulls/{on.number}"
    shape: Json = {
        "id": of.id,
        "node_id": node_id("PullRequestReview", of.id),
        "user": user_by_id(state, of.author_id),
        "body": of.body,
        "state": of.state,
        "html_url": page,
        "pull_request_url": here,
        "author_association": association(state, of.author_id, repo=repo),
        "_links": {"html": {"href": page}, "pull_request": {"href": here}},
        "commit_id": of.commit_sha,
    }
    if of.submitted_at:
        shape["submitted_at"] = stamp(of.submitted_at)
    return shape


def review_comment(state: State, repo: Repository, *, of: ReviewComment) -> Json:
    on = state.get(Issue, of.issue_id)
    here = f"{url(state, repo)}/pulls/comments/{of.id}"
    page = f"{html_url(state, repo)}/pull/{on.number}#discussion_r{of.id}"
    pull_url = f"{url(state, repo)}/pulls/{on.number}"
    shape: Json = {
        "url": here,
        "pull_request_review_id": of.review_id,
        "id": of.id,
        "node_id": node_id("PullRequestReviewComment", of.id),
        "diff_hunk": of.diff_hunk,
        "path": of.path,
        "commit_id": of.commit_sha,
        "original_commit_id": of.original_commit_sha,
        "user": user_by_id(state, of.author_id),
        "body": of.body,
        "created_at": stamp(of.created_at),
        "updated_at": stamp(of.updated_at),
        "html_url": page,
        "pull_request_url": pull_url,
        "author_association": association(state, of.author_id, repo=repo),
        "_links": {"self": {"href": here}, "html": {"href": page}, "pull_request": {"href": pull_url}},
        "reactions": rollup(state, "review_comment", subject_id=of.id, subject_url=here),
        "start_line": of.start_line,
        "original_start_line": of.original_start_line,
        "start_side": of.start_side,
        "line": of.line,
        "original_line": of.original_line,
        "side": of.side,
        "position": of.position,
        "original_position": of.original_position,
        "subject_type": of.subject,
    }
    if of.thread_id != of.id:
        shape["in_reply_to_id"] = of.thread_id
    return shape


def webhook_review_comment(state: State, repo: Repository, *, of: ReviewComment) -> Json:
    """As in webhooks, where a comment on a whole file began on its first line."""
    return review_comment(state, repo, of=of) | {"original_line": of.original_line or 1}


def timeline_review(state: State, repo: Repository, *, of: Review) -> Json:
    return review(state, repo, of=of) | {"event": "reviewed", "state": of.state.lower()}
