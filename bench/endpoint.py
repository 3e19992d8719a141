"""A model endpoint of constant cost in a process of its own: answers by count, never reads the history.

It speaks just enough of `POST /v1/responses`. Which command a request is answered with is said by its address
(`/NAME/v1/responses`) and the number of requests so far; after the script's last command comes the end.
"""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from bench.spawn import Child, child, tell_parent, told

HELD: Final = "held"
"""The script of this name leaves every request without an answer."""
USAGE: Final = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 10,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 110,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, by the clock that all processes of the machine share."""

    arrived: float
    """When its body was there."""
    answered: float
    """When the last byte of the answer was handed to the kernel."""
    size: int


class Endpoint:
    """The running process."""

    def __init__(self, process: Child, address: str) -> None:
        self._process = process
        self._address = address

    def url(self, name: str) -> str:
        """The base URL under which the script `name` is played."""
        return f"{self._address}/{name}/v1"

    async def asked(self, name: str) -> list[Asked]:
        """The requests for `name` since the last call; the script starts anew."""
        return [Asked(*fields) for fields in await self._process.ask(name)]


@asynccontextmanager
async def endpoint(scripts: Mapping[str, Sequence[str]]) -> AsyncIterator[Endpoint]:
    """Serve `scripts`: command lines by the name of the script."""
    async with child("bench.endpoint") as process:
        port = await process.ask({name: list(script) for name, script in scripts.items()})
        yield Endpoint(process, f"http://127.0.0.1:{port}")


def gaps(asked: Sequence[Asked]) -> list[float]:
    """Seconds from the end of each answer to the next request: the client's step as the endpoint sees it."""
    return [after.arrived - before.answered for before, after in itertools.pairwise(asked)]


class _Player:
    """Plays the scripts to whoever connects."""

    def __init__(self, scripts: Mapping[str, Sequence[str]]) -> None:
        self._scripts = scripts
        self._asked: dict[str, list[Asked]] = {name: [] for name in scripts}

    def take(self, name: str) -> list[Asked]:
        taken, self._asked[name] = self._asked[name], []
        return taken

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive until the client closes it."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(_length(head))
                await self._answer(head, len(body), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, head: bytes, size: int, writer: asyncio.StreamWriter) -> None:
        arrived = time.monotonic()
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        name = path.removeprefix("/").split("/")[0]
        if method != "POST" or not path.endswith("/responses") or name not in self._scripts:
            writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            return
        if name == HELD:
            self._asked[name].append(Asked(arrived, arrived, size))
            await asyncio.Event().wait()
        stream = _stream(self._scripts[name], len(self._asked[name]))
        headers = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n"
        writer.write(headers % len(stream) + stream)
        await writer.drain()
        self._asked[name].append(Asked(arrived, time.monotonic(), size))


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _stream(script: Sequence[str], number: int) -> bytes:
    item: dict[str, Any]
    if number < len(script):
        arguments = json.dumps({"cmd": script[number]})
        item = {
            "id": f"fc_{number}",
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_{number}",
            "name": "exec_command",
            "arguments": arguments,
        }
        delta = {
            "type": "response.function_call_arguments.delta",
            "item_id": item["id"],
            "output_index": 0,
            "delta": arguments,
        }
        opened = {**item, "arguments": "", "status": "in_progress"}
    else:
        part = {"type": "output_text", "text": "Done.", "annotations": []}
        item = {
            "id": f"msg_{number}",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [part],
        }
        delta = {
            "type": "response.output_text.delta",
            "item_id": item["id"],
            "output_index": 0,
            "content_index": 0,
            "delta": "Done.",
        }
        opened = {**item, "content": [], "status": "in_progress"}
    response: dict[str, Any] = {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 0,
        "model": "scripted",
        "status": "in_progress",
        "output": [],
    }
    events: tuple[dict[str, Any], ...] = (
        {"type": "response.created", "response": response},
        {"type": "response.output_item.added", "output_index": 0, "item": opened},
        delta,
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {
            "type": "response.completed",
            "response": {**response, "status": "completed", "output": [item], "usage": USAGE},
        },
    )
    return b"".join(_event(event, sequence) for sequence, event in enumerate(events))


def _event(event: Mapping[str, Any], sequence: int) -> bytes:
    data = json.dumps({**event, "sequence_number": sequence})
    return f"event: {event['type']}\ndata: {data}\n\n".encode()


async def _serve() -> None:
    parent = told()
    player = _Player(await anext(parent))
    server = await asyncio.start_server(player.connected, "127.0.0.1", 0)
    tell_parent(server.sockets[0].getsockname()[1])
    async for name in parent:
        tell_parent([[one.arrived, one.answered, one.size] for one in player.take(name)])


if __name__ == "__main__":
    asyncio.run(_serve())
