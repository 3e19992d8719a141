"""Somebody at the forge: does over the REST API what people do in the browser. For demos and stories."""

from __future__ import annotations

import base64
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx2


@dataclass(frozen=True, slots=True)
class Said:
    """A comment, as the conversation shows it."""

    id: int
    author: str
    body: str


@dataclass(frozen=True, slots=True)
class Pull:
    number: int
    title: str
    body: str
    author: str
    head_ref: str
    head_sha: str
    base_ref: str
    is_draft: bool


@dataclass(frozen=True, slots=True)
class CheckRun:
    name: str
    status: str
    conclusion: str | None
    title: str
    external_id: str
    annotations: int = 0
    id: int = 0


@dataclass(frozen=True, slots=True)
class ReviewThread:
    """The comments on one place of a pull request's diff, the one that began it first."""

    said: tuple[Said, ...]
    path: str
    line: int | None
    is_resolved: bool
    is_outdated: bool


_THREADS: Final = """\
query($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) { pullRequest(number: $number) { reviewThreads(first: 100) { nodes {
    path line isResolved isOutdated
    comments(first: 100) { nodes { databaseId body author { login } } }
  } } } }
}"""


class Person:
    """One account, signed in."""

    def __init__(self, login: str, client: httpx2.AsyncClient) -> None:
        self.login = login
        self._client = client

    async def opens_issue(self, repository: str, title: str, body: str) -> int:
        """The issue's number."""
        return int((await self._post(f"{repository}/issues", {"title": title, "body": body}))["number"])

    async def says(self, repository: str, number: int, body: str) -> int:
        """Comment on an issue or pull request; the comment's id."""
        return int((await self._post(f"{repository}/issues/{number}/comments", {"body": body}))["id"])

    async def edits(self, repository: str, comment: int, body: str) -> None:
        await self._call("PATCH", f"{repository}/issues/comments/{comment}", {"body": body})

    async def closes_issue(self, repository: str, number: int) -> None:
        await self._call("PATCH", f"{repository}/issues/{number}", {"state": "closed"})

    async def writes(self, repository: str, path: str, text: str, *, branch: str) -> str:
        """Commit a new file to a branch, which begins at `main` if it is not there; the commit."""
        branches = await self.branches(repository)
        if branch not in branches:
            ref = {"ref": f"refs/heads/{branch}", "sha": branches["main"]}
            await self._post(f"{repository}/git/refs", ref)
        content = base64.b64encode(text.encode()).decode()
        fields = {"message": f"Write {path}", "content": content, "branch": branch}
        answer = await self._call("PUT", f"{repository}/contents/{path}", fields)
        return str(answer["commit"]["sha"])

    async def opens_pull(
        self,
        repository: str,
        *,
        head: str,
        base: str,
        title: str,
        body: str = "",
        lets_maintainers_push: bool = False,
    ) -> int:
        fields: dict[str, Any] = {"head": head, "base": base, "title": title, "body": body}
        fields |= {"maintainer_can_modify": True} if lets_maintainers_push else {}
        return int((await self._post(f"{repository}/pulls", fields))["number"])

    async def makes_branch(self, repository: str, name: str, *, at: str) -> None:
        """A branch that begins where the branch `at` is."""
        sha = (await self.branches(repository))[at]
        await self._post(f"{repository}/git/refs", {"ref": f"refs/heads/{name}", "sha": sha})

    async def commits(self, repository: str, branch: str, path: str, text: str, *, message: str) -> str:
        """Write one file in a commit of its own, as the browser's editor does; the commit's SHA."""
        fields = {"message": message, "branch": branch, "content": b64encode(text.encode()).decode()}
        url = f"/repos/{repository}/contents/{path}"
        present = await self._client.get(url, params={"ref": branch})
        if present.status_code != 404:
            fields["sha"] = present.raise_for_status().json()["sha"]
        return str((await self._call("PUT", f"{repository}/contents/{path}", fields))["commit"]["sha"])

    async def comments_on_line(
        self, repository: str, number: int, body: str, *, sha: str, path: str, line: int
    ) -> int:
        """An inline comment on a pull request's diff; its id."""
        fields = {"body": body, "commit_id": sha, "path": path, "line": line, "side": "RIGHT"}
        return int((await self._post(f"{repository}/pulls/{number}/comments", fields))["id"])

    async def replies_on_line(self, repository: str, number: int, thread: int, body: str) -> int:
        """In the thread that begins with the comment `thread`; the reply's id."""
        path = f"{repository}/pulls/{number}/comments/{thread}/replies"
        return int((await self._post(path, {"body": body}))["id"])

    async def thread_resolutions(self, repository: str, number: int) -> list[bool]:
        """Of each thread on lines of a pull request, oldest first, whether it is resolved."""
        owner, _, name = repository.partition("/")
        asked = {"owner": owner, "name": name, "number": number}
        found = await self._graphql(_RESOLUTIONS, asked)
        threads = found["repository"]["pullRequest"]["reviewThreads"]["nodes"]
        return [bool(thread["isResolved"]) for thread in threads]

    async def settles_thread(
        self, repository: str, number: int, comment: int, *, is_resolved: bool = True
    ) -> None:
        """Resolve the thread on lines that begins with `comment`, or open it again."""
        owner, _, name = repository.partition("/")
        asked = {"owner": owner, "name": name, "number": number}
        found = await self._graphql(_THREAD_IDS, asked)
        threads = found["repository"]["pullRequest"]["reviewThreads"]["nodes"]
        [thread] = [each for each in threads if each["comments"]["nodes"][0]["databaseId"] == comment]
        await self._graphql(_RESOLVE if is_resolved else _UNRESOLVE, {"thread": thread["id"]})

    async def reacts_on_line(self, repository: str, comment: int, content: str) -> None:
        """To a comment on lines: `+1`, `-1`, `heart`…"""
        await self._post(f"{repository}/pulls/comments/{comment}/reactions", {"content": content})

    async def reads(self, repository: str, number: int) -> list[Said]:
        """The conversation, oldest first."""
        return [_said(raw) for raw in await self._get(f"{repository}/issues/{number}/comments?per_page=100")]

    async def reads_review_comments(self, repository: str, number: int) -> list[Said]:
        return [_said(raw) for raw in await self._get(f"{repository}/pulls/{number}/comments?per_page=100")]

    async def replies(self, repository: str, number: int, comment: int, body: str) -> int:
        """Answer in the thread that an inline comment began; the answer's id."""
        path = f"{repository}/pulls/{number}/comments/{comment}/replies"
        return int((await self._post(path, {"body": body}))["id"])

    async def review_threads(self, repository: str, number: int) -> list[ReviewThread]:
        """Those of a pull request, oldest first."""
        owner, _, name = repository.partition("/")
        url = self._client.base_url.join("../graphql")
        variables = {"owner": owner, "name": name, "number": number}
        answer = await self._client.post(url, json={"query": _THREADS, "variables": variables})
        found = answer.raise_for_status().json()["data"]["repository"]["pullRequest"]["reviewThreads"][
            "nodes"
        ]
        return [_thread(raw) for raw in found]

    async def reactions(self, repository: str, comment: int) -> list[str]:
        """What was reacted with, by anybody."""
        found = await self._get(f"{repository}/issues/comments/{comment}/reactions")
        return [str(raw["content"]) for raw in found]

    async def subject_reactions(self, repository: str, number: int) -> list[str]:
        """The same on the text of an issue or pull request."""
        return [str(raw["content"]) for raw in await self._get(f"{repository}/issues/{number}/reactions")]

    async def review_comment_reactions(self, repository: str, comment: int) -> list[str]:
        found = await self._get(f"{repository}/pulls/comments/{comment}/reactions")
        return [str(raw["content"]) for raw in found]

    async def check_runs(self, repository: str, ref: str) -> list[CheckRun]:
        """The check runs of a commit, oldest first."""
        found = await self._get(f"{repository}/commits/{ref}/check-runs?filter=all&per_page=100")
        return [_check_run(raw) for raw in sorted(found["check_runs"], key=lambda raw: int(raw["id"]))]

    async def forks(self, repository: str) -> str:
        """Their own copy's full name."""
        return str((await self._post(f"{repository}/forks", {}))["full_name"])

    async def branches(self, repository: str) -> dict[str, str]:
        """The branches, each with the commit it is at."""
        found = await self._all(f"{repository}/branches?per_page=100")
        return {str(raw["name"]): str(raw["commit"]["sha"]) for raw in found}

    async def commit_message(self, repository: str, ref: str) -> str:
        return str((await self._get(f"{repository}/commits/{ref}"))["commit"]["message"])

    async def commit_authors(self, repository: str, branch: str) -> list[str]:
        """Logins of those who wrote the commits of a branch, newest first; empty without an account."""
        found = await self._get(f"{repository}/commits?sha={branch}&per_page=100")
        return [str((raw["author"] or {}).get("login", "")) for raw in found]

    async def pulls(self, repository: str) -> list[Pull]:
        """All pull requests, oldest first."""
        found = await self._all(f"{repository}/pulls?state=all&direction=asc&per_page=100")
        return [_pull(raw) for raw in found]

    async def file(self, repository: str, path: str, *, ref: str) -> str:
        """The text of a file at a branch or commit."""
        url = f"/repos/{repository}/contents/{path}"
        answer = await self._client.get(
            url, params={"ref": ref}, headers={"accept": "application/vnd.github.raw+json"}
        )
        answer.raise_for_status()
        return answer.text

    async def _graphql(self, query: str, variables: dict[str, Any]) -> Any:
        answer = await self._client.post("../graphql", json={"query": query, "variables": variables})
        answer.raise_for_status()
        return answer.json()["data"]

    async def _all(self, path: str) -> list[Any]:
        """Of a list, every page."""
        found: list[Any] = []
        url: str | None = f"/repos/{path}"
        while url is not None:
            answer = await self._client.get(url)
            found += answer.raise_for_status().json()
            url = answer.links.get("next", {}).get("url")
        return found

    async def _get(self, path: str) -> Any:
        return await self._call("GET", path, None)

    async def _post(self, path: str, fields: dict[str, Any]) -> Any:
        return await self._call("POST", path, fields)

    async def _call(self, method: str, path: str, fields: dict[str, Any] | None) -> Any:
        answer = await self._client.request(method, f"/repos/{path}", json=fields)
        answer.raise_for_status()
        return answer.json()


