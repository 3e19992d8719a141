"""The HTTP face: the webhook, the health of the process and of what it needs."""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Literal

from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from app.intake import Intake

READY_SECONDS: Final = 10.0
"""How long an answer of `/readyz` is good for: probes come often, and a look at the sandbox is not free."""

LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
RELAYED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""A proxy on this machine speaks for anybody."""


class Part(BaseModel):
    result: Literal["ok", "warning", "failed"]
    detail: str = ""


class Readiness(BaseModel):
    ready: bool
    parts: dict[str, Part]


Probe = Callable[[], Awaitable[Part]]


def create_app(
    *,
    intake: Intake | None,
    probes: Mapping[str, Probe],
    metrics: Callable[[], Awaitable[str]],
    admin_token: SecretStr | None = None,
    lifespan: Callable[[], AbstractAsyncContextManager[None]],
) -> ASGIApp:
    """The application. `lifespan` runs the workers for as long as it serves; without intake no webhook."""

    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[None]:
        async with lifespan():
            yield

    app = FastAPI(title="Darner", version="0.1.0", lifespan=run, docs_url=None, redoc_url=None)
    readiness = _CachedReadiness(probes)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz(request: Request, response: Response) -> Readiness:
        """The database, the sandbox, the forge and the model: 503 when a turn could not run now.

        Probes come from anywhere and get the answer; what is wrong is for operators.
        """
        answer = await readiness.now()
        response.status_code = 200 if answer.ready else 503
        if is_operator(request, admin_token):
            return answer
        return Readiness(
            ready=answer.ready, parts={name: Part(result=part.result) for name, part in answer.parts.items()}
        )

    @app.get("/metrics")
    async def read_metrics(request: Request) -> Response:
        """Prometheus text, for operators."""
        if not is_operator(request, admin_token):
            raise HTTPException(403, "Send DARNER_ADMIN_TOKEN as bearer token, or ask from this machine.")
        return Response(await metrics(), media_type="text/plain; version=0.0.4")

    return _Front(app, intake) if intake is not None else app


def is_operator(request: Request, admin_token: SecretStr | None) -> bool:
    """With a token set, whoever sends it; without, whoever asks from this machine and not through a proxy."""
    if admin_token is not None:
        expected = f"Bearer {admin_token.get_secret_value()}".encode()
        return hmac.compare_digest(request.headers.get("authorization", "").encode(), expected)
    is_relayed = any(name in request.headers for name in RELAYED)
    return not is_relayed and request.client is not None and request.client.host in LOOPBACK


class _Front:
    """Hands deliveries to the intake before any framework sees them: see `app.intake`."""

    def __init__(self, app: FastAPI, intake: Intake) -> None:
        self._app = app
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/webhook" and scope["method"] == "POST":
            await self._intake(scope, receive, send)
            return
        await self._app(scope, receive, send)


class _CachedReadiness:
    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = probes
        self._lock = asyncio.Lock()
        self._answer: Readiness | None = None
        self._at = 0.0

    async def now(self) -> Readiness:
        async with self._lock:
            if self._answer is None or time.monotonic() - self._at > READY_SECONDS:
                parts = dict(
                    zip(
                        self._probes, await asyncio.gather(*(p() for p in self._probes.values())), strict=True
                    )
                )
                self._answer = Readiness(ready=all(p.result != "failed" for p in parts.values()), parts=parts)
                self._at = time.monotonic()
            return self._answer
