"""The one way out of a sandbox: an HTTP proxy that lets through what an allow-list names, and nothing else.

Its listening socket was made inside the sandbox's network namespace, where there is nothing but a loopback
interface; it is answered from here. So nothing of it can be reached on the host, nothing runs inside, and
names are looked up by the host only. What was looked up and checked is what is connected to: a name that
leads elsewhere a moment later gains nothing.

`CONNECT` makes a tunnel for one name and port; `http://` requests are taken apart and written anew, one a
connection. Not prevented: what an allowed host is told, and what it passes on.
"""

import asyncio
import contextlib
import logging
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import h11

from sandbox.egress_rules import (
    Address,
    HostRefused,
    HostRule,
    parse_host,
    plain_name,
    plain_port,
    read_address,
)
from sandbox.egress_tls import Incomplete, NotTls, server_name

PROXY_PORT: Final = 3128
"""Where drivers make the listener, on 127.0.0.1 inside."""

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""From a name to the texts of its addresses. Raises `OSError` when there are none."""

log = logging.getLogger(__name__)

_CHUNK: Final = 1 << 16
_LONGEST_HEAD: Final = 16 * 1024
_MOST_LOOKUPS: Final = 4
_MOST_TOLD: Final = 20
_MOST_COUNTED: Final = 256
_AND_NOW: Final = "Do without it, or say in your answer that it is needed."
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
class Bounds:
    """On what a sandbox may make the proxy hold; times in seconds."""

    connections: int = 32
    """At once; more wait to be accepted."""
    head_seconds: float = 15
    """For the begin of a request, however slowly it comes."""
    lookup_seconds: float = 10
    dial_seconds: float = 15
    idle_seconds: float = 120
    """Without a byte in either direction."""
    total_seconds: float = 3600


@dataclass(slots=True)
class Traffic:
    """What went to and from one host."""

    connections: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


class Egress:
    """What a sandbox asked its proxy for."""

    def __init__(self) -> None:
        self._untold: dict[str, None] = {}
        self._refused: dict[str, int] = {}
        self._used: dict[str, Traffic] = {}

    def take_refusals(self) -> tuple[str, ...]:
        """A line for each host that was refused or failed since the last call: what, why and what to do."""
        lines = tuple(self._untold)
        self._untold.clear()
        if len(lines) <= _MOST_TOLD:
            return lines
        return (*lines[:_MOST_TOLD], f"network: {len(lines) - _MOST_TOLD} more hosts were refused.")

    def used(self) -> Mapping[str, Traffic]:
        """By `host:port`. Of very many hosts the later ones are counted together, as `others`."""
        return MappingProxyType(self._used)

    def refused(self) -> Mapping[str, int]:
        """How often each `host:port` was asked for in vain, counted as in `used`."""
        return MappingProxyType(self._refused)

    def note_refusal(self, shown: str, why: str) -> None:
        """For the proxy: `shown` will not be reached."""
        if len(self._untold) < _MOST_COUNTED:
            self._untold.setdefault(f"network: {why}. {_AND_NOW}")
        key = _counted_as(shown, self._refused)
        self._refused[key] = self._refused.get(key, 0) + 1

    def begin_traffic(self, shown: str) -> Traffic:
        """For the proxy: a connection to `shown` is there."""
        traffic = self._used.setdefault(_counted_as(shown, self._used), Traffic())
        traffic.connections += 1
        return traffic


@asynccontextmanager
async def egress(
    listener: socket.socket,
    allowed: tuple[str, ...],
    *,
    resolve: Resolve | None = None,
    bounds: Bounds | None = None,
) -> AsyncIterator[Egress]:
    """Answer on `listener`, which it closes at the end together with every connection.

    `resolve` is the host's own resolver unless given. Raises `HostRefused` for a text in `allowed` that is no
    rule.
    """
    record = Egress()
    with listener:
        rules = tuple(parse_host(text, private=True) for text in allowed)
        lookups = ThreadPoolExecutor(_MOST_LOOKUPS, thread_name_prefix="egress")
        proxy = _Proxy(rules, resolve or _system_resolver(lookups), bounds or Bounds(), record)
        listener.setblocking(False)
        serving = asyncio.create_task(proxy.serve(listener))
        try:
            yield record
        finally:
            serving.cancel()
            await asyncio.wait((serving,))
            # Not waited for: a lookup that hangs is nobody's any more.
            lookups.shutdown(wait=False, cancel_futures=True)
            _log(record)


def proxy_environment(port: int = PROXY_PORT) -> Mapping[str, str]:
    """What makes programs inside use a proxy at `port` of their own loopback interface."""
    proxy = f"http://127.0.0.1:{port}"
    direct = "localhost,127.0.0.1,::1"
    return MappingProxyType(
        {
            # curl and what is built on it read the lower case only, for `http`.
            "http_proxy": proxy,
            "https_proxy": proxy,
            "no_proxy": direct,
            "HTTP_PROXY": proxy,
            "HTTPS_PROXY": proxy,
            "NO_PROXY": direct,
            # Node 24 and later; before, its own fetch() knows no proxy.
            "NODE_USE_ENV_PROXY": "1",
        }
    )


@dataclass(frozen=True, slots=True)
class _Target:
    name: str
    port: int

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"


class _Refused(Exception):
    """A request that is answered with `status` and not carried out."""

    def __init__(self, status: int, why: str, *, shown: str = "") -> None:
        self.status = status
        self.why = why
        self.shown = shown
        """What was asked for; empty when that cannot be told."""
        super().__init__(why)


class _Cut(OSError):
    """A tunnel that is not what was asked for."""


class _Peer:
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


@dataclass(frozen=True, slots=True)
class _Proxy:
    rules: tuple[HostRule, ...]
    resolve: Resolve
    bounds: Bounds
    record: Egress

    async def serve(self, listener: socket.socket) -> None:
        slots = asyncio.Semaphore(self.bounds.connections)
        async with asyncio.TaskGroup() as conversations:
            while True:
                await slots.acquire()
                connection = await _accepted(listener)
                conversation = conversations.create_task(self.converse(connection))
                conversation.add_done_callback(lambda _: slots.release())

    async def converse(self, connection: socket.socket) -> None:
        """One request and its answer. A client that goes away or talks nonsense ends it, nothing else."""
        with connection, contextlib.suppress(OSError, h11.ProtocolError):
            async with asyncio.timeout(self.bounds.total_seconds):
                client = self._peer(connection, h11.SERVER)
                try:
                    await self._carry_out(client, await self._request(client))
                except _Refused as refusal:
                    if refusal.shown:
                        self.record.note_refusal(refusal.shown, refusal.why)
                    await _tell(client, refusal)

    def _peer(
        self,
        connection: socket.socket,
        role: type[h11.CLIENT] | type[h11.SERVER],
        traffic: Traffic | None = None,
    ) -> _Peer:
        return _Peer(connection, role, idle_seconds=self.bounds.idle_seconds, traffic=traffic)

    async def _request(self, client: _Peer) -> h11.Request:
        try:
            async with asyncio.timeout(self.bounds.head_seconds):
                event = await client.event()
        except TimeoutError as error:
            raise _Refused(408, "the request did not come in time") from error
        except h11.RemoteProtocolError as error:
            raise _Refused(error.error_status_hint, f"not a request to a proxy: {error}") from error
        if isinstance(event, h11.Request):
            if event.http_version not in {b"1.0", b"1.1"}:
                raise _Refused(505, "this proxy speaks HTTP/1.1")
            return event
        raise ConnectionResetError("closed before it asked for anything")

    async def _carry_out(self, client: _Peer, request: h11.Request) -> None:
        if request.method == b"CONNECT":
            target = _tunnel_target(request)
            with await self._connected(target) as connection:
                await self._tunnel(client, connection, target)
        else:
            target, path = _url_target(request)
            with await self._connected(target) as connection:
                traffic = self.record.begin_traffic(str(target))
                server = self._peer(connection, h11.CLIENT, traffic)
                await _pass_on(client, server, _rewritten(request, target, path), target)

    async def _connected(self, target: _Target) -> socket.socket:
        """A connection to an address that was looked up once and checked."""
        rules = [rule for rule in self.rules if rule.covers(target.name, target.port)]
        if not rules:
            raise _refused_target(403, target, "is not on this repository's allow-list")
        addresses = [
            address
            for address in await self._looked_up(target)
            if any(rule.leads_to(address) for rule in rules)
        ]
        if not addresses:
            raise _refused_target(403, target, "leads to an address that is not on the public internet")
        try:
            async with asyncio.timeout(self.bounds.dial_seconds):
                return await _dialled(addresses, target.port)
        except TimeoutError as error:
            raise _refused_target(504, target, "did not answer in time") from error
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else "no route"
            raise _refused_target(502, target, f"cannot be reached: {why}") from error

    async def _looked_up(self, target: _Target) -> list[Address]:
        try:
            async with asyncio.timeout(self.bounds.lookup_seconds):
                texts = await self.resolve(target.name)
        except TimeoutError as error:
            raise _refused_target(504, target, "could not be looked up in time") from error
        except OSError as error:
            raise _refused_target(502, target, "is not a name that can be found") from error
        return [address for text in texts if (address := read_address(text)) is not None]

    async def _tunnel(self, client: _Peer, connection: socket.socket, target: _Target) -> None:
        traffic = self.record.begin_traffic(str(target))
        await client.send(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
        first = client.http.trailing_data[0]
        try:
            async with asyncio.timeout(self.bounds.idle_seconds) as clock, asyncio.TaskGroup() as both_ways:
                pipe = _Pipe(client.connection, connection, clock, self.bounds.idle_seconds, traffic)
                both_ways.create_task(self._up(pipe, first, target))
                both_ways.create_task(pipe.down())
        except* OSError:
            # One side is gone, or the tunnel was cut: the other goes with it.
            pass

    async def _up(self, pipe: "_Pipe", first: bytes, target: _Target) -> None:
        """What the client sends. A TLS connection must be to the host that was asked for."""
        greeting, name = await pipe.greeting(first)
        if name is not None and name.lower() != target.name:
            why = f"{target} was opened for a TLS connection to {name!r}, which is another host"
            self.record.note_refusal(str(target), why)
            raise _Cut(why)
        await pipe.up(greeting)


@dataclass(frozen=True, slots=True)
class _Pipe:
    """Both directions of a tunnel."""

    client: socket.socket
    server: socket.socket
    clock: asyncio.Timeout
    idle_seconds: float
    traffic: Traffic

    async def greeting(self, first: bytes) -> tuple[bytes, str | None]:
        """What the client sent first, and the server name if that is TLS and has one."""
        loop = asyncio.get_running_loop()
        data = first
        while True:
            with contextlib.suppress(Incomplete):
                try:
                    return data, server_name(data)
                except NotTls:
                    return data, None
            more = await loop.sock_recv(self.client, _CHUNK)
            if not more:
                return data, None
            self._goes_on()
            data += more

    async def up(self, first: bytes) -> None:
        loop = asyncio.get_running_loop()
        data = first
        while data:
            await loop.sock_sendall(self.server, data)
            self.traffic.bytes_sent += len(data)
            self._goes_on()
            data = await loop.sock_recv(self.client, _CHUNK)
        self.server.shutdown(socket.SHUT_WR)

    async def down(self) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(self.server, _CHUNK):
            self.traffic.bytes_received += len(data)
            self._goes_on()
            await loop.sock_sendall(self.client, data)
        self.client.shutdown(socket.SHUT_WR)

    def _goes_on(self) -> None:
        if not self.clock.expired():
            self.clock.reschedule(asyncio.get_running_loop().time() + self.idle_seconds)


def _tunnel_target(request: h11.Request) -> _Target:
    if any(name in _FRAMING for name, _ in request.headers):
        raise _Refused(400, "CONNECT has no body")
    return _target(request.target.decode("ascii"), default_port=None)


def _url_target(request: h11.Request) -> tuple[_Target, str]:
    """The host and the path of an absolute URL. Raises `_Refused`."""
    url = _HTTP_URL.fullmatch(request.target.decode("ascii"))
    if url is None:
        raise _Refused(400, "this is a proxy: it takes CONNECT and http:// URLs")
    framing = {name for name, _ in request.headers if name in _FRAMING}
    if framing == _FRAMING:
        raise _Refused(400, "a body has one length: Content-Length and Transfer-Encoding exclude each other")
    return _target(url["authority"], default_port=80), url["path"] or "/"


def _target(authority: str, *, default_port: int | None) -> _Target:
    shown = authority if len(authority) <= 80 else f"{authority[:80]}…"
    host, has_port, port = authority.rpartition(":")
    if not has_port:
        host = authority
    try:
        name = plain_name(host)
        if has_port:
            return _Target(name, plain_port(port))
    except HostRefused as error:
        raise _Refused(403, f"{shown} is refused: {error}", shown=shown) from error
    if default_port is None:
        raise _Refused(400, "CONNECT names a host and a port")
    return _Target(name, default_port)


def _refused_target(status: int, target: _Target, why: str) -> _Refused:
    return _Refused(status, f"{target} {why}", shown=str(target))


def _rewritten(request: h11.Request, target: _Target, path: str) -> h11.Request:
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


async def _pass_on(client: _Peer, server: _Peer, request: h11.Request, target: _Target) -> None:
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
        raise _Refused(400, "the body of the request is not plain HTTP") from failed
    if failed.subgroup(TimeoutError) is not None:
        raise _refused_target(504, target, "did not answer in time") from failed
    raise _refused_target(502, target, "gave no answer that is HTTP") from failed


async def _upload(client: _Peer, server: _Peer) -> None:
    # A server that has read enough may answer all the same: what it answers decides.
    with contextlib.suppress(OSError):
        while isinstance(event := await client.event(), h11.Data):
            await server.send(h11.Data(data=event.data))
        if isinstance(event, h11.EndOfMessage):
            await server.send(h11.EndOfMessage())


async def _response(server: _Peer) -> h11.Response:
    while isinstance(event := await server.event(), h11.InformationalResponse):
        pass
    if not isinstance(event, h11.Response):
        raise h11.RemoteProtocolError("closed without an answer")
    headers = [*_forwarded(event), (b"Connection", b"close")]
    return h11.Response(status_code=event.status_code, headers=headers, reason=event.reason)


async def _download(server: _Peer, client: _Peer) -> None:
    while isinstance(event := await server.event(), h11.Data):
        await client.send(h11.Data(data=event.data))
    if isinstance(event, h11.EndOfMessage):
        await client.send(h11.EndOfMessage())


async def _tell(client: _Peer, refusal: _Refused) -> None:
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


async def _accepted(listener: socket.socket) -> socket.socket:
    loop = asyncio.get_running_loop()
    while True:
        try:
            connection, _ = await loop.sock_accept(listener)
        except OSError:
            # The client is gone already, or there is no descriptor left just now.
            await asyncio.sleep(0.1)
        else:
            return connection


async def _dialled(addresses: Sequence[Address], port: int) -> socket.socket:
    """The first that answers. Raises the last one's `OSError`."""
    loop = asyncio.get_running_loop()
    for number, address in enumerate(addresses, start=1):
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            await loop.sock_connect(connection, (str(address), port))
        except OSError:
            connection.close()
            if number == len(addresses):
                raise
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise ValueError("there is no address to connect to")


def _system_resolver(threads: ThreadPoolExecutor) -> Resolve:
    """Threads of its own: names that are slow to be found must not hold up the service's."""

    def look_up(name: str) -> list[str]:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        return [str(address[0]) for _, _, _, _, address in found]

    async def resolve(name: str) -> Sequence[str]:
        return await asyncio.get_running_loop().run_in_executor(threads, look_up, name)

    return resolve


def _counted_as(shown: str, counts: Mapping[str, object]) -> str:
    return shown if shown in counts or len(counts) < _MOST_COUNTED else "others"


def _log(record: Egress) -> None:
    for host, traffic in record.used().items():
        fields = {"host": host, "connections": traffic.connections}
        fields |= {"bytes_sent": traffic.bytes_sent, "bytes_received": traffic.bytes_received}
        log.info("egress.used", extra={"fields": fields})
    for host, times in record.refused().items():
        log.warning("egress.refused", extra={"fields": {"host": host, "times": times}})
