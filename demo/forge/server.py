"""Composes the forge's parts into one ASGI application and serves it on loopback."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.forge import seed as seeding
from demo.forge.deliverer import Deliverer, WebhookObserver
from demo.forge.faults import FaultKind, Faults
from demo.forge.githttp import ROUTE, GitHttp
from demo.forge.graphql.api import Graphql
from demo.forge.logs import PLACE as LOGS
from demo.forge.logs import Logs
from demo.forge.pages import pages_for
from demo.forge.rest import OPERATIONS
from demo.forge.rest.api import Observer, Rest, read_body
from demo.forge.state import Repository, Role, State
from demo.serving import listening, serving


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a forge is made of besides its state."""

    rest: Rest
    git: GitHttp
    faults: Faults
    deliverer: Deliverer
    logs: Logs


@dataclass(frozen=True, slots=True, kw_only=True)
class Forge:
    """A running forge."""

    url: str
    state: State
    seeded: seeding.Seeded
    parts: Parts
    admin_token: str

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/v3"

    @property
    def tokens(self) -> Mapping[str, str]:
        """Personal access tokens by login; `darner[bot]` is the App's own account."""
        return self.seeded.tokens

    @property
    def faults(self) -> Faults:
        return self.parts.faults

    def create_repository(
        self,
        full_name: str,
        *,
        directory: Path | None = None,
        private: bool = False,
        collaborators: Mapping[str, Role] = seeding.ROLES,
        protected: Sequence[str] = (),
    ) -> Repository:
        return seeding.create_repository(
            self.state,
            full_name,
            directory=directory,
            private=private,
            collaborators=collaborators,
            protected=protected,
        )

    def set_webhook(self, url: str, *, secret: str) -> None:
        """Send the App's webhooks there from now on; a new address is pinged."""
        seeding.seed(self.state, app_slug=self.seeded.app.slug, webhook_url=url, webhook_secret=secret)

    async def webhooks_settled(self) -> None:
        """Return when every webhook so far has been tried once."""
        await self.parts.deliverer.settled()


def create_parts(
    state: State,
    *,
    on_exchange: Sequence[Observer] = (),
    on_webhook: Sequence[WebhookObserver] = (),
) -> Parts:
    faults = Faults()
    rest = Rest(state, OPERATIONS, faults=faults)
    rest.observers.extend(on_exchange)
    deliverer = Deliverer(state)
    deliverer.observers.extend(on_webhook)
    return Parts(
        rest=rest, git=GitHttp(state, faults=faults), faults=faults, deliverer=deliverer, logs=Logs(state)
    )


def create_app(
    parts: Parts,
    *,
    admin_token: str,
    graphql: ASGIApp | None = None,
    pages: APIRouter | None = None,
) -> ASGIApp:
    """REST below /api/v3, GraphQL at /api/graphql, git at /OWNER/REPO.git, pages for the rest."""
    web = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    if pages is not None:
        web.include_router(pages)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", ""))
        if scope["type"] != "http":
            await web(scope, receive, send)
        elif path == "/api/v3" or path.startswith("/api/v3/"):
            await parts.rest(scope, receive, send)
        elif graphql is not None and path == "/api/graphql":
            await graphql(scope, receive, send)
        elif path.startswith(LOGS):
            await parts.logs(scope, receive, send)
        elif path == "/_faults":
            await _switch_faults(parts.faults, admin_token, scope, receive, send)
        elif ROUTE.fullmatch(path):
            await parts.git(scope, receive, send)
        else:
            await web(scope, receive, send)

    return app


async def _switch_faults(
    faults: Faults, admin_token: str, scope: Scope, receive: Receive, send: Send
) -> None:
    """GET lists, POST adds one, DELETE clears; for the holder of the admin token on this machine."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    body = await read_body(receive)
    host = (scope.get("client") or ("", 0))[0]
    expected = f"Bearer {admin_token}"
    status = 200
    if host not in {"127.0.0.1", "::1"} or not hmac.compare_digest(
        headers.get("authorization", ""), expected
    ):
        status = 403
    elif scope["method"] == "DELETE":
        faults.clear()
    elif scope["method"] == "POST":
        status = _add_fault(faults, body)
    pending = [
        {"kind": fault.kind.value, "method": fault.method, "path": fault.path, "count": fault.count}
        for fault in faults.pending()
    ]
    answer = orjson.dumps(pending if status < 300 else [])
    listed = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": answer})


def _add_fault(faults: Faults, body: bytes) -> int:
    try:
        given = orjson.loads(body)
        faults.add(
            FaultKind(given["kind"]),
            method=str(given.get("method", ".*")),
            path=str(given.get("path", ".*")),
            count=int(given.get("count", 1)),
            seconds=float(given.get("seconds", 60)),
            after=int(given.get("after", 0)),
        )
    except (orjson.JSONDecodeError, KeyError, ValueError, TypeError, AttributeError):
        return 422
    return 201


@asynccontextmanager
async def serve(
    home: Path,
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    app_slug: str = "darner",
    webhook_url: str | None = None,
    webhook_secret: str | None = None,
    on_exchange: Sequence[Observer] = (),
    on_webhook: Sequence[WebhookObserver] = (),
) -> AsyncIterator[Forge]:
    """Run a forge whose world is kept in `home`, seeded, until the block ends. Port 0 takes a free one."""
    with State(home) as state, listening(host, port) as listener:
        state.web_url = f"http://{host}:{listener.getsockname()[1]}"
        parts = create_parts(state, on_exchange=on_exchange, on_webhook=on_webhook)
        admin_token = state.random_hex(16)
        graphql = Graphql(state, faults=parts.faults)
        graphql.observers.extend(on_exchange)
        app = create_app(parts, admin_token=admin_token, graphql=graphql, pages=pages_for(state))
        async with parts.deliverer.running():
            seeded = seeding.seed(
                state, app_slug=app_slug, webhook_url=webhook_url, webhook_secret=webhook_secret
            )
            async with serving(app, listener):
                yield Forge(
                    url=state.web_url, state=state, seeded=seeded, parts=parts, admin_token=admin_token
                )
