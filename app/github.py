"""The forge's API as Darner uses it, over PyGithub: typed in, typed out, one request an operation.

Everything here blocks: call it through `GitHub.run`, which keeps one client per thread. A client shared by
two threads loses writes (measured: PyGithub keeps the request on the connection object before sending).
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar, cast

import requests
from github import Auth, Github, GithubRetry
from github.GithubException import GithubException, RateLimitExceededException, UnknownObjectException
from github.Repository import Repository
from pydantic import SecretStr

from app.store.places import RepositoryRef
from app.tokens import Tokens
from handlers.effects import ReactionTarget
from handlers.view import Branch, Permission, PullFacts

T = TypeVar("T")

API_VERSION: Final = "2022-11-28"
TIMEOUT_SECONDS: Final = 15
MAX_BODY: Final = 65_000
"""GitHub takes 65,536 characters; the rest is margin for the marker."""

ForgeFault = Literal["missing", "denied", "invalid", "conflict", "limited", "broken"]
"""`limited` and `broken` pass with time; the others stay as they are."""


class ForgeError(Exception):
    """The forge did not do it. `is_passing` says whether to try again."""

    def __init__(
        self, fault: ForgeFault, message: str, *, status: int, retry_after: float | None = None
    ) -> None:
        self.fault: Final = fault
        self.message: Final = message
        self.status: Final = status
        self.retry_after: Final = retry_after
        super().__init__(f"{status} {message}")

    @property
    def is_passing(self) -> bool:
        return self.fault in {"limited", "broken"}


@dataclass(frozen=True, slots=True)
class PostedComment:
    id: int
    author_id: int
    author: str
    author_kind: str
    association: str
    body: str
    url: str
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class SubjectText:
    """An issue or pull request as it reads now."""

    title: str
    body: str
    author: str
    association: str
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class OpenedPull:
    number: int
    url: str


class Client:
    """One thread's connection to one repository."""

    def __init__(self, github: Github, ref: RepositoryRef) -> None:
        self._github = github
        self._owner = ref.full_name.split("/")[0]
        self._path = f"/repos/{ref.full_name}"
        # Lazy: a Repository that has asked nothing yet, and whose attributes are never read.
        self._repository: Repository = github.get_repo(ref.full_name)

    def permission(self, login: str) -> Permission:
        """The exact role. https://docs.github.com/en/rest/collaborators/collaborators"""
        try:
            role = self._repository.get_collaborator_role_name(login)
        except UnknownObjectException:
            return "none"
        known: dict[str, Permission] = {
            role: role for role in ("none", "read", "triage", "write", "maintain", "admin")
        }
        # A custom role has a name of its own; `permission` holds what it is based on.
        return known.get(role) or known.get(self._repository.get_collaborator_permission(login), "none")

    def default_branch(self) -> str:
        _, answer = self._github.requester.requestJsonAndCheck("GET", self._path)
        return str(answer["default_branch"])

    def branch(self, name: str) -> Branch:
        return Branch(name, self._repository.get_branch(name).commit.sha)

    def file(self, path: str, sha: str) -> bytes | None:
        try:
            content = self._repository.get_contents(path, ref=sha)
        except UnknownObjectException:
            return None
        return None if isinstance(content, list) else content.decoded_content

    def pull(self, number: int) -> PullFacts:
        pull = self._repository.get_pull(number)
        head = pull.head
        # `head.repo` is null once the fork is deleted, whatever the type says.
        head_repository = cast("Repository | None", head.repo)
        head_id = head_repository.id if head_repository is not None else None
        return PullFacts(
            head=Branch(head.ref, head.sha),
            base=Branch(pull.base.ref, pull.base.sha),
            head_repository_id=head_id,
            is_fork=head_id != pull.base.repo.id,
            is_draft=pull.draft,
        )

    def subject(self, number: int) -> SubjectText:
        raw = self._repository.get_issue(number).raw_data
        return SubjectText(
            title=raw["title"],
            body=raw.get("body") or "",
            author=(raw.get("user") or {}).get("login", "ghost"),
            association=raw.get("author_association", "NONE"),
            created_at=raw["created_at"],
            updated_at=raw["updated_at"],
        )

    def comments(self, number: int) -> list[PostedComment]:
        """The conversation, oldest first: a page of a hundred at a time, raw (an object costs 70 µs each)."""
        found: list[PostedComment] = []
        page = 1
        while True:
            _, answer = self._github.requester.requestJsonAndCheck(
                "GET", f"{self._issue_path(number)}/comments", parameters={"per_page": 100, "page": page}
            )
            found += [_comment(raw) for raw in answer]
            if len(answer) < 100:
                return found
            page += 1

    def react(self, subject: int, target: ReactionTarget, content: str) -> None:
        """200 when it was there already, so it may be repeated."""
        paths = {
            "subject": self._issue_path(subject),
            "issue_comment": f"{self._path}/issues/comments/{target.id}",
            "review_comment": f"{self._path}/pulls/comments/{target.id}",
        }
        self._github.requester.requestJsonAndCheck(
            "POST", f"{paths[target.kind]}/reactions", input={"content": content}
        )

    def post_comment(self, number: int, body: str) -> PostedComment:
        return self._written("POST", f"{self._issue_path(number)}/comments", {"body": body})

    def reply(self, number: int, thread_root: int, body: str) -> PostedComment:
        path = f"{self._path}/pulls/{number}/comments/{thread_root}/replies"
        return self._written("POST", path, {"body": body})

    def review_replies(self, number: int) -> list[PostedComment]:
        _, answer = self._github.requester.requestJsonAndCheck(
            "GET", f"{self._path}/pulls/{number}/comments", parameters={"per_page": 100}
        )
        return [_comment(raw) for raw in answer]

    def edit_comment(self, comment: int, body: str, *, in_review: bool) -> None:
        area = "pulls" if in_review else "issues"
        self._written("PATCH", f"{self._path}/{area}/comments/{comment}", {"body": body})

    def find_pull(self, head: str) -> OpenedPull | None:
        """The pull request of this branch, open or not: one branch has one."""
        _, answer = self._github.requester.requestJsonAndCheck(
            "GET", f"{self._path}/pulls", parameters={"state": "all", "head": f"{self._owner}:{head}"}
        )
        return OpenedPull(answer[0]["number"], answer[0]["html_url"]) if answer else None

    def open_pull(self, *, head: str, base: str, title: str, body: str) -> OpenedPull:
        pull = self._repository.create_pull(base=base, head=head, title=title, body=body, draft=True)
        return OpenedPull(pull.number, pull.html_url)

    def write_check_run(self, *, external_id: str, head_sha: str, fields: dict[str, Any]) -> int:
        """Create the run, or update the one that has this external id."""
        _, answer = self._github.requester.requestJsonAndCheck(
            "GET",
            f"{self._path}/commits/{head_sha}/check-runs",
            parameters={"check_name": fields["name"], "filter": "all"},
        )
        for run in answer["check_runs"]:
            if run.get("external_id") == external_id:
                path = f"{self._path}/check-runs/{run['id']}"
                return self._id(self._github.requester.requestJsonAndCheck("PATCH", path, input=fields)[1])
        body = {**fields, "head_sha": head_sha, "external_id": external_id}
        path = f"{self._path}/check-runs"
        return self._id(self._github.requester.requestJsonAndCheck("POST", path, input=body)[1])

    def _issue_path(self, number: int) -> str:
        return f"{self._path}/issues/{number}"

    def _written(self, verb: str, path: str, body: dict[str, Any]) -> PostedComment:
        _, answer = self._github.requester.requestJsonAndCheck(verb, path, input=body)
        self._id(answer)
        return _comment(answer)

    @staticmethod
    def _id(answer: Any) -> int:
        """A redirect counts as success for PyGithub and has no id: nothing was written then."""
        if not isinstance(answer, dict) or not isinstance(answer.get("id"), int):
            msg = "the forge answered a write without an id: nothing was written"
            raise ForgeError("broken", msg, status=200)
        return int(answer["id"])


