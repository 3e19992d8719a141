"""The REST API as one ASGI application: finds the operation, checks the credential, writes the answer."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, unquote

import orjson
from starlette.types import Receive, Scope, Send

from demo.forge import shapes
from demo.forge.actions.actor import Needs, granted
from demo.forge.faults import Fault, FaultKind, Faults
from demo.forge.identity import viewer_of
from demo.forge.refusals import (
    Refused,
    authentication_required,
    bad_credentials,
    not_accessible,
    not_found,
)
from demo.forge.rest.accepted import ACCEPTED
from demo.forge.rest.call import Answer, Call, Operation
from demo.forge.state import ANONYMOUS, Access, Repository, State, Viewer

# Parameters that match across slashes, as the description's `x-multi-segment` says.
MULTI_SEGMENT = frozenset({"path", "ref", "branch", "basehead"})
READS = frozenset({"GET", "HEAD"})
AUTHENTICATED_LIMIT, ANONYMOUS_LIMIT = 5000, 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An exchange's first half, as observers see it."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    operation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes


Observer = Callable[[Request, Response], None]


@dataclass(frozen=True, slots=True)
class _Bucket:
    reset: datetime
    used: int


@dataclass(frozen=True, slots=True)
class _Compiled:
    operation: Operation
    pattern: re.Pattern[str]


class Rest:
    """Answers below `/api/v3`; `observers` hear of each exchange that was answered."""

    def __init__(self, state: State, operations: Iterable[Operation], *, faults: Faults) -> None:
        self._state = state
        self._faults = faults
        self._compiled = _compile(operations)
        self._buckets: dict[str, _Bucket] = {}
        self.observers: list[Observer] = []
        self.hourly_limit = AUTHENTICATED_LIMIT
        """Requests of one who is known; more than GitHub's for a test that makes the requests of days."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = str(scope["method"])
        full_path = bytes(scope["raw_path"]).decode("ascii")
        path = full_path.removeprefix("/api/v3") or "/"
        query = bytes(scope["query_string"]).decode("ascii")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = await read_body(receive)
        fault = self._faults.take(method, full_path)
        if fault is not None and fault.kind is FaultKind.SLOW:
            await asyncio.sleep(fault.seconds)
        early = broken_answer(fault, clock=self._state.clock)
        if early is not None:
            await _send(send, early, head=method == "HEAD")
            return
        found, response = await asyncio.to_thread(self._respond, method, path, query, headers, body)
        if fault is not None and fault.kind is FaultKind.DROP_AFTER_WRITE:
            await drop(send)
            return
        if fault is not None and fault.kind is FaultKind.BAD_GATEWAY_AFTER_WRITE:
            response = BAD_GATEWAY
        await _send(send, response, head=method == "HEAD")
        seen = Request(
            method=method,
            path=path,
            query=query,
            headers=headers,
            body=body,
            operation=found.id if found else None,
        )
        for observer in self.observers:
            observer(seen, response)

    def _respond(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[Operation | None, Response]:
        extra: dict[str, str] = {}
        found: Operation | None = None
        viewer = ANONYMOUS
        try:
            viewer = viewer_of(self._state, headers.get("authorization"))
            # Every handler reads and writes under one lock: a request sees one state of the world.
            with self._state.lock:
                found, params, repo, by_id = self._find(method, path, query, viewer)
                extra["x-accepted-github-permissions"] = _accepted_header(found, viewer)
                self._admit(found, viewer, repo)
                call = Call(
                    state=self._state,
                    viewer=viewer,
                    params=params,
                    query=dict(parse_qsl(query, keep_blank_values=True)),
                    body=_json(body),
                    accept=headers.get("accept", ""),
                    path=by_id,
                    found_repo=repo,
                    rate=self.rate(viewer, cost=0),
                )
                answer = found.route(call)
        except Refused as refused:
            answer = Answer(status=refused.status, body=refused.body(), headers=refused.headers)
        return found, self._finish(
            answer, viewer=viewer, extra=extra, conditional=headers.get("if-none-match"), method=method
        )

    def _find(
        self, method: str, path: str, query: str, viewer: Viewer
    ) -> tuple[Operation, dict[str, str], Repository | None, str]:
        """The operation, its parameters, its repository, and the path by repository id."""
        state = self._state
        repo: Repository | None = None
        named = re.match(r"/repositories/(\d+)(/.*)?$", path)
        if named:
            repo = state.find(Repository, int(named[1]))
            if repo is None:
                raise not_found()
            path = f"/repos/{state.full_name(repo)}{named[2] or ''}"
        operation, params = self._match(method, path)
        if "repo" not in params:
            return operation, params, None, path
        rest = "".join(f"/{part}" for part in path.split("/")[4:])
        if repo is None:
            repo = state.repository(params["owner"], params["repo"])
        if repo is None:
            moved = state.renamed(params["owner"], params["repo"])
            if moved is None or not state.may_see(viewer, moved):
                raise not_found()
            raise _redirect(state, method, target=f"/repositories/{moved.id}{rest}", query=query)
        if not state.may_see(viewer, repo):
            raise not_found()
        return operation, params, repo, f"/repositories/{repo.id}{rest}"

    def _match(self, method: str, path: str) -> tuple[Operation, dict[str, str]]:
        wanted = "GET" if method == "HEAD" else method
        trimmed = path.rstrip("/") or "/"
        for compiled in self._compiled:
            if compiled.operation.method == wanted and (match := compiled.pattern.fullmatch(trimmed)):
                return compiled.operation, {
                    name: unquote(value) for name, value in match.groupdict("").items()
                }
        raise not_found()

    def _admit(self, operation: Operation, viewer: Viewer, repo: Repository | None) -> None:
        """Refuse a credential of the wrong kind, or one that lacks the permission."""
        accepted = ACCEPTED[operation.id]
        if accepted == "@app-jwt":
            if viewer.app is None:
                raise Refused(401, "A JSON web token could not be decoded")
            return
        if viewer.app is not None and accepted:
            raise bad_credentials()
        if accepted == "@installation-token":
            if viewer.installation is None:
                raise Refused(
                    403,
                    "You must authenticate with an installation access token in order to "
                    "list repositories for an installation.",
                )
            return
        if viewer.user is None and (accepted == "@user-token" or operation.method not in READS):
            raise authentication_required()
        if viewer.installation is None:
            return
        if accepted == "@user-token":
            raise not_accessible()
        needs = parse_needs(accepted)
        if repo is None or (operation.method in READS and not self._state.grants(viewer, repo)):
            # Public repositories may be read without being granted.
            return
        if not self._state.grants(viewer, repo) or not granted(viewer, needs):
            raise not_accessible()

    def _finish(
        self,
        answer: Answer,
        *,
        viewer: Viewer,
        extra: Mapping[str, str],
        conditional: str | None,
        method: str,
    ) -> Response:
        headers = {
            "x-github-request-id": self._request_id(),
            "x-github-api-version-selected": "2022-11-28",
            "x-github-enterprise-version": "3.17.0",
            "x-github-media-type": "github.v3; format=json",
            "vary": "Accept, Authorization, Cookie, X-GitHub-OTP",
            **{name: value for name, value in extra.items() if value},
            **answer.headers,
        }
        payload = b""
        if answer.text is not None:
            payload = answer.text.encode()
            headers["content-type"] = answer.media_type
        elif answer.status != 204:
            payload = orjson.dumps(answer.body)
            headers["content-type"] = answer.media_type
        status = answer.status
        if status == 200 and method in READS:
            # The viewer is part of the tag: what two people see may differ.
            tag = hashlib.sha256(payload + viewer.login.encode()).hexdigest()
            headers["etag"] = f'W/"{tag}"'
            headers["cache-control"] = (
                "private, max-age=60, s-maxage=60" if viewer.user else "public, max-age=60"
            )
            if conditional is not None and tag in conditional:
                status, payload = 304, b""
                headers.pop("content-type", None)
        # An answer that nothing has changed is free.
        rate = self.rate(viewer, cost=0 if status == 304 else 1)
        headers |= {f"x-ratelimit-{name}": str(number) for name, number in rate.items()}
        headers["x-ratelimit-resource"] = "core"
        return Response(status=status, headers=headers, body=payload)

    def _request_id(self) -> str:
        digits = self._state.random_hex(16).upper()
        return f"{digits[:4]}:{digits[4:9]}:{digits[9:16]}:{digits[16:23]}:{digits[23:31]}"

    def rate(self, viewer: Viewer, *, cost: int) -> dict[str, int]:
        """Count against the hour's limit; the forge counts, as its answers say, but never refuses."""
        known = viewer.user is not None or viewer.app is not None
        limit = self.hourly_limit if known else ANONYMOUS_LIMIT
        key = f"{viewer.login}:{viewer.app.id if viewer.app else ''}"
        now = self._state.clock()
        bucket = self._buckets.get(key)
        if bucket is None or bucket.reset <= now:
            bucket = _Bucket(now + timedelta(hours=1), 0)
        bucket = _Bucket(bucket.reset, bucket.used + cost)
        self._buckets[key] = bucket
        return {
            "limit": limit,
            "used": bucket.used,
            "remaining": max(limit - bucket.used, 0),
            "reset": int(bucket.reset.timestamp()),
        }


def parse_needs(accepted: str) -> Needs:
    """Read the header's notation: alternatives by semicolon, permissions by comma."""
    alternatives: list[dict[str, Access]] = []
    for part in filter(None, accepted.split("; ")):
        alternative: dict[str, Access] = {}
        for need in part.split(", "):
            name, _, level = need.partition("=")
            # Reading metadata is part of every installation.
            if (name, level) != ("metadata", "read"):
                alternative[name] = "write" if level == "write" else "read"
        alternatives.append(alternative)
    return tuple(alternatives)


def _accepted_header(operation: Operation, viewer: Viewer) -> str:
    accepted = ACCEPTED[operation.id]
    return accepted if viewer.installation is not None and not accepted.startswith("@") else ""


def _redirect(state: State, method: str, *, target: str, query: str) -> Refused:
    """Renamed: 301 for reads, 307 for writes, to the address by id."""
    url = f"{shapes.api(state)}{target}" + (f"?{query}" if query else "")
    return Moved(301 if method in READS else 307, url)


class Moved(Refused):
    """A redirect to where the repository is now."""

    def __init__(self, status: int, url: str) -> None:
        super().__init__(status, "Moved Permanently", headers={"location": url})
        self.url = url

    def body(self) -> dict[str, object]:
        return {
            "message": self.message,
            "url": self.url,
            "documentation_url": "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api"
            "#follow-redirects",
        }


def _compile(operations: Iterable[Operation]) -> list[_Compiled]:
    """Literal paths before parameters, and those that match across slashes last."""
    compiled = []
    for operation in operations:
        pattern = re.sub(r"\{(\w+)\}", _group, operation.path)
        if operation.path.endswith("/{path}"):
            # The root directory has no path at all.
            pattern = pattern.replace("/(?P<path>.+)", "(?:/(?P<path>.*))?")
        compiled.append(_Compiled(operation, re.compile(pattern)))
    return sorted(compiled, key=lambda one: (_is_multi(one.operation.path), one.operation.path.count("{")))


def _group(parameter: re.Match[str]) -> str:
    name = parameter[1]
    return f"(?P<{name}>.+)" if name in MULTI_SEGMENT else f"(?P<{name}>[^/]+)"


def _is_multi(path: str) -> bool:
    return path.rsplit("{", 1)[-1].rstrip("}") in MULTI_SEGMENT


def _json(body: bytes) -> object:
    if not body.strip():
        return None
    try:
        parsed: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "Problems parsing JSON") from error
    return parsed


