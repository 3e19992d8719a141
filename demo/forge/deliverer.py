"""Sends webhooks: signed, with GitHub's headers, ten seconds to answer, and never a second time by itself."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx2
import orjson

from demo.forge.state import App, Delivery, Hook, State

# https://docs.github.com/en/webhooks/using-webhooks/best-practices-for-using-webhooks
TIME_TO_ANSWER = 10.0
WORKERS = 4
LONGEST_KEPT_ANSWER = 4096

WebhookObserver = Callable[[str, Mapping[str, object], Mapping[str, str]], None]


class Deliverer:
    """A queue of deliveries and the workers that empty it; `observers` see each webhook that is sent."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._queue: asyncio.Queue[int] = asyncio.Queue()
        self.observers: list[WebhookObserver] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver what the state stores, from any thread, until the block ends."""
        loop = asyncio.get_running_loop()

        def enqueue(delivery: Delivery) -> None:
            loop.call_soon_threadsafe(self._queue.put_nowait, delivery.id)

        for delivery in self._state.where(Delivery, status="PENDING"):
            self._queue.put_nowait(delivery.id)
        self._state.on_delivery = enqueue
        async with httpx2.AsyncClient(timeout=TIME_TO_ANSWER, follow_redirects=False) as client:
            workers = [asyncio.create_task(self._work(client)) for _ in range(WORKERS)]
            try:
                yield
            finally:
                self._state.on_delivery = None
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def settled(self) -> None:
        """Return when every delivery stored so far has been tried."""
        # Deliveries stored by another thread arrive with the loop's next turn.
        await asyncio.sleep(0)
        await self._queue.join()

    async def _work(self, client: httpx2.AsyncClient) -> None:
        while True:
            delivery_id = await self._queue.get()
            try:
                await self._deliver(client, delivery_id)
            finally:
                self._queue.task_done()

    async def _deliver(self, client: httpx2.AsyncClient, delivery_id: int) -> None:
        delivery = self._state.find(Delivery, delivery_id)
        hook = self._state.find(Hook, delivery.hook_id) if delivery else None
        if delivery is None or hook is None:
            return
        body = delivery.payload.encode()
        headers = headers_for(self._state, hook, delivery=delivery, body=body)
        for observer in self.observers:
            observer(delivery.event, orjson.loads(body), headers)
        started = time.monotonic()
        sent = replace(delivery, request_headers=headers)
        try:
            async with asyncio.timeout(TIME_TO_ANSWER):
                response = await client.post(hook.url, content=body, headers=headers)
        except (TimeoutError, httpx2.TimeoutException):
            sent = replace(sent, status="timed out", status_code=504)
        except (httpx2.HTTPError, httpx2.InvalidURL):
            sent = replace(sent, status="failed to connect to host", status_code=502)
        else:
            accepted = 200 <= response.status_code < 300
            sent = replace(
                sent,
                status="OK" if accepted else f"Invalid HTTP Response: {response.status_code}",
                status_code=response.status_code,
                response_headers=dict(response.headers),
                response_body=response.text[:LONGEST_KEPT_ANSWER],
            )
        self._state.put(replace(sent, duration=time.monotonic() - started))


def headers_for(state: State, hook: Hook, *, delivery: Delivery, body: bytes) -> dict[str, str]:
    """https://docs.github.com/en/webhooks/webhook-events-and-payloads#delivery-headers"""
    app = state.find(App, hook.app_id)
    target, kind = (app.id, "integration") if app else (hook.repo_id or 0, "repository")
    digest = hmac.new(hook.secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": f"GitHub-Hookshot/{delivery.guid[:7]}",
        "X-GitHub-Delivery": delivery.guid,
        "X-GitHub-Event": delivery.event,
        "X-GitHub-Hook-ID": str(hook.id),
        "X-GitHub-Hook-Installation-Target-ID": str(target),
        "X-GitHub-Hook-Installation-Target-Type": kind,
        "X-GitHub-Enterprise-Host": state.web_url.partition("://")[2],
        "X-GitHub-Enterprise-Version": "3.17.0",
    }
    if hook.secret:
        headers["X-Hub-Signature-256"] = f"sha256={digest}"
    return headers
