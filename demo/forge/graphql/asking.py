"""The forge as one GraphQL request may see it: its viewer, and the records behind global ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from demo.forge import shapes
from demo.forge.actions.actor import Actor
from demo.forge.git import Commit, Git
from demo.forge.graphql.connection import TypedError
from demo.forge.pages.markdown import MarkdownRenderer
from demo.forge.pages.timeline import Thread, threads
from demo.forge.state import (
    CheckRun,
    CheckSuite,
    Comment,
    Content,
    Issue,
    Label,
    Reaction,
    Repository,
    Review,
    ReviewComment,
    State,
    User,
    Viewer,
)

CONTENT_NAMES: Final[dict[Content, str]] = {
    "+1": "THUMBS_UP",
    "-1": "THUMBS_DOWN",
    "laugh": "LAUGH",
    "confused": "CONFUSED",
    "heart": "HEART",
    "hooray": "HOORAY",
    "rocket": "ROCKET",
    "eyes": "EYES",
}


@dataclass(frozen=True, slots=True)
class Ref:
    repo: Repository
    name: str
    sha: str


@dataclass(frozen=True, slots=True)
class CommitOf:
    repo: Repository
    commit: Commit


@dataclass(frozen=True, slots=True)
class PullCommit:
    issue: Issue
    commit: CommitOf


@dataclass(frozen=True, slots=True)
class ReactionGroup:
    subject: Issue | Comment | Review | ReviewComment
    content: Content
    given: tuple[Reaction, ...]


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    issue: Issue
    reviewer: User


@dataclass(frozen=True, slots=True)
class Rollup:
    commit: CommitOf
    runs: tuple[CheckRun, ...]


Reactable: TypeAlias = Issue | Comment | Review | ReviewComment
Remark: TypeAlias = Comment | Review | ReviewComment


@dataclass(frozen=True)
class Asking:
    """One request: the forge as its viewer may see it. It is the context of every resolver."""

    state: State
    viewer: Viewer

    @property
    def actor(self) -> Actor:
        return Actor(self.state, self.viewer)

    def repository(self, owner: str, name: str) -> Repository | None:
        repo = self.state.repository(owner, name) or self.state.renamed(owner, name)
        return repo if repo is not None and self.state.may_see(self.viewer, repo) else None

    def repo_of(self, record: Issue | Remark | CheckRun | CheckSuite | Label) -> Repository:
        return self.state.get(Repository, record.repo_id)

    def issue_of(self, record: Remark) -> Issue:
        return self.state.get(Issue, record.issue_id)

    def user(self, user_id: int | None) -> User | None:
        return self.state.find(User, user_id)

    def web(self, record: Issue | Remark) -> str:
        root = f"{self.state.web_url}{self.path(record)}"
        match record:
            case Issue():
                return root
            case Comment():
                return f"{root}#issuecomment-{record.id}"
            case Review():
                return f"{root}#pullrequestreview-{record.id}"
            case ReviewComment():
                return f"{root}#discussion_r{record.id}"

    def path(self, record: Issue | Remark) -> str:
        issue = record if isinstance(record, Issue) else self.issue_of(record)
        kind = "pull" if issue.pull else "issues"
        return f"/{self.state.full_name(self.repo_of(issue))}/{kind}/{issue.number}"

    def html(self, record: Issue | Remark) -> str:
        render = MarkdownRenderer(
            repository_path=f"/{self.state.full_name(self.repo_of(record))}",
            is_user=lambda login: self.state.user(login) is not None,
        )
        return str(render(record.body or ""))

    def git(self, repo: Repository) -> Git:
        return Git(self.state.git_dir(repo))

    def commit(self, repo: Repository, sha: str | None) -> CommitOf | None:
        return CommitOf(repo, self.git(repo).commit(sha)) if sha and self.git(repo).has(sha) else None

    def ref(self, repo: Repository, branch: str) -> Ref | None:
        sha = self.git(repo).head_of(branch.removeprefix("refs/heads/"))
        return Ref(repo, branch.removeprefix("refs/heads/"), sha) if sha else None

    def node(self, node_id: str) -> object:
        """The record with this global id, or None if it does not exist for the viewer."""
        kind, _, text = ":".join(shapes.parse_node_id(node_id) or ("", "")).partition(":")
        number = int(text) if text.isdecimal() else None
        if kind == "PullRequestReviewThread":
            first = self.state.find(ReviewComment, number)
            found: object = self.thread(first) if first else None
        else:
            found = self.state.find(_RECORDS[kind], number) if kind in _RECORDS else None
        repo_id = getattr(found, "repo_id", found.id if isinstance(found, Repository) else None)
        if isinstance(found, Thread):
            repo_id = found.first.repo_id
        repo = self.state.find(Repository, repo_id)
        return found if repo is None or self.state.may_see(self.viewer, repo) else None

    def thread(self, comment: ReviewComment) -> Thread | None:
        issue = self.issue_of(comment)
        return next((one for one in threads(self.state, issue) if one.first.id == comment.thread_id), None)


_RECORDS: Final[
    dict[str, type[User | Repository | Label | Issue | Remark | Reaction | CheckRun | CheckSuite]]
] = {
    "User": User,
    "Bot": User,
    "Repository": Repository,
    "Label": Label,
    "Issue": Issue,
    "PullRequest": Issue,
    "IssueComment": Comment,
    "PullRequestReview": Review,
    "PullRequestReviewComment": ReviewComment,
    "Reaction": Reaction,
    "CheckRun": CheckRun,
    "CheckSuite": CheckSuite,
}


def type_name(value: object) -> str | None:
    """Which of the schema's types a value is; None for one that is no node."""
    match value:
        case Issue():
            return "PullRequest" if value.pull else "Issue"
        case User():
            return value.type
        case Comment():
            return "IssueComment"
        case Review():
            return "PullRequestReview"
        case ReviewComment():
            return "PullRequestReviewComment"
        case Thread():
            return "PullRequestReviewThread"
        case CommitOf():
            return "Commit"
        case PullCommit():
            return "PullRequestCommit"
        case Repository() | Label() | Reaction() | CheckRun() | CheckSuite() | Ref() | ReviewRequest():
            return type(value).__name__
        case _:
            return None


def node_id(value: object) -> str:
    name = type_name(value)
    match value:
        case Thread():
            return shapes.node_id("PullRequestReviewThread", value.first.id)
        case CommitOf():
            return shapes.node_id("Commit", value.commit.sha)
        case PullCommit():
            return shapes.node_id("Commit", value.commit.commit.sha)
        case Ref():
            return shapes.node_id("Ref", f"{value.repo.id}:refs/heads/{value.name}")
        case _:
            record_id = getattr(value, "id", None)
            if name not in _RECORDS or not isinstance(record_id, int):
                raise TypedError("NOT_BUILT", f"The local forge gives {name} no global id.")
            return shapes.node_id(name, record_id)