_THREAD_IDS: Final = """\
query($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      reviewThreads(first: 100) { nodes { id comments(first: 1) { nodes { databaseId } } } }
    }
  }
}"""
_RESOLVE: Final = """\
mutation($thread: ID!) { resolveReviewThread(input: {threadId: $thread}) { thread { isResolved } } }"""
_UNRESOLVE: Final = """\
mutation($thread: ID!) { unresolveReviewThread(input: {threadId: $thread}) { thread { isResolved } } }"""
_RESOLUTIONS = """\
query($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) { reviewThreads(first: 100) { nodes { isResolved } } }
  }
}"""


@asynccontextmanager
async def signed_in(login: str, *, api_url: str, token: str) -> AsyncIterator[Person]:
    """The person behind a token."""
    headers = {"authorization": f"Bearer {token}", "x-github-api-version": "2022-11-28"}
    async with httpx2.AsyncClient(base_url=api_url, headers=headers, timeout=30) as client:
        yield Person(login, client)


def _said(raw: dict[str, Any]) -> Said:
    return Said(raw["id"], (raw["user"] or {}).get("login", "ghost"), raw["body"])


def _thread(raw: dict[str, Any]) -> ReviewThread:
    return ReviewThread(
        said=tuple(
            Said(said["databaseId"], (said["author"] or {}).get("login", "ghost"), said["body"])
            for said in raw["comments"]["nodes"]
        ),
        path=raw["path"],
        line=raw["line"],
        is_resolved=raw["isResolved"],
        is_outdated=raw["isOutdated"],
    )


def _check_run(raw: dict[str, Any]) -> CheckRun:
    return CheckRun(
        name=raw["name"],
        status=raw["status"],
        conclusion=raw["conclusion"],
        title=raw["output"]["title"] or "",
        external_id=raw["external_id"] or "",
        annotations=raw["output"]["annotations_count"],
        id=raw["id"],
    )


def _pull(raw: dict[str, Any]) -> Pull:
    return Pull(
        number=raw["number"],
        title=raw["title"],
        body=raw["body"] or "",
        author=raw["user"]["login"],
        head_ref=raw["head"]["ref"],
        head_sha=raw["head"]["sha"],
        base_ref=raw["base"]["ref"],
        is_draft=raw["draft"],
    )
