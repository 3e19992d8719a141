"""A service that is not root, and may use the Engine's socket."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.engine.daemon import Engine
from tests.sandbox.processes import marker_of
from tests.sandbox_docker.as_ordinary_user import ORDINARY

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def for_everyone(engine: Engine) -> AsyncIterator[str]:
    """The Engine's address as any user may use it."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        with suppress(OSError, RuntimeError):
            writer.write_eof()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(engine.url.removeprefix("unix://"))
        await asyncio.gather(carry(reader, inner_writer), carry(inner_reader, writer))
        inner_writer.close()
        writer.close()

    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        path = Path(name, "docker.sock")
        async with await asyncio.start_unix_server(connected, path):
            path.chmod(0o666)
            yield f"unix://{path}"


async def test_an_ordinary_user_confines_as_well(docker_engine: Engine, docker_image: str) -> None:
    """Every invariant holds; what a command leaves is ended with the container, and the next one runs."""
    marker = marker_of(91)
    async with for_everyone(docker_engine) as address:
        story = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.sandbox_docker.as_ordinary_user",
            address,
            docker_image,
            marker,
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        printed, _ = await story.communicate()
    lines = printed.decode().splitlines()
    checks, rest = lines[:-6], lines[-6:]
    assert [line for line in checks if line.startswith("failed")] == []
    assert [line.split(":")[0] for line in checks if line.startswith("warning")] == [
        "warning ends of commands"
    ]
    assert rest[1:-1] == ["left", "living: 0", "living: 0", "next made"]
    assert rest[0] == str(os.geteuid() or ORDINARY)
    assert rest[-1].startswith("Only a service that is root")
