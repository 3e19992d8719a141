"""What a route function gets and gives: one request with its viewer, and an answer not yet written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar
from urllib.parse import urlencode

from demo.forge import shapes
from demo.forge.actions.actor import Actor
from demo.forge.git import Git
from demo.forge.refusals import Refused, no_commit, not_found
from demo.forge.state import (
    Artifact,
    CheckRun,
    CheckSuite,
    Comment,
    Issue,
    Record,
    Repository,
    Review,
    ReviewComment,
    State,
    Viewer,
    WorkflowJob,
    WorkflowRun,
)

T = TypeVar("T")
K = TypeVar("K", Comment, ReviewComment, CheckRun, CheckSuite, WorkflowRun, WorkflowJob, Artifact)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status with JSON, or with text of another media type."""

    status: int = 200
    body: object = None
    text: str | None = None
    media_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


NO_CONTENT = Answer(status=204)


@dataclass(frozen=True, kw_only=True)
class Call:
    state: State
    viewer: Viewer
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: object
    accept: str
    # The path below /api/v3, by repository id, for the Link header.
    path: str
    found_repo: Repository | None
    # The viewer's hourly limit: limit, used, remaining, reset.
    rate: Mapping[str, int]

    @property
    def actor(self) -> Actor:
        return Actor(self.state, self.viewer)

    @property
    def repo(self) -> Repository:
        if self.found_repo is None:
            raise not_found()
        return self.found_repo

    @cached_property
    def git(self) -> Git:
        return Git(self.state.git_dir(self.repo))

    @property
    def issue(self) -> Issue:
        """The issue or pull request that the path names."""
        number = self.params.get("issue_number") or self.params.get("pull_number", "")
        issue = self.state.issue(self.repo, int(number)) if number.isdecimal() else None
        if issue is None:
            raise not_found()
        return issue

    @property
    def pull(self) -> Issue:
        issue = self.issue
        if issue.pull is None:
            raise not_found()
        return issue

    def sha(self, name: str) -> str:
        """The commit that a SHA, branch or tag stands for."""
        sha = self.git.resolve(name)
        if sha is None:
            raise no_commit(name)
        return sha

    def named(self, kind: type[K], param: str) -> K:
        """The record of this repository whose id the path names."""
        text = self.params[param]
        record = self.state.find(kind, int(text)) if text.isdecimal() else None
        if record is None or record.repo_id != self.repo.id:
            raise not_found()
        return record

    def review(self) -> Review:
        text = self.params["review_id"]
        record: Record | None = self.state.find(Review, int(text)) if text.isdecimal() else None
        if not isinstance(record, Review) or record.issue_id != self.pull.id:
            raise not_found()
        return record

    @property
    def members(self) -> Mapping[str, object]:
        """The JSON object of the body; none at all counts as an empty one."""
        if self.body is None:
            return {}
        if not isinstance(self.body, dict):
            raise Refused(400, "Body should be a JSON object")
        return self.body

    def text(self, name: str) -> str | None:
        value = self.members.get(name)
        if value is None or isinstance(value, str):
            return value
        raise wrong_type(name, value, "string")

    def required(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise not_supplied(name)
        return value

    def number(self, name: str) -> int | None:
        value = self.members.get(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise wrong_type(name, value, "integer")

    def flag(self, name: str) -> bool | None:
        value = self.members.get(name)
        if value is None or isinstance(value, bool):
            return value
        raise wrong_type(name, value, "boolean")

    def texts(self, name: str) -> list[str] | None:
        """A list of strings, or of objects with a name, as labels may be given."""
        value = self.members.get(name)
        return None if value is None else names_in(name, value)

    def objects(self, name: str) -> list[Mapping[str, object]] | None:
        value = self.members.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise wrong_type(name, value, "array")
        return list(value)

    def wants(self, media: str) -> bool:
        """Whether the client asked for this GitHub media type: diff, patch, raw, object."""
        return any(
            part.split(";")[0].strip()
            in {f"application/vnd.github.{media}", f"application/vnd.github.v3.{media}"}
            for part in self.accept.split(",")
        )

    def page(self, items: Sequence[T], shape: Callable[[T], object]) -> tuple[list[object], dict[str, str]]:
        """The page that was asked for, and its Link header."""
        per_page = min(max(_number(self.query.get("per_page"), default=30), 1), 100)
        page = max(_number(self.query.get("page"), default=1), 1)
        last = max(-(-len(items) // per_page), 1)
        chosen = items[(page - 1) * per_page : page * per_page]
        wanted = {}
        if page > 1:
            wanted["prev"] = min(page - 1, last)
        if page < last:
            wanted |= {"next": page + 1, "last": last}
        if page > 1:
            wanted["first"] = 1
        links = ", ".join(f'<{self._page_url(number)}>; rel="{rel}"' for rel, number in wanted.items())
        return [shape(item) for item in chosen], {"link": links} if links else {}

    def _page_url(self, page: int) -> str:
        query = {name: value for name, value in self.query.items() if name != "page"} | {"page": str(page)}
        return f"{shapes.api(self.state)}{self.path}?{urlencode(query)}"

    def listing(self, items: Sequence[T], shape: Callable[[T], object]) -> Answer:
        body, headers = self.page(items, shape)
        return Answer(body=body, headers=headers)


def _number(text: str | None, *, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() else default


def not_supplied(*names: str) -> Refused:
    listed = ", ".join(f'"{name}"' for name in names)
    verb = "wasn't" if len(names) == 1 else "weren't"
    return Refused(422, f"Invalid request.\n\n{listed} {verb} supplied.")


def wrong_type(name: str, value: object, wanted: str) -> Refused:
    article = "an" if wanted[0] in "aeiou" else "a"
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return Refused(422, f"Invalid request.\n\nFor 'properties/{name}', {shown} is not {article} {wanted}.")


def names_in(name: str, value: object) -> list[str]:
    if not isinstance(value, list):
        raise wrong_type(name, value, "array")
    found = []
    for item in value:
        inner = item.get("name", item.get("login")) if isinstance(item, dict) else item
        if not isinstance(inner, str):
            raise wrong_type(name, item, "string")
        found.append(inner)
    return found


Route = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of GitHub's description, by its official id."""

    id: str
    method: str
    path: str
    route: Route


def operation(id_: str, method: str, path: str, *, route: Route) -> Operation:
    return Operation(id=id_, method=method, path=path, route=route)
