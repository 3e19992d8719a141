"""What each field of the schema answers from the forge's records; it changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, TypeAlias

from demo.forge import shapes
from demo.forge.actions import pulls as pull_actions
from demo.forge.git import FileChange
from demo.forge.graphql.asking import (
    CONTENT_NAMES,
    Asking,
    CommitOf,
    PullCommit,
    Reactable,
    ReactionGroup,
    Ref,
    Remark,
    ReviewRequest,
    Rollup,
)
from demo.forge.graphql.connection import Connection, TypedError, page_of
from demo.forge.pages.timeline import Thread, commits, latest_checks, threads
from demo.forge.state import (
    CONTENTS,
    CheckRun,
    CheckSuite,
    Comment,
    Issue,
    Label,
    Pull,
    Reaction,
    Repository,
    Review,
    ReviewComment,
    ThreadResolution,
    User,
)

Arguments: TypeAlias = Mapping[str, object]
Fields: TypeAlias = dict[str, Callable[..., object]]


def _actor(asking: Asking, record: Issue | Remark, _: Arguments) -> User | None:
    return asking.user(record.author_id)


def _association(asking: Asking, record: Issue | Remark, _: Arguments) -> str:
    return shapes.association(asking.state, record.author_id, repo=asking.repo_of(record))


def _is_edited(record: Issue | Remark) -> bool:
    # An issue also changes when somebody comments on it; only remarks show that their own text was changed.
    return isinstance(record, Comment | ReviewComment) and record.updated_at != record.created_at


def _reactions(asking: Asking, record: Reactable, arguments: Arguments) -> Connection:
    given = _given(asking, record)
    if wanted := arguments.get("content"):
        given = [reaction for reaction in given if CONTENT_NAMES[reaction.content] == wanted]
    return page_of("reactions", given, arguments)


def _groups(asking: Asking, record: Reactable, _: Arguments) -> list[ReactionGroup]:
    given = _given(asking, record)
    return [
        ReactionGroup(record, content, tuple(one for one in given if one.content == content))
        for content in CONTENTS
    ]


def _given(asking: Asking, record: Reactable) -> list[Reaction]:
    match record:
        case Issue():
            return asking.state.reactions("issue", record.id)
        case Comment():
            return asking.state.reactions("issue_comment", record.id)
        case Review():
            return asking.state.reactions("review", record.id)
        case ReviewComment():
            return asking.state.reactions("review_comment", record.id)


def _is_mine(asking: Asking, record: Issue | Remark) -> bool:
    return asking.viewer.user is not None and record.author_id == asking.viewer.user.id


def _may_write(asking: Asking, record: Issue | Remark) -> bool:
    return asking.actor.may(asking.repo_of(record), needs=({"pull_requests": "write"},), role="write")


REMARK: Final[Fields] = {
    "author": _actor,
    "authorAssociation": _association,
    "bodyHTML": lambda asking, it, _: asking.html(it),
    "bodyText": lambda asking, it, _: it.body or "",
    "body": lambda asking, it, _: it.body or "",
    "createdViaEmail": lambda *_: False,
    "databaseId": lambda asking, it, _: it.id,
    "editor": lambda asking, it, _: asking.user(it.author_id) if _is_edited(it) else None,
    "fullDatabaseId": lambda asking, it, _: str(it.id),
    "includesCreatedEdit": lambda asking, it, _: _is_edited(it),
    "isMinimized": lambda asking, it, _: getattr(it, "minimized_reason", None) is not None,
    "lastEditedAt": lambda asking, it, _: it.updated_at if _is_edited(it) else None,
    "minimizedReason": lambda asking, it, _: (getattr(it, "minimized_reason", None) or "").lower() or None,
    "publishedAt": lambda asking, it, _: it.created_at,
    "reactionGroups": _groups,
    "reactions": _reactions,
    "repository": lambda asking, it, _: asking.repo_of(it),
    "resourcePath": lambda asking, it, _: asking.web(it).removeprefix(asking.state.web_url),
    "url": lambda asking, it, _: asking.web(it),
    "viewerCanDelete": lambda asking, it, _: _is_mine(asking, it) or _may_write(asking, it),
    "viewerCanMinimize": lambda asking, it, _: _may_write(asking, it),
    "viewerCanReact": lambda asking, it, _: asking.viewer.user is not None,
    "viewerCanUpdate": lambda asking, it, _: _is_mine(asking, it) or _may_write(asking, it),
    "viewerDidAuthor": lambda asking, it, _: _is_mine(asking, it),
}

CONVERSATION: Final[Fields] = REMARK | {
    "activeLockReason": lambda *_: None,
    "assignees": lambda asking, it, arguments: page_of(
        "assignees", [asking.user(user_id) for user_id in it.assignee_ids], arguments
    ),
    "closed": lambda asking, it, _: it.state == "closed",
    "comments": lambda asking, it, arguments: page_of("comments", asking.state.comments(it), arguments),
    "labels": lambda asking, it, arguments: page_of("labels", asking.state.labels(it), arguments),
    "state": lambda asking, it, _: "MERGED" if it.pull and it.pull.merged_at else it.state.upper(),
    "stateReason": lambda asking, it, _: it.state_reason.upper() if it.state_reason else None,
}

COMMENT: Final[Fields] = REMARK | {
    "issue": lambda asking, it, _: asking.issue_of(it),
    "pullRequest": lambda asking, it, _: _if_pull(asking.issue_of(it)),
}


def _if_pull(issue: Issue) -> Issue | None:
    return issue if issue.pull else None


def _pull(issue: Issue) -> Pull:
    return shapes.pull_of(issue)


def _files(asking: Asking, issue: Issue) -> Sequence[FileChange]:
    return shapes.comparison(asking.state, asking.repo_of(issue), pull=_pull(issue)).files


def _commits(asking: Asking, issue: Issue, arguments: Arguments) -> Connection:
    repo = asking.repo_of(issue)
    listed = [PullCommit(issue, CommitOf(repo, one)) for one in commits(asking.state, repo.id, _pull(issue))]
    return page_of("commits", listed, arguments)


def _submitted(asking: Asking, issue: Issue, arguments: Arguments) -> Connection:
    wanted = arguments.get("states")
    author = arguments.get("author")
    listed = [
        review
        for review in asking.state.reviews(issue)
        if (review.submitted_at is not None or _is_mine(asking, review))
        and (not isinstance(wanted, list) or review.state in wanted)
        and (author is None or asking.state.get(User, review.author_id).login == author)
    ]
    return page_of("reviews", listed, arguments)


def _latest_reviews(asking: Asking, issue: Issue, arguments: Arguments) -> Connection:
    newest = {review.author_id: review for review in asking.state.reviews(issue) if review.submitted_at}
    return page_of("latestReviews", list(newest.values()), arguments)


def _mergeable(asking: Asking, issue: Issue, _: Arguments) -> str:
    """Unknown at first; having been asked, the forge finds out, and the next answer is known."""
    known = shapes.known_mergeable(asking.state, asking.repo_of(issue), pull=_pull(issue))
    if known is None and issue.state == "open":
        pull_actions.find_mergeable(asking.state, issue)
    return "UNKNOWN" if known is None else "MERGEABLE" if known else "CONFLICTING"


def _merge_state(asking: Asking, issue: Issue, _: Arguments) -> str:
    repo = asking.repo_of(issue)
    known = shapes.known_mergeable(asking.state, repo, pull=_pull(issue))
    return shapes.mergeable_state(repo, pull=_pull(issue), mergeable=known).upper()


def _decision(asking: Asking, issue: Issue, _: Arguments) -> str | None:
    newest = {
        review.author_id: review.state
        for review in asking.state.reviews(issue)
        if review.state in {"APPROVED", "CHANGES_REQUESTED", "DISMISSED"}
    }
    if "CHANGES_REQUESTED" in newest.values():
        return "CHANGES_REQUESTED"
    return "APPROVED" if "APPROVED" in newest.values() else None


def _requests(asking: Asking, issue: Issue, arguments: Arguments) -> Connection:
    asked = [ReviewRequest(issue, asking.state.get(User, one)) for one in _pull(issue).requested_reviewer_ids]
    return page_of("reviewRequests", asked, arguments)


def _rollup(asking: Asking, repo: Repository, sha: str) -> Rollup | None:
    runs = latest_checks(asking.state, repo, head_sha=sha)
    commit = asking.commit(repo, sha)
    return Rollup(commit, tuple(runs)) if runs and commit else None


PULL: Final[Fields] = CONVERSATION | {
    "additions": lambda asking, it, _: sum(file.additions for file in _files(asking, it)),
    "baseRef": lambda asking, it, _: asking.ref(asking.repo_of(it), _pull(it).base_ref),
    "baseRefName": lambda asking, it, _: _pull(it).base_ref,
    "baseRefOid": lambda asking, it, _: _pull(it).base_sha,
    "baseRepository": lambda asking, it, _: asking.repo_of(it),
    "canBeRebased": lambda asking, it, _: _pull(it).mergeable is True,
    "changedFiles": lambda asking, it, _: len(_files(asking, it)),
    "commits": _commits,
    "deletions": lambda asking, it, _: sum(file.deletions for file in _files(asking, it)),
    "files": lambda asking, it, arguments: page_of("files", _files(asking, it), arguments),
    "headRef": lambda asking, it, _: _head_ref(asking, it),
    "headRefName": lambda asking, it, _: _pull(it).head_ref,
    "headRefOid": lambda asking, it, _: _pull(it).head_sha,
    "headRepository": lambda asking, it, _: asking.state.find(Repository, _pull(it).head_repo_id),
    "headRepositoryOwner": lambda asking, it, _: asking.user(_pull(it).head_owner_id),
    "isCrossRepository": lambda asking, it, _: _pull(it).head_repo_id != it.repo_id,
    "isDraft": lambda asking, it, _: _pull(it).draft,
    "isInMergeQueue": lambda *_: False,
    "isMergeQueueEnabled": lambda *_: False,
    "latestReviews": _latest_reviews,
    "maintainerCanModify": lambda asking, it, _: _pull(it).maintainer_can_modify,
    "mergeCommit": lambda asking, it, _: asking.commit(asking.repo_of(it), _pull(it).merge_commit_sha),
    "mergeStateStatus": _merge_state,
    "mergeable": _mergeable,
    "merged": lambda asking, it, _: _pull(it).merged_at is not None,
    "mergedAt": lambda asking, it, _: _pull(it).merged_at,
    "mergedBy": lambda asking, it, _: asking.user(_pull(it).merged_by_id),
    "permalink": lambda asking, it, _: asking.web(it),
    "reviewDecision": _decision,
    "reviewRequests": _requests,
    "reviewThreads": lambda asking, it, arguments: page_of(
        "reviewThreads", threads(asking.state, it), arguments
    ),
    "reviews": _submitted,
    "statusCheckRollup": lambda asking, it, _: _rollup(asking, asking.repo_of(it), _pull(it).head_sha),
    "totalCommentsCount": lambda asking, it, _: (
        len(asking.state.comments(it)) + len(asking.state.review_comments(it))
    ),
}


def _head_ref(asking: Asking, issue: Issue) -> Ref | None:
    repo = asking.state.find(Repository, _pull(issue).head_repo_id)
    return asking.ref(repo, _pull(issue).head_ref) if repo else None


REVIEW: Final[Fields] = REMARK | {
    "authorCanPushToRepository": lambda asking, it, _: (
        asking.state.role_of(asking.user(it.author_id), asking.repo_of(it)) in {"write", "maintain", "admin"}
    ),
    "comments": lambda asking, it, arguments: page_of(
        "comments", list(asking.state.where(ReviewComment, review_id=it.id)), arguments
    ),
    "commit": lambda asking, it, _: asking.commit(asking.repo_of(it), it.commit_sha),
    "createdAt": lambda asking, it, _: it.submitted_at or asking.issue_of(it).created_at,
    "publishedAt": lambda asking, it, _: it.submitted_at,
    "pullRequest": lambda asking, it, _: asking.issue_of(it),
    "updatedAt": lambda asking, it, _: it.submitted_at or asking.issue_of(it).created_at,
}

REVIEW_COMMENT: Final[Fields] = REMARK | {
    "commit": lambda asking, it, _: asking.commit(asking.repo_of(it), it.commit_sha),
    "draftedAt": lambda asking, it, _: it.created_at,
    "originalCommit": lambda asking, it, _: asking.commit(asking.repo_of(it), it.original_commit_sha),
    "originalPosition": lambda asking, it, _: it.original_position or 1,
    "outdated": lambda asking, it, _: it.subject == "line" and it.line is None,
    "pullRequest": lambda asking, it, _: asking.issue_of(it),
    "pullRequestReview": lambda asking, it, _: asking.state.find(Review, it.review_id),
    "replyTo": lambda asking, it, _: (
        asking.state.find(ReviewComment, it.thread_id) if it.thread_id != it.id else None
    ),
    "state": lambda asking, it, _: (
        "PENDING" if asking.state.get(Review, it.review_id).state == "PENDING" else "SUBMITTED"
    ),
    "subjectType": lambda asking, it, _: it.subject.upper(),
}


def _resolver_of(asking: Asking, thread: Thread) -> User | None:
    resolution = asking.state.find(ThreadResolution, thread.first.id)
    return asking.user(resolution.resolved_by_id) if resolution else None


THREAD: Final[Fields] = {
    "comments": lambda asking, it, arguments: page_of("comments", it.comments, arguments),
    "diffSide": lambda asking, it, _: it.first.side,
    "isCollapsed": lambda asking, it, _: it.is_resolved,
    "isOutdated": lambda asking, it, _: it.first.subject == "line" and it.first.line is None,
    "line": lambda asking, it, _: it.first.line,
    "originalLine": lambda asking, it, _: it.first.original_line,
    "originalStartLine": lambda asking, it, _: it.first.original_start_line,
    "path": lambda asking, it, _: it.first.path,
    "pullRequest": lambda asking, it, _: asking.issue_of(it.first),
    "repository": lambda asking, it, _: asking.repo_of(it.first),
    "resolvedBy": lambda asking, it, _: _resolver_of(asking, it),
    "startDiffSide": lambda asking, it, _: it.first.start_side,
    "startLine": lambda asking, it, _: it.first.start_line,
    "subjectType": lambda asking, it, _: it.first.subject.upper(),
    "viewerCanReply": lambda asking, it, _: asking.viewer.user is not None,
    "viewerCanResolve": lambda asking, it, _: not it.is_resolved and _may_write(asking, it.first),
    "viewerCanUnresolve": lambda asking, it, _: it.is_resolved and _may_write(asking, it.first),
}

ACCOUNT: Final[Fields] = {
    "avatarUrl": lambda asking, it, _: f"{asking.state.web_url}/avatars/u/{it.id}?v=4",
    "databaseId": lambda asking, it, _: it.id,
    "email": lambda asking, it, _: it.email or "",
    "isViewer": lambda asking, it, _: it == asking.viewer.user,
    # GraphQL names a bot without the suffix that REST gives it.
    "login": lambda asking, it, _: it.login.removesuffix("[bot]"),
    "repository": lambda asking, it, arguments: asking.repository(it.login, str(arguments["name"])),
    "resourcePath": lambda asking, it, _: _account_path(it),
    "updatedAt": lambda asking, it, _: it.created_at,
    "url": lambda asking, it, _: f"{asking.state.web_url}{_account_path(it)}",
}


def _account_path(user: User) -> str:
    return f"/apps/{user.login.removesuffix('[bot]')}" if user.type == "Bot" else f"/{user.login}"


def _issue(asking: Asking, repo: Repository, number: object) -> Issue | None:
    return asking.state.issue(repo, number) if isinstance(number, int) else None


def _numbered(kind: str) -> Callable[[Asking, Repository, Arguments], Issue]:
    words = {"issue": "an Issue", "pullRequest": "a PullRequest"}.get(kind, "an issue or pull request")

    def find(asking: Asking, repo: Repository, arguments: Arguments) -> Issue:
        found = _issue(asking, repo, arguments["number"])
        if found is None or (kind == "issue" and found.pull) or (kind == "pullRequest" and not found.pull):
            raise TypedError(
                "NOT_FOUND", f"Could not resolve to {words} with the number of {arguments['number']}."
            )
        return found

    return find


def _listed(kind: str) -> Callable[[Asking, Repository, Arguments], Connection]:
    def page(asking: Asking, repo: Repository, arguments: Arguments) -> Connection:
        states = arguments.get("states")
        wanted = states if isinstance(states, list) else ["OPEN", "CLOSED", "MERGED"]
        found = [
            issue
            for issue in asking.state.issues(repo)
            if (issue.pull is not None) == (kind == "pullRequests")
            and ("MERGED" if issue.pull and issue.pull.merged_at else issue.state.upper()) in wanted
            and _fits(issue.pull, arguments)
        ]
        return page_of(kind, found, arguments)

    return page


def _fits(pull: Pull | None, arguments: Arguments) -> bool:
    head, base = arguments.get("headRefName"), arguments.get("baseRefName")
    return pull is None or (
        (head is None or pull.head_ref == head) and (base is None or pull.base_ref == base)
    )


REPOSITORY: Final[Fields] = {
    "databaseId": lambda asking, it, _: it.id,
    "defaultBranchRef": lambda asking, it, _: asking.ref(it, it.default_branch),
    "forkCount": lambda asking, it, _: len(list(asking.state.where(Repository, parent_id=it.id))),
    "isArchived": lambda asking, it, _: it.archived,
    "isEmpty": lambda asking, it, _: not asking.git(it).refs("refs/heads/"),
    "isFork": lambda asking, it, _: it.parent_id is not None,
    "isPrivate": lambda asking, it, _: it.private,
    "issue": _numbered("issue"),
    "issueOrPullRequest": _numbered("issueOrPullRequest"),
    "issues": _listed("issues"),
    "label": lambda asking, it, arguments: next(
        (label for label in asking.state.where(Label, repo_id=it.id) if label.name == arguments["name"]), None
    ),
    "labels": lambda asking, it, arguments: page_of(
        "labels", list(asking.state.where(Label, repo_id=it.id)), arguments
    ),
    "nameWithOwner": lambda asking, it, _: asking.state.full_name(it),
    "object": lambda asking, it, arguments: asking.commit(
        it, asking.git(it).resolve(str(arguments.get("oid") or arguments.get("expression") or ""))
    ),
    "owner": lambda asking, it, _: asking.user(it.owner_id),
    "parent": lambda asking, it, _: asking.state.find(Repository, it.parent_id),
    "pullRequest": _numbered("pullRequest"),
    "pullRequests": _listed("pullRequests"),
    "ref": lambda asking, it, arguments: asking.ref(it, str(arguments["qualifiedName"])),
    "resourcePath": lambda asking, it, _: f"/{asking.state.full_name(it)}",
    "url": lambda asking, it, _: f"{asking.state.web_url}/{asking.state.full_name(it)}",
    "viewerPermission": lambda asking, it, _: _permission(asking, it),
    "visibility": lambda asking, it, _: "PRIVATE" if it.private else "PUBLIC",
}


def _permission(asking: Asking, repo: Repository) -> str | None:
    role = asking.actor.role(repo)
    return None if role == "none" else role.upper()


COMMIT: Final[Fields] = {
    "abbreviatedOid": lambda asking, it, _: it.commit.sha[:7],
    "authoredDate": lambda asking, it, _: it.commit.author.date,
    "committedDate": lambda asking, it, _: it.commit.committer.date,
    "message": lambda asking, it, _: it.commit.message,
    "messageBody": lambda asking, it, _: it.commit.message.partition("\n")[2].strip(),
    "messageHeadline": lambda asking, it, _: it.commit.message.partition("\n")[0],
    "oid": lambda asking, it, _: it.commit.sha,
    "repository": lambda asking, it, _: it.repo,
    "statusCheckRollup": lambda asking, it, _: _rollup(asking, it.repo, it.commit.sha),
    "url": lambda asking, it, _: (
        f"{asking.state.web_url}/{asking.state.full_name(it.repo)}/commit/{it.commit.sha}"
    ),
}

_ROLLED: Final = {"success": "SUCCESS", "neutral": "SUCCESS", "skipped": "SUCCESS"}


def _rollup_state(asking: Asking, rollup: Rollup, _: Arguments) -> str:
    if any(run.status != "completed" for run in rollup.runs):
        return "PENDING"
    return "SUCCESS" if all(run.conclusion in _ROLLED for run in rollup.runs) else "FAILURE"


def _run_url(asking: Asking, run: CheckRun, _: Arguments) -> str:
    return f"{asking.state.web_url}/{asking.state.full_name(asking.repo_of(run))}/runs/{run.id}"


FIELDS: Final[Mapping[str, Fields]] = {
    "Issue": CONVERSATION,
    "PullRequest": PULL,
    "IssueComment": COMMENT,
    "PullRequestReview": REVIEW,
    "PullRequestReviewComment": REVIEW_COMMENT,
    "PullRequestReviewThread": THREAD,
    "User": ACCOUNT,
    "Bot": ACCOUNT,
    "Organization": ACCOUNT,
    "Repository": REPOSITORY,
    "Commit": COMMIT,
    "PullRequestCommit": {"pullRequest": lambda asking, it, _: it.issue},
    "PullRequestChangedFile": {
        "changeType": lambda asking, it, _: "DELETED" if it.status == "removed" else it.status.upper(),
        "viewerViewedState": lambda *_: "UNVIEWED",
    },
    "Label": {
        "isDefault": lambda asking, it, _: it.default,
        "repository": lambda asking, it, _: asking.repo_of(it),
    },
    "Ref": {
        "prefix": lambda *_: "refs/heads/",
        "repository": lambda asking, it, _: it.repo,
        "target": lambda asking, it, _: asking.commit(it.repo, it.sha),
    },
    "Reaction": {
        "content": lambda asking, it, _: CONTENT_NAMES[it.content],
        "databaseId": lambda asking, it, _: it.id,
        "user": lambda asking, it, _: asking.user(it.user_id),
    },
    "ReactionGroup": {
        "content": lambda asking, it, _: CONTENT_NAMES[it.content],
        "createdAt": lambda asking, it, _: it.given[0].created_at if it.given else None,
        "users": lambda asking, it, arguments: page_of(
            "users", [asking.user(one.user_id) for one in it.given], arguments
        ),
        "viewerHasReacted": lambda asking, it, _: any(
            asking.viewer.user and one.user_id == asking.viewer.user.id for one in it.given
        ),
    },
    "ReviewRequest": {
        "asCodeOwner": lambda *_: False,
        "pullRequest": lambda asking, it, _: it.issue,
        "requestedReviewer": lambda asking, it, _: it.reviewer,
    },
    "StatusCheckRollup": {
        "contexts": lambda asking, it, arguments: page_of("contexts", it.runs, arguments),
        "state": _rollup_state,
    },
    "CheckRun": {
        "checkSuite": lambda asking, it, _: asking.state.get(CheckSuite, it.suite_id),
        "conclusion": lambda asking, it, _: it.conclusion.upper() if it.conclusion else None,
        "databaseId": lambda asking, it, _: it.id,
        "detailsUrl": lambda asking, it, _: it.details_url or _run_url(asking, it, {}),
        "permalink": _run_url,
        "repository": lambda asking, it, _: asking.repo_of(it),
        "status": lambda asking, it, _: it.status.upper(),
        "url": _run_url,
    },
    "CheckSuite": {
        "databaseId": lambda asking, it, _: it.id,
        "repository": lambda asking, it, _: asking.repo_of(it),
    },
}


def _found_repository(asking: Asking, _: object, arguments: Arguments) -> Repository:
    owner, name = str(arguments["owner"]), str(arguments["name"])
    if (found := asking.repository(owner, name)) is None:
        raise TypedError("NOT_FOUND", f"Could not resolve to a Repository with the name '{owner}/{name}'.")
    return found


def _found_node(asking: Asking, _: object, arguments: Arguments) -> object:
    if (found := asking.node(str(arguments["id"]))) is None:
        raise TypedError(
            "NOT_FOUND", f"Could not resolve to a node with the global id of '{arguments['id']}'."
        )
    return found


def _found_user(asking: Asking, _: object, arguments: Arguments) -> User:
    found = asking.state.user(str(arguments["login"]))
    if found is None or found.type != "User":
        raise TypedError(
            "NOT_FOUND", f"Could not resolve to a User with the login of '{arguments['login']}'."
        )
    return found


def _nodes(asking: Asking, _: object, arguments: Arguments) -> list[object]:
    ids = arguments["ids"]
    return [asking.node(str(one)) for one in ids] if isinstance(ids, list) else []


def _rate_limit(asking: Asking, _: object, __: Arguments) -> Mapping[str, object]:
    """The forge counts nothing here: a whole hour's points are always left."""
    reset = asking.state.clock() + timedelta(hours=1)
    return {"cost": 1, "limit": 5000, "nodeCount": 0, "remaining": 4999, "resetAt": reset, "used": 1}


QUERY: Final[Fields] = {
    "node": _found_node,
    "nodes": _nodes,
    "rateLimit": _rate_limit,
    "repository": _found_repository,
    "user": _found_user,
    "viewer": lambda asking, *_: asking.viewer.user,
}
