"""Talks to a Docker Engine on this machine. Knows nothing of sandboxes.

docker-py is synchronous: every question is asked in a worker thread, with a bound on the time for the answer.
A stream to a process in a container is the Engine's own protocol over its socket, which the event loop reads:
https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Exec/operation/ExecStart
"""

import asyncio
import json
import socket
import weakref
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import docker
from docker.errors import APIError, DockerException

from sandbox.base import SandboxUnavailable

LOCAL: Final = "unix:///var/run/docker.sock"
SECONDS: Final = 30.0
"""For what an Engine answers at once, when many turns of a busy machine ask."""

_TIMES_TO_BUILD: Final = 4
"""As long for creating, starting and removing a container."""
_THREADS: Final = 16
_LONGEST_HEAD: Final = 1 << 16
_FRAME_HEAD: Final = 8
_CHUNK: Final = 1 << 18
_SWITCHED: Final = (101, 200)

_Answer = TypeVar("_Answer")


class EngineRefused(Exception):
    """The Engine answered with an error."""

    def __init__(self, status: int, words: str) -> None:
        self.status = status
        self.words = words
        super().__init__(words)


class Stream:
    """The output, and with a terminal the input, of a process that was started with it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_framed: bool
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._is_framed = is_framed

    async def read(self) -> bytes:
        """What came next, empty at the end."""
        try:
            if not self._is_framed:
                return await self._reader.read(_CHUNK)
            head = await self._reader.readexactly(_FRAME_HEAD)
            return await self._reader.readexactly(int.from_bytes(head[4:], "big"))
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def write(self, data: bytes) -> None:
        """Raises `ConnectionError` when nobody takes it."""
        self._writer.write(data)
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()


class Engine:
    """One Engine, by the address of its socket. Raises `SandboxUnavailable` where that is not a local one."""

    def __init__(self, address: str, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self.address = address or LOCAL
        if not self.address.startswith("unix://"):
            raise SandboxUnavailable(
                f"The Docker Engine at {self.address} is not reached by a socket of this machine, so that it "
                "could not see the checkouts.",
                remedy=f"Set DARNER_DOCKER_HOST to a socket such as {LOCAL}.",
            )
        self._path = self.address.removeprefix("unix://")
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="docker")
        self._clients: dict[float, Any] = {}
        weakref.finalize(self, _close, self._clients)

    async def ask(self, question: Callable[[Any], _Answer], *, takes_long: bool = False) -> _Answer:
        """Ask by a call of docker-py's `APIClient`, and wait for its end, through cancellation too.

        Raises `EngineRefused`, and `SandboxUnavailable` when no answer comes.
        """
        seconds = self._seconds * _TIMES_TO_BUILD if takes_long else self._seconds
        asked = asyncio.get_running_loop().run_in_executor(self._threads, self._asked, question, seconds)
        return await finished(asked)

    async def attach(self, container: str) -> Stream:
        """The input and output of a container's program; when the stream is closed its input has ended."""
        path = f"/containers/{container}/attach?stream=1&stdin=1&stdout=1"
        return await self._switched(path, b"", is_framed=True)

    async def start(self, execution: str, *, tty: bool) -> Stream:
        """Start what `exec_create` made."""
        body = json.dumps({"Detach": False, "Tty": tty}).encode()
        return await self._switched(f"/exec/{execution}/start", body, is_framed=not tty)

    def _asked(self, question: Callable[[Any], _Answer], seconds: float) -> _Answer:
        try:
            client = self._clients.get(seconds)
            if client is None:
                # docker-py forgets to close a socket that cannot be connected.
                with socket.socket(socket.AF_UNIX) as tried:
                    tried.connect(self._path)
                client = docker.APIClient(
                    base_url=self.address, version="auto", timeout=seconds, max_pool_size=_THREADS
                )
                self._clients[seconds] = client
            return question(client)
        except APIError as error:
            failure: Exception = EngineRefused(error.status_code or 0, str(error.explanation or error))
        except (DockerException, OSError) as error:
            failure = self._silent(error)
        # Not from inside: docker-py's error would keep its connection open for as long as ours is kept.
        raise failure

    def _silent(self, error: Exception) -> SandboxUnavailable:
        return SandboxUnavailable(
            f"The Docker Engine at {self.address} does not answer: {error}.",
            remedy="Start Docker, let the service's user use its socket, or name another one with "
            "DARNER_DOCKER_HOST.",
        )

    async def _switched(self, path: str, body: bytes, *, is_framed: bool) -> Stream:
        try:
            async with asyncio.timeout(self._seconds):
                reader, writer = await asyncio.open_unix_connection(self._path, limit=_LONGEST_HEAD)
                try:
                    await _switch(reader, writer, path, body)
                except BaseException:
                    writer.close()
                    raise
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise self._silent(error) from error
        return Stream(reader, writer, is_framed=is_framed)


def _close(clients: dict[float, Any]) -> None:
    for client in clients.values():
        client.close()


async def _switch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes) -> None:
    """Ask for a connection that is a stream from here on. Raises `EngineRefused`."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status = int(answer.split(" ", 2)[1])
    if status not in _SWITCHED:
        words = (await reader.read(_LONGEST_HEAD)).decode(errors="replace")
        raise EngineRefused(status, words.strip())


async def finished(asked: "asyncio.Future[_Answer]") -> _Answer:
    """Its result. A cancellation waits, so that nothing is still being made when clearing up begins."""
    cancelled: asyncio.CancelledError | None = None
    while not asked.done():
        try:
            await asyncio.wait((asked,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        # Looked at, whatever it was.
        asked.exception()
        raise cancelled
    return asked.result()


@asynccontextmanager
async def closing(stream: Stream) -> AsyncIterator[Stream]:
    """The stream, closed at the end."""
    try:
        yield stream
    finally:
        stream.close()
