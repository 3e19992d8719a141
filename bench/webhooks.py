"""Webhooks accepted per second, fsync on, beside the same HMAC and insert without the framework.

Two receivers, each a process of its own, take the same signed 25 KB delivery over real connections, in
interleaved runs: ours (`app.intake` under uvicorn), and a bare ASGI application that verifies the HMAC and
inserts the body in a transaction shared by whatever is waiting (group commit, `synchronous=FULL`).
"""

import asyncio
import hashlib
import hmac
import itertools
import json
import os
import queue
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn

from bench.figure import Figure, median, percentile
from bench.spawn import child, free_port, listening

SECRET: Final = "a webhook secret of the bench"  # noqa: S105 - of no other use
PAYLOAD: Final = Path(__file__).parent.parent / "tests/data/github/webhooks/01-issue_comment.created.json"
CONNECTIONS: Final = (1, 16, 64)
SECONDS: Final = 2.0
ROUNDS: Final = 3
_numbers = itertools.count()


Compose = Callable[[int], bytes]
"""The body of the delivery with this number."""


def body(text: str) -> bytes:
    """A comment as GitHub sends it, 25 KB in all, that says `text`."""
    payload = json.loads(PAYLOAD.read_bytes())
    filler = "the quick brown fox jumps over the lazy dog " * 400
    payload["comment"]["body"] = f"{text}\n\n{filler}"
    return json.dumps(payload).encode()


def same(text: str) -> Compose:
    """Always the same words, and so the same body."""
    content = body(text)
    return lambda _: content


def new_each_time(text: str) -> Compose:
    """A comment of its own each time: else all but the first would be duplicates of one act."""
    payload = json.loads(body(text))

    def compose(number: int) -> bytes:
        payload["comment"]["id"] = number + 1
        return json.dumps(payload).encode()

    return compose


async def measure() -> list[Figure]:
    """All figures of this file."""
    samples: dict[tuple[str, int], list[tuple[float, list[float]]]] = {}
    with tempfile.TemporaryDirectory() as home:
        async with AsyncExitStack() as stack:
            ports = {
                kind: await stack.enter_async_context(_receiver(kind, Path(home) / kind))
                for kind in ("ours", "bare")
            }
            for _ in range(ROUNDS):
                for connections in CONNECTIONS:
                    for kind, port in ports.items():
                        sample = await _load(port, connections, same("nice weather"))
                        samples.setdefault((kind, connections), []).append(sample)
                sample = await _load(ports["ours"], 16, new_each_time("@darner fix it"), seconds=1.0)
                samples.setdefault(("mention", 16), []).append(sample)
    return [figure for connections in CONNECTIONS for figure in _figures(samples, connections)] + [
        Figure(
            "webhooks.mentions_accepted_c16",
            median([rate for rate, _ in samples["mention", 16]]),
            "1/s",
            note="each with its letter and wake-up",
        )
    ]


def _figures(
    samples: dict[tuple[str, int], list[tuple[float, list[float]]]], connections: int
) -> Iterator[Figure]:
    ours = median([rate for rate, _ in samples["ours", connections]])
    bare = median([rate for rate, _ in samples["bare", connections]])
    yield Figure(
        f"webhooks.accepted_c{connections}", ours, "1/s", bare, ">= 0.8 x bare receiver", ours >= 0.8 * bare
    )
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        value = median([percentile(waits, share) for _, waits in samples["ours", connections]])
        floor = median([percentile(waits, share) for _, waits in samples["bare", connections]])
        yield Figure(f"webhooks.{name}_c{connections}", value * 1000, "ms", floor * 1000)


async def _load(
    port: int, connections: int, compose: Compose, *, seconds: float = SECONDS
) -> tuple[float, list[float]]:
    """Deliveries per second, and how long each took."""
    waits: list[float] = []
    begun = time.perf_counter()
    clients = (_client(port, compose, begun + seconds, waits) for _ in range(connections))
    await asyncio.gather(*clients)
    return len(waits) / (time.perf_counter() - begun), waits


async def _client(port: int, compose: Compose, deadline: float, waits: list[float]) -> None:
    """One kept-alive connection that delivers as fast as it is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < deadline:
        request = _request(next(_numbers), compose)
        begun = time.perf_counter()
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 20"):
            raise RuntimeError(answer.decode())
        length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        waits.append(time.perf_counter() - begun)
    writer.close()
    await writer.wait_closed()


def _request(number: int, compose: Compose) -> bytes:
    content = compose(number)
    signature = hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()
    head = (
        "POST /webhook HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"x-github-event: issue_comment\r\nx-github-delivery: {os.getpid()}-{number}\r\n"
        f"x-hub-signature-256: sha256={signature}\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


@asynccontextmanager
async def _receiver(kind: str, home: Path) -> AsyncIterator[int]:
    """A receiver in a process of its own; its port."""
    home.mkdir()
    port = free_port()
    async with child("bench.webhooks", kind, str(home), str(port)):
        await listening(port)
        yield port


def _serve_ours(home: Path, port: int) -> None:
    from app.engine import WakeUps
    from app.http import create_app
    from app.intake import Intake
    from app.queues import Queue
    from app.store.database import Database
    from handlers.view import Bot

    database = Database(f"sqlite:///{home / 'darner.db'}")
    wake_ups = WakeUps(database, max_turns=1)
    bot = Bot(id=1, login="darner[bot]", mention="darner")
    intake = Intake(database, wake_ups, secrets=(SECRET,), bot=lambda: bot)

    async def nothing(thread: str) -> None:
        del thread

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        with database:
            await wake_ups.start({Queue.EVENTS: nothing, Queue.TURNS: nothing})
            yield
            await wake_ups.stop()

    async def no_metrics() -> str:
        return ""

    app = create_app(intake=intake, probes={}, metrics=no_metrics, lifespan=running)
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False)


def _serve_bare(home: Path, port: int) -> None:
    """The floor: no framework, no parsing; verify, insert, acknowledge."""
    waiting: queue.SimpleQueue[tuple[str, bytes, asyncio.Future[None], asyncio.AbstractEventLoop]] = (
        queue.SimpleQueue()
    )

    def write() -> None:
        with _table(home / "bare.db") as connection:
            while True:
                batch = [waiting.get()]
                while len(batch) < 256 and not waiting.empty():
                    batch.append(waiting.get())
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    "INSERT OR IGNORE INTO deliveries VALUES (?, ?)",
                    [(guid, raw) for guid, raw, _, _ in batch],
                )
                connection.execute("COMMIT")
                for _, _, done, loop in batch:
                    loop.call_soon_threadsafe(done.set_result, None)

    threading.Thread(target=write, daemon=True).start()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        raw = b""
        while True:
            message = await receive()
            raw += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = dict(scope["headers"])
        expected = "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
        status = 401
        if hmac.compare_digest(expected, headers[b"x-hub-signature-256"].decode()):
            loop = asyncio.get_running_loop()
            done: asyncio.Future[None] = loop.create_future()
            waiting.put((headers[b"x-github-delivery"].decode(), raw, done, loop))
            await done
            status = 202
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False, lifespan="off")


@contextmanager
def _table(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE deliveries (guid TEXT PRIMARY KEY, body BLOB)")
    try:
        yield connection
    finally:
        connection.close()


if __name__ == "__main__":
    _, which, directory, number = sys.argv
    {"ours": _serve_ours, "bare": _serve_bare}[which](Path(directory), int(number))
