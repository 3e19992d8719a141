"""The forge's world as frozen records in tables, saved as it changes; it never checks a permission.

Rules (who may do what, what follows from what) are in `actions`; GitHub's JSON is in `shapes`.
Mutability has one owner: `State`. Whoever reads and then writes holds `state.lock` meanwhile.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self, TypeVar

import orjson
from pydantic import TypeAdapter

Role = Literal["none", "read", "triage", "write", "maintain", "admin"]
ROLES: tuple[Role, ...] = ("none", "read", "triage", "write", "maintain", "admin")
Access = Literal["read", "write", "admin"]
Permissions = dict[str, Access]
SubjectKind = Literal["issue", "issue_comment", "review_comment", "review"]
Content = Literal["+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"]
CONTENTS: tuple[Content, ...] = ("+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes")
Side = Literal["LEFT", "RIGHT"]
ReviewState = Literal["PENDING", "COMMENTED", "APPROVED", "CHANGES_REQUESTED", "DISMISSED"]
CheckStatus = Literal["queued", "in_progress", "completed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    id: int
    login: str
    type: Literal["User", "Bot", "Organization"] = "User"
    name: str | None = None
    email: str | None = None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A GitHub App; `bot_id` is the user that acts for it, `slug[bot]`."""

    id: int
    slug: str
    name: str
    owner_id: int
    bot_id: int
    client_id: str
    private_key: str
    public_key: str
    permissions: Permissions
    events: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """`repository_ids` None means all repositories of the account."""

    id: int
    app_id: int
    account_id: int
    permissions: Permissions
    events: tuple[str, ...]
    repository_ids: tuple[int, ...] | None = None
    created_at: datetime
    suspended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A user's personal token, or an installation token when `installation_id` is set."""

    id: int
    value: str
    user_id: int
    installation_id: int | None = None
    permissions: Permissions | None = None
    repository_ids: tuple[int, ...] | None = None
    expires_at: datetime | None = None
    revoked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    id: int
    owner_id: int
    name: str
    private: bool = False
    description: str | None = None
    default_branch: str = "main"
    parent_id: int | None = None
    collaborators: dict[int, Role] = field(default_factory=dict)
    protected_branches: tuple[str, ...] = ()
    former_names: tuple[str, ...] = ()
    archived: bool = False
    created_at: datetime
    updated_at: datetime
    pushed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    id: int
    repo_id: int
    name: str
    color: str = "ededed"
    description: str | None = None
    default: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """What a pull request has beyond an issue.

    `head_repo_id` is None when the fork was deleted. `mergeable` is what was last computed for the pair
    `mergeable_for` (head SHA, base SHA); for another pair the answer is "not known yet".
    """

    head_repo_id: int | None
    head_owner_id: int | None
    head_ref: str
    head_sha: str
    base_ref: str
    base_sha: str
    draft: bool = False
    maintainer_can_modify: bool = False
    mergeable: bool | None = None
    mergeable_for: tuple[str, str] | None = None
    merged_at: datetime | None = None
    merged_by_id: int | None = None
    merge_commit_sha: str | None = None
    requested_reviewer_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """An issue, or a pull request when `pull` is set: they share numbers and comments."""

    id: int
    repo_id: int
    number: int
    title: str
    body: str | None
    author_id: int
    app_id: int | None = None
    state: Literal["open", "closed"] = "open"
    state_reason: Literal["completed", "not_planned", "duplicate", "reopened"] | None = None
    label_ids: tuple[int, ...] = ()
    assignee_ids: tuple[int, ...] = ()
    locked: bool = False
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None = None
    closed_by_id: int | None = None
    pull: Pull | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A comment in the conversation of an issue or pull request."""

    id: int
    repo_id: int
    issue_id: int
    author_id: int
    app_id: int | None = None
    body: str
    created_at: datetime
    updated_at: datetime
    minimized_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    id: int
    repo_id: int
    issue_id: int
    author_id: int
    body: str
    state: ReviewState
    commit_sha: str
    submitted_at: datetime | None
    dismissal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewComment:
    """A comment on the diff; `line` is None once outdated, or when it is about the whole file.

    `thread_id` is the id of the thread's first comment (its own id for the first one).
    """

    id: int
    repo_id: int
    issue_id: int
    review_id: int
    thread_id: int
    author_id: int
    body: str
    path: str
    side: Side
    subject: Literal["line", "file"] = "line"
    line: int | None
    start_line: int | None = None
    start_side: Side | None = None
    position: int | None
    original_line: int | None
    original_start_line: int | None = None
    original_position: int | None
    commit_sha: str
    original_commit_sha: str
    diff_hunk: str
    created_at: datetime
    updated_at: datetime
    minimized_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadResolution:
    """Says that the review thread whose first comment has this `id` is resolved."""

    id: int
    resolved_by_id: int
    resolved_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    id: int
    subject: SubjectKind
    subject_id: int
    user_id: int
    content: Content
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEvent:
    """Something that happened to an issue beside its comments: labelled, closed, merged…"""

    id: int
    repo_id: int
    issue_id: int
    actor_id: int
    event: str
    created_at: datetime
    label_id: int | None = None
    user_id: int | None = None
    sha: str | None = None
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    path: str
    start_line: int
    end_line: int
    start_column: int | None = None
    end_column: int | None = None
    level: Literal["notice", "warning", "failure"]
    title: str | None = None
    message: str
    raw_details: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckAction:
    label: str
    description: str
    identifier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSuite:
    id: int
    repo_id: int
    app_id: int
    head_sha: str
    head_branch: str | None
    before: str | None = None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRun:
    id: int
    repo_id: int
    suite_id: int
    app_id: int
    name: str
    head_sha: str
    external_id: str = ""
    details_url: str | None = None
    status: CheckStatus = "queued"
    conclusion: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    title: str | None = None
    summary: str | None = None
    text: str | None = None
    annotations: tuple[Annotation, ...] = ()
    actions: tuple[CheckAction, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRun:
    """One run of a workflow for a commit; running it again is another attempt of the same run."""

    id: int
    repo_id: int
    suite_id: int
    number: int
    attempt: int = 1
    name: str
    path: str
    """Of the workflow's file."""
    event: Literal["push", "pull_request"]
    head_sha: str
    head_branch: str
    head_repo_id: int
    actor_id: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    name: str
    number: int
    conclusion: Literal["success", "failure", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowJob:
    """One job of one attempt; what is shown of it is its check run."""

    id: int
    repo_id: int
    run_id: int
    attempt: int
    check_run_id: int
    name: str
    steps: tuple[Step, ...] = ()
    log: str = ""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What a run has left; the archive itself is a file."""

    id: int
    repo_id: int
    run_id: int
    name: str
    size: int
    digest: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitStatus:
    """What an external system says of a commit; of each context the newest counts."""

    id: int
    repo_id: int
    sha: str
    state: Literal["error", "failure", "pending", "success"]
    context: str
    description: str | None = None
    target_url: str | None = None
    creator_id: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Where webhooks go: an App's own hook (`app_id`) or a repository's (`repo_id`)."""

    id: int
    app_id: int | None = None
    repo_id: int | None = None
    url: str
    secret: str
    events: tuple[str, ...] = ("*",)
    active: bool = True
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt to deliver one webhook; a redelivery is a new record with the same `guid`."""

    id: int
    guid: str
    hook_id: int
    event: str
    action: str | None
    repo_id: int | None
    installation_id: int | None
    payload: str
    redelivery: bool = False
    created_at: datetime
    status: str = "PENDING"
    status_code: int = 0
    duration: float = 0.0
    request_headers: dict[str, str] = field(default_factory=dict)
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: str = ""


Record = (
    User
    | App
    | Installation
    | Token
    | Repository
    | Label
    | Issue
    | Comment
    | Review
    | ReviewComment
    | ThreadResolution
    | Reaction
    | TimelineEvent
    | CheckSuite
    | CheckRun
    | WorkflowRun
    | WorkflowJob
    | Artifact
    | CommitStatus
    | Hook
    | Delivery
)
KINDS: tuple[type[Record], ...] = (
    User,
    App,
    Installation,
    Token,
    Repository,
    Label,
    Issue,
    Comment,
    Review,
    ReviewComment,
    ThreadResolution,
    Reaction,
    TimelineEvent,
    CheckSuite,
    CheckRun,
    WorkflowRun,
    WorkflowJob,
    Artifact,
    CommitStatus,
    Hook,
    Delivery,
)
R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Who is asking: nobody, a user, an App by its JWT, or an App's bot through an installation token."""

    user: User | None = None
    app: App | None = None
    installation: Installation | None = None
    permissions: Mapping[str, Access] | None = None
    repository_ids: frozenset[int] | None = None
    token_id: int | None = None

    @property
    def login(self) -> str:
        return self.user.login if self.user else "anonymous"

    @property
    def app_id(self) -> int | None:
        """The App that writes of this viewer are attributed to."""
        return self.installation.app_id if self.installation else None


ANONYMOUS = Viewer()


def now_utc() -> datetime:
    """The time in whole seconds, which is all that GitHub's timestamps carry."""
    return datetime.now(UTC).replace(microsecond=0)


class State:
    """All records, in memory and in one SQLite file under `home`; bare repositories lie beside it."""

    def __init__(
        self,
        home: Path,
        *,
        clock: Callable[[], datetime] = now_utc,
        random_hex: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self.home = home
        self.clock = clock
        self.random_hex = random_hex
        self.lock = threading.RLock()
        # The root of all addresses that answers carry; the server sets it when it knows its port.
        self.web_url = "http://localhost"
        # Called with each new delivery while the lock is held; the deliverer sets it.
        self.on_delivery: Callable[[Delivery], None] | None = None
        self._tables: dict[type, dict[int, Record]] = {kind: {} for kind in KINDS}
        self._numbers: dict[tuple[int, int], int] = {}
        self._tokens: dict[str, int] = {}
        home.mkdir(parents=True, exist_ok=True)
        (home / "repositories").mkdir(exist_ok=True)
        self._db = sqlite3.connect(home / "forge.sqlite", check_same_thread=False, isolation_level=None)
        self._load()

    def _load(self) -> None:
        # Losing the last second in a power cut is fine for a forge on a laptop; speed is not optional.
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS record (kind TEXT, id INTEGER, body TEXT, PRIMARY KEY (kind, id))"
        )
        self._db.execute("CREATE TABLE IF NOT EXISTS counter (one INTEGER PRIMARY KEY, value INTEGER)")
        self._db.execute("INSERT OR IGNORE INTO counter VALUES (1, 1000)")
        self._next_id = int(self._db.execute("SELECT value FROM counter").fetchone()[0])
        for kind in KINDS:
            adapter: TypeAdapter[Record] = TypeAdapter(kind)
            rows = self._db.execute("SELECT body FROM record WHERE kind = ? ORDER BY id", (kind.__name__,))
            for (body,) in rows:
                self._remember(adapter.validate_json(body))

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def next_id(self) -> int:
        """A number that no record of any kind has had before."""
        with self.lock:
            given = self._next_id
            self._next_id += 1
            self._db.execute("UPDATE counter SET value = ?", (self._next_id,))
            return given

    def put(self, record: R) -> R:
        """Insert the record, or replace the one with its kind and id."""
        with self.lock:
            self._remember(record)
            body = orjson.dumps(record, option=orjson.OPT_NON_STR_KEYS).decode()
            self._db.execute(
                "INSERT OR REPLACE INTO record VALUES (?, ?, ?)", (type(record).__name__, record.id, body)
            )
        return record

    def _remember(self, record: Record) -> None:
        self._tables[type(record)][record.id] = record
        match record:
            case Issue():
                self._numbers[record.repo_id, record.number] = record.id
            case Token():
                self._tokens[record.value] = record.id
            case _:
                pass

    def delete(self, record: Record) -> None:
        with self.lock:
            self._tables[type(record)].pop(record.id, None)
            self._db.execute(
                "DELETE FROM record WHERE kind = ? AND id = ?", (type(record).__name__, record.id)
            )

    def get(self, kind: type[R], record_id: int) -> R:
        """The record, which must exist; use `find` for ids that come from outside."""
        found = self.find(kind, record_id)
        if found is None:
            raise KeyError(kind.__name__, record_id)
        return found

    def find(self, kind: type[R], record_id: int | None) -> R | None:
        found = self._tables[kind].get(record_id) if record_id is not None else None
        return found if isinstance(found, kind) else None

    def all(self, kind: type[R]) -> list[R]:
        """All records of a kind, oldest first."""
        with self.lock:
            return [record for record in self._tables[kind].values() if isinstance(record, kind)]

    def where(self, kind: type[R], **members: object) -> Iterator[R]:
        """The records of a kind whose members have these values, oldest first."""
        for record in self.all(kind):
            if all(getattr(record, name) == value for name, value in members.items()):
                yield record

    def user(self, login: str) -> User | None:
        wanted = login.casefold()
        return next((user for user in self.all(User) if user.login.casefold() == wanted), None)

    def token(self, value: str) -> Token | None:
        return self.find(Token, self._tokens.get(value))

    def repository(self, owner: str, name: str) -> Repository | None:
        """By its present name, case ignored."""
        account = self.user(owner)
        if account is None:
            return None
        for repo in self.where(Repository, owner_id=account.id):
            if repo.name.casefold() == name.casefold():
                return repo
        return None

    def renamed(self, owner: str, name: str) -> Repository | None:
        """By a name it had before."""
        former = f"{owner}/{name}".casefold()
        return next((repo for repo in self.all(Repository) if former in repo.former_names), None)

    def full_name(self, repo: Repository) -> str:
        return f"{self.get(User, repo.owner_id).login}/{repo.name}"

    def git_dir(self, repo: Repository) -> Path:
        return self.home / "repositories" / f"{repo.id}.git"

    def issue(self, repo: Repository, number: int) -> Issue | None:
        """The issue or pull request with this number."""
        return self.find(Issue, self._numbers.get((repo.id, number)))

    def next_number(self, repo: Repository) -> int:
        with self.lock:
            return 1 + max((issue.number for issue in self.where(Issue, repo_id=repo.id)), default=0)

    def issues(self, repo: Repository) -> list[Issue]:
        """Issues and pull requests, oldest first; those with `pull` set are pull requests."""
        return list(self.where(Issue, repo_id=repo.id))

    def comments(self, issue: Issue) -> list[Comment]:
        return list(self.where(Comment, issue_id=issue.id))

    def reviews(self, issue: Issue) -> list[Review]:
        return list(self.where(Review, issue_id=issue.id))

    def review_comments(self, issue: Issue) -> list[ReviewComment]:
        return list(self.where(ReviewComment, issue_id=issue.id))

    def reactions(self, subject: SubjectKind, subject_id: int) -> list[Reaction]:
        return list(self.where(Reaction, subject=subject, subject_id=subject_id))

    def check_runs(self, repo: Repository, head_sha: str) -> list[CheckRun]:
        return list(self.where(CheckRun, repo_id=repo.id, head_sha=head_sha))

    def labels(self, issue: Issue) -> list[Label]:
        return [label for label_id in issue.label_ids if (label := self.find(Label, label_id))]

    def role_of(self, user: User | None, repo: Repository) -> Role:
        """The user's role in the repository; everyone may read a public one."""
        least: Role = "none" if repo.private else "read"
        if user is None:
            return least
        if user.id == repo.owner_id:
            return "admin"
        given = repo.collaborators.get(user.id, least)
        return max(given, least, key=ROLES.index)

    def installed_on(self, installation: Installation, repo: Repository) -> bool:
        if installation.account_id != repo.owner_id:
            return False
        return installation.repository_ids is None or repo.id in installation.repository_ids

    def installation_for(self, app: App, repo: Repository) -> Installation | None:
        for installation in self.where(Installation, app_id=app.id):
            if self.installed_on(installation, repo):
                return installation
        return None

    def may_see(self, viewer: Viewer, repo: Repository) -> bool:
        """Whether the repository exists as far as the viewer is concerned."""
        if not repo.private:
            return True
        if viewer.installation is not None:
            return self.grants(viewer, repo)
        return self.role_of(viewer.user, repo) != "none"

    def grants(self, viewer: Viewer, repo: Repository) -> bool:
        """Whether the viewer's installation token was given this repository."""
        if viewer.installation is None or not self.installed_on(viewer.installation, repo):
            return False
        return viewer.repository_ids is None or repo.id in viewer.repository_ids

    def visible_to_all(self) -> Iterator[Repository]:
        return self.where(Repository, private=False)
