"""The forge's API as Darner uses it, over PyGithub: typed in, typed out, one request an operation.

Everything here blocks: call it through `GitHub.run`, which keeps one client per thread. A client shared by
two threads loses writes (measured: PyGithub keeps the request on the connection object before sending).
"""

import asyncio
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar
from urllib.parse import quote

from github import Auth, Github
from github.GithubException import GithubException, UnknownObjectException
from github.Repository import Repository
from pydantic import SecretStr
from urllib3.util import Retry

from app.forge_error import RAISED, ForgeError, forge_error
from app.forge_limits import Budget, ForgeLimits
from app.remembered import Answers, Remembered
from app.store.fence import require_lease
from app.store.places import RepositoryRef
from app.tokens import API_VERSION, TIMEOUT_SECONDS, Tokens
from handlers.effects import ForkHead, ReactionTarget
from handlers.permissions import Permission
from handlers.view import Branch, PullFacts
from harness.findings import Side

T = TypeVar("T")

FILES_REMEMBERED: Final = 256
MAX_BODY: Final = 65_000
"""GitHub takes 65,536 characters; the rest is margin for the marker."""
PAGE: Final = 100
MOST_PAGES: Final = 10
"""Of a conversation, the newest: a thousand texts are more than a briefing holds."""
CLIENTS_KEPT: Final = 16
"""Of one thread: each holds a connection."""


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

    body: str
    author: str
    association: str
    created_at: str
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineNote:
    """A comment on a pull request's diff."""

    id: int
    root: int
    """Id of the comment that begins its thread."""
    author_id: int
    author: str
    is_bot: bool
    body: str
    url: str
    path: str
    side: Side
    line: int | None
    """None where it is on the whole file, or outdated."""
    start_line: int | None
    is_on_file: bool
    """On the whole file, not on lines of it."""
    liked: int
    disliked: int


@dataclass(frozen=True, slots=True)
class SubjectState:
    """Whether a conversation goes on."""

    is_open: bool
    is_merged: bool
    closed_by: str
    """Empty where the forge does not tell."""
    closed_at: str


@dataclass(frozen=True, slots=True)
class Standing:
    full_name: str
    id: int
    is_archived: bool


@dataclass(frozen=True, slots=True)
class OpenedPull:
    number: int
    url: str


