"""A proxy on a socket of this machine, and a host behind it that remembers every byte."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from sandbox.egress import Bounds, Egress, Resolve, egress

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n"
HERE = "127.0.0.0/24"
"""The network that tests open; 127.0.1.1 is a host of the same machine outside it."""


@dataclass
class Origin:
    """A host that takes what comes, up to an empty line or the end, and gives the one answer that it has."""

    port: int = 0
    answer: bytes = ANSWER
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    is_silent: bool = False
    is_echo: bool = False

    @property
    def name(self) -> str:
        return f"index.test:{self.port}"

    @property
    def rule(self) -> str:
        return f"{self.name}@{HERE}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.is_echo:
                while data := await reader.read(65_536):
                    self.bodies.append(data)
                    writer.write(data)
                    await writer.drain()
                return
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if b"chunked" in head:
                self.bodies.append(await reader.readuntil(b"0\r\n\r\n"))
            elif b"content-length: " in head.lower():
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                self.bodies.append(await reader.readexactly(length))
            if self.is_silent:
                await asyncio.sleep(60)
            writer.write(self.answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            # The proxy hung up.
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(origin: Origin, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Origin]:
    talks: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.ensure_future(origin.serve(reader, writer)))

    server = await asyncio.start_server(begin, host, port)
    origin.port = server.sockets[0].getsockname()[1]
    try:
        yield origin
    finally:
        server.close()
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with serving(Origin()) as made:
        yield made


@dataclass
class Names:
    """A resolver: what it answers next, the last answer for ever; and what it was asked."""

    answers: list[Sequence[str]] = field(default_factory=lambda: [("127.0.0.1",)])
    asked: list[str] = field(default_factory=list)

    async def __call__(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@dataclass
class Proxy:
    """A proxy as a program inside meets it."""

    port: int
    record: Egress

    async def ask(self, request: bytes) -> bytes:
        """Everything that comes back until the proxy hangs up."""
        reader, writer = await self.connect()
        try:
            writer.write(request)
            await writer.drain()
            return await asyncio.wait_for(reader.read(), 20)
        finally:
            writer.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def tunnel(self, target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self.connect()
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        assert head.startswith(b"HTTP/1.1 200 "), head
        return reader, writer


OpenProxy = Callable[..., AbstractAsyncContextManager[Proxy]]


@asynccontextmanager
async def open_proxy(
    *allowed: str, resolve: Resolve | None = None, bounds: Bounds | None = None
) -> AsyncIterator[Proxy]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with egress(listener, allowed, resolve=resolve or Names(), bounds=bounds) as record:
        yield Proxy(port, record)


Talk = Callable[[Proxy], Awaitable[None]]