async def read_body(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    return b"".join(chunks)


NOT_FOUND = Response(
    status=404,
    headers={"content-type": "application/json; charset=utf-8"},
    body=b'{"message":"Not Found","documentation_url":"https://docs.github.com/rest","status":"404"}',
)
BAD_GATEWAY = Response(
    status=502,
    headers={"content-type": "text/html"},
    body=b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>",
)


def broken_answer(fault: Fault | None, *, clock: Callable[[], datetime]) -> Response | None:
    """The answer of a fault that strikes before anything is done."""
    if fault is None:
        return None
    match fault.kind:
        case FaultKind.BAD_GATEWAY:
            return BAD_GATEWAY
        case FaultKind.NOT_FOUND:
            return NOT_FOUND
        case FaultKind.SECONDARY_LIMIT:
            return _limited(403, {"retry-after": f"{fault.seconds:g}"}, secondary=True)
        case FaultKind.TOO_MANY_REQUESTS:
            return _limited(429, {"retry-after": f"{fault.seconds:g}"}, secondary=True)
        case FaultKind.PRIMARY_LIMIT:
            reset = int((clock() + timedelta(seconds=fault.seconds)).timestamp())
            headers = {
                "x-ratelimit-limit": "5000",
                "x-ratelimit-remaining": "0",
                "x-ratelimit-used": "5000",
                "x-ratelimit-reset": str(reset),
                "x-ratelimit-resource": "core",
            }
            return _limited(403, headers, secondary=False)
        case FaultKind.SLOW | FaultKind.DROP_AFTER_WRITE | FaultKind.BAD_GATEWAY_AFTER_WRITE:
            return None


def _limited(status: int, headers: Mapping[str, str], *, secondary: bool) -> Response:
    """https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api"""
    message = "API rate limit exceeded for installation."
    if secondary:
        message = (
            "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. "
            "If you reach out to GitHub Support for help, please include the request ID."
        )
    anchor = "about-secondary-rate-limits" if secondary else "about-primary-rate-limits"
    docs = f"https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#{anchor}"
    body = {"message": message, "documentation_url": docs, "status": str(status)}
    content = {"content-type": "application/json; charset=utf-8", **headers}
    return Response(status=status, headers=content, body=orjson.dumps(body))


async def drop(send: Send) -> None:
    """Promise an answer and never send it: the server then closes the connection."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4096")]})


async def _send(send: Send, response: Response, *, head: bool) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in response.headers.items()]
    if response.status not in {204, 304}:
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else response.body})