class Client:
    """One thread's connection to one repository."""

    def __init__(self, github: Github, ref: RepositoryRef, answers: Answers) -> None:
        self._github = github
        self._answers = answers
        self._installation = ref.installation
        self._id_of_repository = ref.id
        self._owner = ref.full_name.split("/")[0]
        self._path = f"/repos/{ref.full_name}"
        # Lazy: a Repository that has asked nothing yet, and whose attributes are never read.
        self._repository: Repository = github.get_repo(ref.full_name)
        self.has_begun_writing = False
        """Whether what failed may have been a write."""

    def budget(self) -> Budget | None:
        """What the last answer told of the hour's requests; None where the forge does not count them."""
        remaining, limit = self._github.requester.rate_limiting
        if limit <= 0:
            return None
        return Budget(remaining, limit, float(self._github.requester.rate_limiting_resettime))

    def permission(self, login: str, user: int) -> Permission:
        """The exact role. https://docs.github.com/en/rest/collaborators/collaborators"""
        try:
            answer = self._get(f"{self._path}/collaborators/{quote(login, safe='')}/permission")
        except UnknownObjectException:
            return "none"
        # A login can change hands: whoever bears it now may not be who asked.
        if (answer.get("user") or {}).get("id") != user:
            return "none"
        known: dict[str, Permission] = {
            role: role for role in ("none", "read", "triage", "write", "maintain", "admin")
        }
        # A custom role has a name of its own; `permission` holds what it is based on.
        return known.get(answer.get("role_name", "")) or known.get(answer["permission"], "none")

    def full_name(self) -> str:
        """The name of today: an old one is redirected."""
        return str(self._get(self._path)["full_name"])

    def default_branch(self) -> str:
        return str(self._get(self._path)["default_branch"])

    def branch(self, name: str) -> Branch | None:
        """None when there is none: a repository may have no commit yet."""
        try:
            answer = self._get(f"{self._path}/branches/{quote(name, safe='')}")
        except UnknownObjectException:
            return None
        return Branch(name, answer["commit"]["sha"])

    def file(self, path: str, sha: str) -> bytes | None:
        """None when there is none, or no file of that name."""
        try:
            content = self._repository.get_contents(path, ref=sha)
        except UnknownObjectException:
            return None
        return None if isinstance(content, list) else content.decoded_content

    def pull(self, number: int) -> PullFacts | None:
        try:
            pull = self._get(f"{self._path}/pulls/{number}")
        except UnknownObjectException:
            return None
        head, base = pull["head"], pull["base"]
        # Null once the fork is deleted.
        head_repository = head.get("repo") or {}
        head_id = head_repository.get("id")
        return PullFacts(
            head=Branch(head["ref"], head["sha"]),
            base=Branch(base["ref"], base["sha"]),
            is_fork=head_id != base["repo"]["id"],
            title=pull.get("title") or "",
            body=pull.get("body") or "",
            author=(pull.get("user") or {}).get("login", "ghost"),
            author_id=(pull.get("user") or {}).get("id", 0),
            labels=tuple(label["name"] for label in pull.get("labels") or ()),
            is_draft=bool(pull.get("draft")),
            is_open=pull.get("state", "open") == "open",
            head_repository=head_repository.get("full_name", ""),
            head_repository_id=head_id or 0,
            lets_maintainers_push=bool(pull.get("maintainer_can_modify")),
        )

    def subject(self, number: int) -> SubjectText:
        raw = self._get(self._issue_path(number))
        return SubjectText(
            body=raw.get("body") or "",
            author=(raw.get("user") or {}).get("login", "ghost"),
            association=raw.get("author_association", "NONE"),
            created_at=raw["created_at"],
            title=raw.get("title") or "",
        )

    def subject_state(self, number: int) -> SubjectState:
        raw = self._get(self._issue_path(number))
        is_merged = bool((raw.get("pull_request") or {}).get("merged_at"))
        return SubjectState(
            is_open=raw["state"] == "open",
            is_merged=is_merged,
            closed_by=(raw.get("closed_by") or {}).get("login", ""),
            closed_at=raw.get("closed_at") or "",
        )

    def standing(self) -> Standing:
        """The repository as it is called today, and whether it takes writes."""
        raw = self._get(self._path)
        return Standing(raw["full_name"], raw["id"], is_archived=bool(raw.get("archived")))

    def has_comment(self, comment: int, *, in_review: bool) -> bool:
        area = "pulls" if in_review else "issues"
        try:
            self._get(f"{self._path}/{area}/comments/{comment}")
        except UnknownObjectException:
            return False
        return True

    def comments(self, number: int) -> list[PostedComment]:
        """The conversation, oldest first; of a very long one the end."""
        return self._newest(f"{self._issue_path(number)}/comments")

    def react(self, subject: int, target: ReactionTarget, content: str) -> None:
        """200 when it was there already, so it may be repeated."""
        paths = {
            "subject": self._issue_path(subject),
            "issue_comment": f"{self._path}/issues/comments/{target.id}",
            "review_comment": f"{self._path}/pulls/comments/{target.id}",
        }
        self._write("POST", f"{paths[target.kind]}/reactions", {"content": content})

    def post_comment(self, number: int, body: str) -> PostedComment:
        return self._written("POST", f"{self._issue_path(number)}/comments", {"body": body})

    def reply(self, number: int, thread_root: int, body: str) -> PostedComment:
        path = f"{self._path}/pulls/{number}/comments/{thread_root}/replies"
        return self._written("POST", path, {"body": body})

    def review_replies(self, number: int) -> list[PostedComment]:
        """The comments on lines, oldest first; of very many the newest."""
        return self._newest(f"{self._path}/pulls/{number}/comments")

    def line_notes(self, number: int) -> list[LineNote]:
        """The comments on lines with their places, oldest first; of very many the newest."""
        return [_line_note(raw) for raw in self._newest_raw(f"{self._path}/pulls/{number}/comments")]

    def create_review(
        self, number: int, *, sha: str, body: str, comments: Sequence[Mapping[str, Any]]
    ) -> None:
        """A published review of event COMMENT, with all of its comments or none.

        https://docs.github.com/en/rest/pulls/reviews#create-a-review-for-a-pull-request
        """
        fields = {"commit_id": sha, "body": body, "event": "COMMENT", "comments": list(comments)}
        self._write("POST", f"{self._path}/pulls/{number}/reviews", fields)

    def comment_on_file(self, number: int, *, sha: str, path: str, body: str) -> PostedComment:
        """A comment on a whole file of the diff."""
        fields = {"commit_id": sha, "path": path, "body": body, "subject_type": "file"}
        return self._written("POST", f"{self._path}/pulls/{number}/comments", fields)

    def settle_thread(self, number: int, comment: int, *, is_resolved: bool) -> bool:
        """Resolve the thread that begins with `comment`, or open it again. False: there is no such thread.

        GitHub offers this by GraphQL alone, to Apps with write access to contents.
        """
        owner, _, name = self._path.removeprefix("/repos/").partition("/")
        cursor = None
        while True:
            asked = {"owner": owner, "name": name, "number": number, "after": cursor}
            threads = self._graphql(_THREADS, asked)["repository"]["pullRequest"]["reviewThreads"]
            for thread in threads["nodes"]:
                [first] = thread["comments"]["nodes"] or [{}]
                if first.get("databaseId") != comment:
                    continue
                if thread["isResolved"] != is_resolved:
                    require_lease()
                    self.has_begun_writing = True
                    self._graphql(_RESOLVE if is_resolved else _UNRESOLVE, {"thread": thread["id"]})
                    self.has_begun_writing = False
                return True
            if not threads["pageInfo"]["hasNextPage"]:
                return False
            cursor = threads["pageInfo"]["endCursor"]

    def edit_comment(self, comment: int, body: str, *, in_review: bool) -> None:
        area = "pulls" if in_review else "issues"
        self._written("PATCH", f"{self._path}/{area}/comments/{comment}", {"body": body})

    def find_pull(self, head: str) -> OpenedPull | None:
        """The pull request of this branch of the repository itself, open or not: one branch has one."""
        for pull in self._get(f"{self._path}/pulls", state="all", head=f"{self._owner}:{head}"):
            # A redirect (the repository was renamed) loses the query: then these are any pull requests.
            of_ours = (pull["head"].get("repo") or {}).get("id") == self._id_of_repository
            if of_ours and pull["head"]["ref"] == head:
                return OpenedPull(pull["number"], pull["html_url"])
        return None

    def is_merged(self, head: str) -> bool:
        """Whether this branch's pull requests are merged, and none of them is open."""
        raws = self._get(f"{self._path}/pulls", state="all", head=f"{self._owner}:{head}")
        # As in `find_pull`: a redirect loses the query.
        mine = [raw for raw in raws if raw["head"]["ref"] == head]
        is_open = any(raw["state"] == "open" for raw in mine)
        return not is_open and any(raw.get("merged_at") for raw in mine)

    def open_pull(self, *, head: str, base: str, title: str, body: str) -> OpenedPull:
        """A draft; or ready for review, where the plan of a private repository has no drafts."""
        fields = {"base": base, "head": head, "title": title, "body": body}
        path = f"{self._path}/pulls"
        try:
            answer = self._write("POST", path, {**fields, "draft": True})
        except GithubException as error:
            if error.status != 422 or "draft" not in str(error.data).lower():
                raise
            answer = self._write("POST", path, fields)
        return OpenedPull(answer["number"], answer["html_url"])

    def write_check_run(
        self,
        *,
        external_id: str,
        head_sha: str,
        fields: dict[str, Any],
        annotations: Sequence[Mapping[str, Any]] = (),
    ) -> int:
        """Create the run, or update the one that has this external id.

        A request takes 50 annotations, and each adds to those that are there.
        https://docs.github.com/en/rest/checks/runs#update-a-check-run
        """
        run = self._check_run(external_id, head_sha, fields["name"])
        # What an earlier try has told stands already.
        told = 0 if run is None else (run.get("output") or {}).get("annotations_count") or 0
        parts = [annotations[at : at + PAGE // 2] for at in range(told, len(annotations), PAGE // 2)]
        first = _with_annotations(fields, parts[0]) if parts else fields
        if run is not None:
            number = int(self._write("PATCH", f"{self._path}/check-runs/{run['id']}", first)["id"])
        else:
            body = {**first, "head_sha": head_sha, "external_id": external_id}
            number = int(self._write("POST", f"{self._path}/check-runs", body)["id"])
        for part in parts[1:]:
            self._write("PATCH", f"{self._path}/check-runs/{number}", _with_annotations(fields, part))
        return number

    def _check_run(self, external_id: str, head_sha: str, name: str) -> dict[str, Any] | None:
        runs = self._get(
            f"{self._path}/commits/{head_sha}/check-runs", check_name=name, filter="all", per_page=PAGE
        )["check_runs"]
        return next((run for run in runs if run.get("external_id") == external_id), None)

    def read(self, path: str, **parameters: Any) -> Any:
        """What the forge answers about `path`, which lies below the repository's own."""
        return self._get(f"{self._path}{path}", **parameters)

    def read_if_there(self, path: str) -> Any | None:
        """As `read`; None for what is not there (any more)."""
        try:
            return self.read(path)
        except GithubException as error:
            if error.status not in {404, 410}:
                raise
            return None

    def do(self, path: str) -> None:
        """A write that has no answer worth reading."""
        require_lease()
        self.has_begun_writing = True
        self._github.requester.requestJsonAndCheck("POST", f"{self._path}{path}")
        self.has_begun_writing = False

    def redirected(self, path: str) -> str:
        """The address that the forge sends whoever asks for `path` to; it is not followed."""
        status, headers, text = self._github.requester.requestJson("GET", f"{self._path}{path}")
        if status >= 400:
            raise self._github.requester.createException(status, headers, _complaint(text))
        if status not in {301, 302, 307} or not headers.get("location"):
            raise ForgeError("missing", "there is no address of what was asked for", status=status)
        return str(headers["location"])

    def _issue_path(self, number: int) -> str:
        return f"{self._path}/issues/{number}"

    def _get(self, path: str, **parameters: Any) -> Any:
        return self._asked(path, **parameters)[0]

    def _asked(self, path: str, **parameters: Any) -> tuple[Any, str]:
        """What is there now, and its `Link` header. What we have already is not sent again, nor counted."""
        requester = self._github.requester
        # By installation: what two of them see of one repository may differ.
        key = (self._installation, path, *sorted(parameters.items()))
        known = self._answers.find(key)
        condition = {"If-None-Match": known.etag} if known else None
        status, headers, text = requester.requestJson("GET", path, parameters, condition)
        if status == 304 and known is not None:
            return json.loads(known.text), known.link
        if status >= 400:
            raise requester.createException(status, headers, _complaint(text))
        link = headers.get("link", "")
        # Read first: what makes no sense is not worth keeping.
        answer = json.loads(text)
        if status == 200 and (etag := headers.get("etag")):
            self._answers.keep(key, Remembered(etag, link, text))
        return answer, link

    def _graphql(self, query: str, variables: dict[str, Any]) -> Any:
        return self._github.requester.graphql_query(query, variables)[1]["data"]

    def _newest(self, path: str) -> list[PostedComment]:
        return [_comment(raw) for raw in self._newest_raw(path)]

    def _newest_raw(self, path: str) -> list[dict[str, Any]]:
        """A list that is oldest first, from its last pages; raw (an object costs 70 µs each)."""
        first, link = self._asked(path, per_page=PAGE)
        last = _last_page(link)
        pages = range(max(2, last - MOST_PAGES + 1), last + 1)
        raws = [] if last > MOST_PAGES else list(first)
        for page in pages:
            raws += self._get(path, per_page=PAGE, page=page)
        return raws

    def _written(self, verb: str, path: str, body: dict[str, Any]) -> PostedComment:
        return _comment(self._write(verb, path, body))

    def _write(self, verb: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The object as written. PyGithub takes a redirect for success; its answer has no id."""
        require_lease()
        self.has_begun_writing = True
        _, answer = self._github.requester.requestJsonAndCheck(verb, path, input=body)
        self.has_begun_writing = False
        if not isinstance(answer, dict) or not isinstance(answer.get("id"), int):
            msg = "the forge answered a write without an id: nothing was written"
            raise ForgeError("moved", msg, status=307)
        return answer


@dataclass(slots=True)
class _Heard:
    """What a worker thread has to tell of the forge's limits."""

    budget: Budget | None = None
    is_write: bool = False


class GitHub:
    """The door to the forge."""

    def __init__(
        self, *, api_url: str, web_url: str, tokens: Tokens, limits: ForgeLimits | None = None
    ) -> None:
        """`limits`: what is asked and heard is shared with all processes; None: nobody counts."""
        self._limits: Final = limits
        self.web_url: Final = web_url
        self.tokens: Final = tokens
        self._api_url: Final = api_url
        self._local = threading.local()
        self._files: dict[tuple[int, str, str], bytes | None] = {}
        self._answers: Final = Answers()

    async def run(self, ref: RepositoryRef, work: Callable[[Client], T]) -> T:
        """Do `work` in a worker thread with that thread's own client. Raises `ForgeError`.

        While the forge limits the installation altogether, it says so without asking.
        """
        limits, heard = self._limits, _Heard()
        if limits is None:
            return await asyncio.to_thread(self._run, ref, work, heard)
        await limits.check(ref.installation)
        try:
            return await asyncio.to_thread(self._run, ref, work, heard)
        except ForgeError as error:
            await limits.heard(ref.installation, error, by_write=heard.is_write)
            raise
        finally:
            if heard.budget is not None:
                await limits.told(ref.installation, heard.budget)

    async def file(self, ref: RepositoryRef, path: str, sha: str) -> bytes | None:
        """A file of a commit; None when there is none. Remembered: a commit never changes."""
        key = (ref.id, path, sha)
        if key not in self._files:
            found = await self.run(ref, lambda client: client.file(path, sha))
            while len(self._files) >= FILES_REMEMBERED:
                self._files.pop(next(iter(self._files)))
            self._files[key] = found
        return self._files[key]

    async def fork_of(self, pull: PullFacts) -> ForkHead | None:
        """The fork that a pull request is from, if it may be pushed to. Raises `ForgeError`."""
        name = pull.head_repository
        if not (pull.is_fork and name and pull.lets_maintainers_push):
            return None
        found = await asyncio.to_thread(self.tokens.installed_on, name)
        if found is None:
            return None
        return ForkHead(id=pull.head_repository_id, full_name=name, installation=found)

    async def located(self, ref: RepositoryRef) -> RepositoryRef:
        """Where the repository is now, if it was renamed or given away. Raises `ForgeError`."""
        return replace(ref, full_name=await self.run(ref, lambda client: client.full_name()))

    async def run_settling(self, ref: RepositoryRef, work: Callable[[Client], T]) -> T:
        """Do `work` with a token that may write contents, minted for it and given back. Raises `ForgeError`.

        For what GitHub wants that right for and no push is: everything else does without it.
        """
        if self._limits is not None:
            await self._limits.check(ref.installation)
        return await asyncio.to_thread(self._run_settling, ref, work)

    def _run_settling(self, ref: RepositoryRef, work: Callable[[Client], T]) -> T:
        try:
            token = self.tokens.push_token(installation=ref.installation, repository=ref.id, with_pulls=True)
        except RAISED as error:
            raise forge_error(error) from error
        try:
            with self._new_client(Auth.Token(token.get_secret_value())) as connection:
                return work(Client(connection, ref, self._answers))
        except RAISED as error:
            raise forge_error(error) from error
        finally:
            self.tokens.revoke(token)

    def _run(self, ref: RepositoryRef, work: Callable[[Client], T], heard: _Heard) -> T:
        token = self.tokens.token(installation=ref.installation, repository=ref.id)
        client = Client(self._client(ref, token), ref, self._answers)
        try:
            return work(client)
        except RAISED as error:
            found = forge_error(error)
            if found.fault == "signed_out":
                # Revoked before its time: the next try gets a new one.
                self.tokens.forget(token)
            raise found from error
        finally:
            heard.budget, heard.is_write = client.budget(), client.has_begun_writing

    def _client(self, ref: RepositoryRef, token: SecretStr) -> Github:
        clients: dict[int, tuple[str, Github]] = self._local.__dict__.setdefault("clients", {})
        value = token.get_secret_value()
        held = clients.pop(ref.id, None)
        if held is None or held[0] != value:
            if held is not None:
                held[1].close()
            held = (value, self._new_client(Auth.Token(value)))
        clients[ref.id] = held
        if len(clients) > CLIENTS_KEPT:
            _, longest_unused = clients.pop(next(iter(clients)))
            longest_unused.close()
        return held[1]

    def _new_client(self, auth: Auth.Auth) -> Github:
        return Github(
            auth=auth,
            base_url=self._api_url,
            timeout=TIMEOUT_SECONDS,
            user_agent="darner",
            per_page=PAGE,
            # Writes are repeated by the outbox, which looks first whether they happened.
            # Limits are waited for by nobody here: a thread that sleeps is a thread less. PyGithub's own kind
            # of retry sleeps through each `Retry-After`, whatever its `max_rate_limit_wait` says.
            retry=Retry(
                total=3,
                backoff_factor=0.5,
                status_forcelist=(500, 502, 503, 504),
                allowed_methods=frozenset({"GET", "HEAD", "PUT", "DELETE"}),
                respect_retry_after_header=False,
                raise_on_status=False,
            ),
            seconds_between_requests=None,
            seconds_between_writes=None,
            lazy=True,
            api_version=API_VERSION,
        )


def _last_page(link: str) -> int:
    """https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api"""
    found = re.search(r"[?&]page=(\d+)[^>]*>;\s*rel=\"last\"", link)
    return int(found[1]) if found else 1


def _complaint(text: str) -> Any:
    """The body of a refusal; a proxy's page is none of GitHub's."""
    try:
        return json.loads(text)
    except ValueError:
        return {"data": text}


def _with_annotations(fields: dict[str, Any], part: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {**fields, "output": {**fields["output"], "annotations": list(part)}}


_THREADS: Final = """\
query($owner: String!, $name: String!, $number: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      reviewThreads(first: 100, after: $after) {
        nodes { id isResolved comments(first: 1) { nodes { databaseId } } }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
}"""
_RESOLVE: Final = (
    "mutation($thread: ID!) { resolveReviewThread(input: {threadId: $thread}) { thread { id } } }"
)
_UNRESOLVE: Final = (
    "mutation($thread: ID!) { unresolveReviewThread(input: {threadId: $thread}) { thread { id } } }"
)


def _line_note(raw: dict[str, Any]) -> LineNote:
    user, reactions = raw.get("user") or {}, raw.get("reactions") or {}
    return LineNote(
        id=raw["id"],
        root=raw.get("in_reply_to_id") or raw["id"],
        author_id=user.get("id", 0),
        author=user.get("login", "ghost"),
        is_bot=user.get("type") == "Bot",
        body=raw.get("body") or "",
        url=raw.get("html_url", ""),
        path=raw.get("path", ""),
        side="LEFT" if raw.get("side") == "LEFT" else "RIGHT",
        line=raw.get("line"),
        start_line=raw.get("start_line"),
        is_on_file=raw.get("subject_type") == "file",
        liked=reactions.get("+1", 0),
        disliked=reactions.get("-1", 0),
    )


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