class GitHub:
    """The door to the forge."""

    def __init__(self, *, api_url: str, web_url: str, tokens: Tokens, retry: bool = True) -> None:
        self.web_url: Final = web_url
        self.tokens: Final = tokens
        self._api_url: Final = api_url
        self._local = threading.local()
        self._retry = retry

    async def run(self, ref: RepositoryRef, work: Callable[[Client], T]) -> T:
        """Do `work` in a worker thread with that thread's own client. Raises `ForgeError`."""
        return await asyncio.to_thread(self._run, ref, work)

    def _run(self, ref: RepositoryRef, work: Callable[[Client], T]) -> T:
        try:
            token = self.tokens.token(installation=ref.installation, repository=ref.id)
            return work(Client(self._client(ref, token), ref))
        except (GithubException, requests.RequestException, AssertionError, ValueError) as error:
            raise forge_error(error) from error

    def _client(self, ref: RepositoryRef, token: SecretStr) -> Github:
        clients: dict[int, tuple[str, Github]] = self._local.__dict__.setdefault("clients", {})
        value = token.get_secret_value()
        held = clients.get(ref.id)
        if held is None or held[0] != value:
            held = (value, self._new_client(Auth.Token(value)))
            clients[ref.id] = held
        return held[1]

    def _new_client(self, auth: Auth.Auth) -> Github:
        return Github(
            auth=auth,
            base_url=self._api_url,
            timeout=TIMEOUT_SECONDS,
            user_agent="darner",
            per_page=100,
            # Writes are repeated by the outbox, which looks first whether they happened.
            retry=GithubRetry(
                total=3,
                backoff_factor=0.5,
                max_rate_limit_wait=5,
                allowed_methods=frozenset({"GET", "HEAD", "PUT", "DELETE"}),
            )
            if self._retry
            else None,
            seconds_between_requests=None,
            seconds_between_writes=None,
            lazy=True,
            api_version=API_VERSION,
        )


