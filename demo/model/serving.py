"""Serves an application on a loopback port while a context is open. Leaves no socket, touches no signal."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp


@asynccontextmanager
async def serve(app: ASGIApp, *, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """The base URL (`http://127.0.0.1:PORT`, add `/v1` for a client) of `app`, served in this event loop.

    Port 0 is any free one.
    """
    # asyncio sends small pieces at once (TCP_NODELAY) only on sockets that are explicitly of this protocol:
    # without it each answer would wait 40 ms for the other side's delayed acknowledgement.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        url = f"http://{host}:{listener.getsockname()[1]}"
        server = _Server(
            uvicorn.Config(
                app, log_config=None, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await server.is_up.wait()
            yield url
        finally:
            server.should_exit = True
            await serving


class _Server(uvicorn.Server):
    """One server among others in a process: signals are not its business."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
