"""One OpenAI-compatible endpoint: sends a prepared body, hands back event data, names what went wrong.

The only module that holds the `openai` client. It never retries, builds no body, and never lets the key out.

Why a prepared body: `client.responses.create(input=…)` walks each history item through a union of some thirty
types: 0.6 ms of CPU an item on each call, on the event loop. `client.post(content=…)` sends bytes as they are
so the five-hundredth step costs what the first did. What remains of the package's work is connections,
headers, authentication and its reading of error answers.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic_core import from_json

from harness.models.faults import FieldRefused, Refusal, complaint_of, error_for_refusal, error_in_stream
from harness.models.sse import Frames
from harness.protocols import ModelError

if TYPE_CHECKING:
    from openai import AsyncOpenAI, AsyncStream

_DRAIN_SECONDS = 0.25
"""How long to wait for the end of a body whose answer is complete: a fully read connection is used again."""


_NO_STREAMS = ("text/html", "application/json")
"""What gateways and wrong base URLs answer with under HTTP 200. Other types may be mislabelled streams."""

_SHORTEST_KEY = 8
_BEGINNING_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for an endpoint."""

    connect_seconds: float = 15.0
    idle_seconds: float = 300.0
    """Between two pieces of an answer, the first included."""


@asynccontextmanager
async def open_endpoint(
    base_url: str, *, api_key: str, wire: str, patience: Patience, now: Callable[[], float] = time.time
) -> AsyncIterator["Endpoint"]:
    """The endpoint, with its connections closed when the context ends.

    Raises `ModelError` for a key that no header can carry. Local servers that want no key take an empty one.
    """
    from openai import AsyncOpenAI, Timeout

    key = api_key.strip()
    if not (key.isascii() and key.isprintable()):
        # Sent nevertheless, it would be quoted in the transport's error.
        raise ModelError("authentication", "the API key holds characters that no HTTP header can carry")
    timeout = Timeout(patience.idle_seconds, connect=patience.connect_seconds, pool=None)
    # The package insists on a key, and takes the environment's where it is given none.
    sent = key or "none"
    async with AsyncOpenAI(base_url=base_url, api_key=sent, max_retries=0, timeout=timeout) as client:
        yield Endpoint(
            client, provider=f"{wire}:{urlsplit(base_url).netloc.rpartition('@')[2]}", api_key=key, now=now
        )


class Endpoint:
    """Made by `open_endpoint`. Safe to use from many turns at once."""

    def __init__(
        self, client: "AsyncOpenAI", *, provider: str, api_key: str, now: Callable[[], float]
    ) -> None:
        self.provider = provider
        """Who can read the reasoning that came from here: the wire and the host."""
        self._client = client
        self._api_key = api_key
        self._now = now

    async def exchange(self, path: str, body: bytes, *, take: Callable[[bytes], bool]) -> None:
        """Post `body` and give each event's data to `take` until it returns True or the stream ends.

        Raises `ModelError`, also what `take` raises. An end without a last event is for the caller to notice.
        """
        import httpx2
        import openai

        began = False
        # Causes are cut off (`from None`): an endpoint may echo the key, and a traceback would print it.
        try:
            stream = await self._post(path, body)
            async with aclosing(stream):
                began = True
                await _read(stream, take)
        except openai.APIStatusError as error:
            refusal = Refusal(error.status_code, complaint_of(error.body), error.response.headers)
            raise self._without_key(error_for_refusal(refusal, now=self._now())) from None
        except (openai.APIConnectionError, httpx2.HTTPError, httpx2.StreamError) as error:
            raise self._without_key(_broken(error, began=began)) from None
        except ModelError as error:
            raise self._without_key(error) from None

    async def _post(self, path: str, body: bytes) -> "AsyncStream[object]":
        import openai

        try:
            return await self._send(path, body)
        except openai.APIConnectionError as error:
            if not _was_hung_up(error):
                raise
        # Most likely a kept connection that the server had closed. llama.cpp promises to keep connections and
        # closes each after a streamed answer: after each tool that takes no time, this would be met.
        return await self._send(path, body)

    async def _send(self, path: str, body: bytes) -> "AsyncStream[object]":
        from openai import AsyncStream

        return await self._client.post(
            path, content=body, cast_to=object, stream=True, stream_cls=AsyncStream[object]
        )

    def _without_key(self, error: ModelError) -> ModelError:
        # Shorter ones are no secrets, but words like "none", sent to servers that want no key.
        if len(self._api_key) < _SHORTEST_KEY or self._api_key not in error.detail:
            return error
        detail = error.detail.replace(self._api_key, "[api key]")
        if isinstance(error, FieldRefused):
            return FieldRefused(error.field, detail)
        return ModelError(error.fault, detail, retry_after=error.retry_after)


async def _read(stream: "AsyncStream[object]", take: Callable[[bytes], bool]) -> None:
    # The package's own iteration hides `[DONE]`, so that a stream cut cleanly before it looks whole, and
    # raises a bare JSONDecodeError for a broken event: the events are read from the body instead.
    frames = Frames()
    body = stream.response.aiter_bytes()
    async with aclosing(body):
        media_type = stream.response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type in _NO_STREAMS:
            raise _no_stream(media_type, await _beginning(body))
        async for chunk in body:
            for data in frames.feed(chunk):
                if take(data):
                    await _drain(body)
                    return


async def _beginning(body: AsyncIterator[bytes]) -> bytes:
    """Enough of the body to tell what it is."""
    read = bytearray()
    async for chunk in body:
        read += chunk
        if len(read) > _BEGINNING_BYTES:
            break
    return bytes(read)


def _no_stream(media_type: str, body: bytes) -> ModelError:
    try:
        told = from_json(body)
    except ValueError:
        told = None
    if isinstance(told, dict) and told.get("error") is not None:
        return error_in_stream(complaint_of(told))
    advice = "check that the base URL is the one of an OpenAI-compatible API"
    return ModelError("malformed_answer", f"the answer is no event stream but {media_type}: {advice}")


async def _drain(body: AsyncIterator[bytes]) -> None:
    import httpx2

    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in body:
                pass
    except (TimeoutError, httpx2.HTTPError, httpx2.StreamError):
        # The answer is whole; the connection is given up with its context.
        return


def _was_hung_up(error: Exception) -> bool:
    """Whether the connection ended before an answer began: there was one, and nobody lost patience."""
    import httpx2

    return isinstance(error.__cause__, httpx2.RemoteProtocolError | httpx2.ReadError | httpx2.WriteError)


def _broken(error: Exception, *, began: bool) -> ModelError:
    cause = error.__cause__ or error
    name, text = type(cause).__name__, str(cause)
    words = f"{name}: {text}" if text else name
    if began:
        return ModelError("stream_cut", f"the answer broke off ({words})")
    return ModelError("connection", f"the endpoint could not be reached or did not answer ({words})")