def forge_error(error: Exception) -> ForgeError:
    """Every way PyGithub fails, as the one question that matters: does it pass?"""
    if isinstance(error, ForgeError):
        return error
    if isinstance(error, GithubException):
        return _from_answer(error)
    if isinstance(error, requests.RequestException):
        return ForgeError("broken", f"the forge did not answer ({type(error).__name__})", status=0)
    return ForgeError("broken", f"the forge's answer makes no sense ({type(error).__name__})", status=0)


def _from_answer(error: GithubException) -> ForgeError:
    status = error.status
    message = _message(error)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    limited = (
        status == 429 or isinstance(error, RateLimitExceededException) or "rate limit" in message.lower()
    )
    if limited and status in {403, 429}:
        return ForgeError("limited", message, status=status, retry_after=_wait(headers))
    if status >= 500:
        return ForgeError("broken", message, status=status)
    faults: dict[int, ForgeFault] = {
        401: "denied",
        403: "denied",
        404: "missing",
        409: "conflict",
        422: "invalid",
    }
    return ForgeError(faults.get(status, "invalid"), message, status=status)


def _wait(headers: dict[str, str]) -> float:
    """https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api"""
    if (after := headers.get("retry-after", "")).isdigit():
        return float(after)
    if (
        headers.get("x-ratelimit-remaining") == "0"
        and (reset := headers.get("x-ratelimit-reset", "")).isdigit()
    ):
        return max(1.0, float(reset) - time.time())
    return 60.0


def _message(error: GithubException) -> str:
    data = error.data
    if not isinstance(data, dict):
        return str(data)[:200] or f"status {error.status}"
    detail = data.get("errors")
    text = str(data.get("message", f"status {error.status}"))
    return f"{text} {json.dumps(detail)[:300]}" if detail else text


def _comment(raw: dict[str, Any]) -> PostedComment:
    user = raw.get("user") or {}
    return PostedComment(
        id=raw["id"],
        author_id=user.get("id", 0),
        author=user.get("login", "ghost"),
        author_kind=user.get("type", "User"),
        association=raw.get("author_association", "NONE"),
        body=raw.get("body") or "",
        url=raw.get("html_url", ""),
        created_at=raw.get("created_at", ""),
        updated_at=raw.get("updated_at", ""),
    )
