"""HTTP as the proxy speaks it: whom a request is for, what is passed on of it, what is answered instead.

A request is parsed strictly and written anew, never copied: no two readers understand it differently.
"""

import asyncio
import contextlib
import re
import socket
from dataclasses import dataclass
from typing import Final

import h11

from sandbox.egress.record import Traffic
from sandbox.egress.rules import HostRefused, plain_name, plain_port

_CHUNK: Final = 1 << 16
_LONGEST_HEAD: Final = 16 * 1024
_HTTP_URL: Final = re.compile(r"http://(?P<authority>[^/?#]*)(?P<path>/[^#]*)?", re.IGNORECASE)
# https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1, and what is said anew or answered here.
_NOT_FORWARDED: Final = frozenset(
    {
        b"connection",
        b"expect",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Target:
    name: str
    port: int

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"


class Refused(Exception):
    """A request that is answered with `status` and not carried out."""

    def __init__(self, status: int, why: str, *, shown: str = "") -> None:
        self.status = status
        self.why = why
        self.shown = shown
        """What was asked for; empty when that cannot be told."""
        super().__init__(why)


class Peer:
    """One side of a conversation."""

    def __init__(
        self,
        connection: socket.socket,
        role: type[h11.CLIENT] | type[h11.SERVER],
        *,
        idle_seconds: float,
        traffic: Traffic | None = None,
    ) -> None:
        self.connection = connection
        self.http = h11.Connection(role, max_incomplete_event_size=_LONGEST_HEAD)
        self._idle_seconds = idle_seconds
        self._traffic = Traffic() if traffic is None else traffic
        self._loop = asyncio.get_running_loop()

    async def event(self) -> object:
        """The next part of a message. Raises `h11.RemoteProtocolError` for one that is not plain HTTP/1.1."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            if self.http.they_are_waiting_for_100_continue:
                await self.send(h11.InformationalResponse(status_code=100, headers=[]))
            self.http.receive_data(await self.receive())
        return event

    async def send(self, event: h11.Event) -> None:
        if data := self.http.send(event):
            await self.transmit(data)

    async def receive(self) -> bytes:
        async with asyncio.timeout(self._idle_seconds):
            data = await self._loop.sock_recv(self.connection, _CHUNK)
        self._traffic.bytes_received += len(data)
        return data

    async def transmit(self, data: bytes) -> None:
        async with asyncio.timeout(self._idle_seconds):
            await self._loop.sock_sendall(self.connection, data)
        self._traffic.bytes_sent += len(data)

    def end_sending(self) -> None:
        self.connection.shutdown(socket.SHUT_WR)


def tunnel_target(request: h11.Request) -> Target:
    if any(name in _FRAMING for name, _ in request.headers):
        raise Refused(400, "CONNECT has no body")
    return _target(request.target.decode("ascii"), default_port=None)


def url_target(request: h11.Request) -> tuple[Target, str]:
    """The host and the path of an absolute URL. Raises `Refused`."""
    url = _HTTP_URL.fullmatch(request.target.decode("ascii"))
    if url is None:
        raise Refused(400, "this is a proxy: it takes CONNECT and http:// URLs")
    framing = {name for name, _ in request.headers if name in _FRAMING}
    if framing == _FRAMING:
        raise Refused(400, "a body has one length: Content-Length and Transfer-Encoding exclude each other")
    return _target(url["authority"], default_port=80), url["path"] or "/"


def _target(authority: str, *, default_port: int | None) -> Target:
    shown = authority if len(authority) <= 80 else f"{authority[:80]}…"
    host, has_port, port = authority.rpartition(":")
    if not has_port:
        host = authority
    try:
        name = plain_name(host)
        if has_port:
            return Target(name, plain_port(port))
    except HostRefused as error:
        raise Refused(403, f"{shown} is refused: {error}", shown=shown) from error
    if default_port is None:
        raise Refused(400, "CONNECT names a host and a port")
    return Target(name, default_port)


def refused_target(status: int, target: Target, why: str) -> Refused:
    return Refused(status, f"{target} {why}", shown=str(target))


def rewritten(request: h11.Request, target: Target, path: str) -> h11.Request:
    """The request as the server gets it: what the client said of the connection and the host is left out."""
    host = target.name if target.port == 80 else str(target)
    headers = [(b"Host", host.encode()), *_forwarded(request), (b"Connection", b"close")]
    if any(name == b"transfer-encoding" for name, _ in request.headers):
        headers.append((b"Transfer-Encoding", b"chunked"))
    return h11.Request(method=request.method, target=path, headers=headers)


def _forwarded(message: h11.Request | h11.Response) -> list[tuple[bytes, bytes]]:
    """Without what concerns one connection only. What frames the body cannot be named away."""
    named = {
        word.strip().lower()
        for name, value in message.headers
        if name == b"connection"
        for word in value.split(b",")
    }
    dropped = _NOT_FORWARDED | (named - _FRAMING)
    return [(name, value) for name, value in message.headers.raw_items() if name.lower() not in dropped]


async def pass_on(client: Peer, server: Peer, request: h11.Request, target: Target) -> None:
    """Send the request and bring back the answer, which may come before the body is all sent."""
    failed: BaseExceptionGroup[Exception] | None = None
    try:
        async with asyncio.TaskGroup() as both_ways:
            await server.send(request)
            upload = both_ways.create_task(_upload(client, server))
            await client.send(await _response(server))
            await _download(server, client)
            upload.cancel()
    except* (OSError, h11.ProtocolError) as errors:
        failed = errors
    if failed is None or client.http.our_state is not h11.SEND_RESPONSE:
        return
    if client.http.their_state is h11.ERROR:
        raise Refused(400, "the body of the request is not plain HTTP") from failed
    if failed.subgroup(TimeoutError) is not None:
        raise refused_target(504, target, "did not answer in time") from failed
    raise refused_target(502, target, "gave no answer that is HTTP") from failed


async def _upload(client: Peer, server: Peer) -> None:
    # A server that has read enough may answer all the same: what it answers decides.
    with contextlib.suppress(OSError):
        while isinstance(event := await client.event(), h11.Data):
            await server.send(h11.Data(data=event.data))
        if isinstance(event, h11.EndOfMessage):
            await server.send(h11.EndOfMessage())


async def _response(server: Peer) -> h11.Response:
    while isinstance(event := await server.event(), h11.InformationalResponse):
        pass
    if not isinstance(event, h11.Response):
        raise h11.RemoteProtocolError("closed without an answer")
    headers = [*_forwarded(event), (b"Connection", b"close")]
    return h11.Response(status_code=event.status_code, headers=headers, reason=event.reason)


async def _download(server: Peer, client: Peer) -> None:
    while isinstance(event := await server.event(), h11.Data):
        await client.send(h11.Data(data=event.data))
    if isinstance(event, h11.EndOfMessage):
        await client.send(h11.EndOfMessage())


async def tell(client: Peer, refusal: Refused) -> None:
    """The reason stands in the status line too: most programs show no more than that."""
    body = f"{refusal.why}\n".encode("ascii", "replace")
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
    ]
    await client.send(h11.Response(status_code=refusal.status, headers=headers, reason=body.rstrip()))
    await client.transmit(body)
    client.end_sending()
    # Closed with something unread, the kernel would take the answer back.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            while await client.receive():
                pass
