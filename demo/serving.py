"""Serves applications on loopback while a context is open. Leaves no socket, touches no signal."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Literal

import uvicorn
from starlette.types import ASGIApp


@asynccontextmanager
async def serve(
    app: ASGIApp, *, port: int = 0, host: str = "127.0.0.1", lifespan: Literal["on", "off"] = "off"
) -> AsyncIterator[str]:
    """The base URL (`http://127.0.0.1:PORT`) of `app`, served in this event loop. Port 0 is any free one."""
    with listening(host, port) as listener:
        async with serving(app, listener, lifespan=lifespan):
            yield f"http://{host}:{listener.getsockname()[1]}"


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A bound socket, closed in the end.

    Its protocol is named: asyncio sets TCP_NODELAY only then, and without it each answer waits 40 ms for the
    other side's delayed acknowledgement.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        yield listener


@asynccontextmanager
async def serving(
    app: ASGIApp, listener: socket.socket, *, lifespan: Literal["on", "off"] = "off"
) -> AsyncIterator[None]:
    """Answer on `listener` while the context is open; begins when the application is ready.

    Raises RuntimeError when the application's own start failed.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        lifespan=lifespan,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    ready = asyncio.create_task(server.is_up.wait())
    try:
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        if not server.is_up.is_set():
            msg = "the application did not start; its log says why"
            raise RuntimeError(msg)
        yield
    finally:
        ready.cancel()
        server.should_exit = True
        await running


class _Server(uvicorn.Server):
    """One server among others in a process: signals are not its business."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.is_up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
