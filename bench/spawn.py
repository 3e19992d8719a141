"""Processes of a measurement: started with pipes, spoken to in lines of JSON, gone when their block ends."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

LINE_BYTES: Final = 64 * 1024 * 1024
START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05


class Child:
    """A Python module of ours that runs in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, value: object) -> None:
        if self._process.stdin is None:
            raise TypeError("the process was started without pipes")
        self._process.stdin.write(json.dumps(value).encode() + b"\n")

    async def hear(self) -> Any:
        if self._process.stdout is None:
            raise TypeError("the process was started without pipes")
        return json.loads(await self._process.stdout.readline())

    async def ask(self, value: object) -> Any:
        self.tell(value)
        return await self.hear()


@asynccontextmanager
async def child(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Child]:
    """`python -m module arguments`, terminated when the block ends. `environment` is added to ours."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        env={**os.environ, **(environment or {})},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
    )
    try:
        yield Child(process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def listening(port: int) -> None:
    """Return when somebody takes connections at `port`."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(_POLL_SECONDS)
                continue
            writer.close()
            await writer.wait_closed()
            return


async def told() -> AsyncIterator[Any]:
    """In the child: what its parent tells it, line by line."""
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


def tell_parent(value: object) -> None:
    print(json.dumps(value), flush=True)
