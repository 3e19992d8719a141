"""The proxy's work: from a listening socket to checked connections. Knows rules, no drivers."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import h11

from sandbox.egress.http import (
    Peer,
    Refused,
    Target,
    pass_on,
    refused_target,
    rewritten,
    tell,
    tunnel_target,
    url_target,
)
from sandbox.egress.record import Egress, Traffic
from sandbox.egress.rules import Address, HostRule, read_address
from sandbox.egress.tls import Incomplete, NotTls, Scattered, server_name

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""From a name to the texts of its addresses. Raises `OSError` when there are none."""

_CHUNK: Final = 1 << 16


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


class _Cut(OSError):
    """A tunnel that is not what was asked for."""


@dataclass(frozen=True, slots=True)
class Proxy:
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
                # Also of one that was cancelled before it could begin.
                conversation.add_done_callback(partial(_let_go, connection, slots))

    async def converse(self, connection: socket.socket) -> None:
        """One request and its answer. A client that goes away or talks nonsense ends it, nothing else."""
        with contextlib.suppress(OSError, h11.ProtocolError):
            async with asyncio.timeout(self.bounds.total_seconds):
                client = self._peer(connection, h11.SERVER)
                try:
                    await self._carry_out(client, await self._request(client))
                except Refused as refusal:
                    if refusal.shown:
                        self.record.note_refusal(refusal.shown, refusal.why)
                    await tell(client, refusal)

    def _peer(
        self,
        connection: socket.socket,
        role: type[h11.CLIENT] | type[h11.SERVER],
        traffic: Traffic | None = None,
    ) -> Peer:
        return Peer(connection, role, idle_seconds=self.bounds.idle_seconds, traffic=traffic)

    async def _request(self, client: Peer) -> h11.Request:
        try:
            async with asyncio.timeout(self.bounds.head_seconds):
                event = await client.event()
        except TimeoutError as error:
            raise Refused(408, "the request did not come in time") from error
        except h11.RemoteProtocolError as error:
            raise Refused(error.error_status_hint, f"not a request to a proxy: {error}") from error
        if isinstance(event, h11.Request):
            if event.http_version not in {b"1.0", b"1.1"}:
                raise Refused(505, "this proxy speaks HTTP/1.1")
            return event
        raise ConnectionResetError("closed before it asked for anything")

    async def _carry_out(self, client: Peer, request: h11.Request) -> None:
        if request.method == b"CONNECT":
            target = tunnel_target(request)
            with await self._connected(target) as connection:
                await self._tunnel(client, connection, target)
        else:
            target, path = url_target(request)
            with await self._connected(target) as connection:
                traffic = self.record.begin_traffic(str(target))
                server = self._peer(connection, h11.CLIENT, traffic)
                await pass_on(client, server, rewritten(request, target, path), target)

    async def _connected(self, target: Target) -> socket.socket:
        """A connection to an address that was looked up once and checked."""
        rules = [rule for rule in self.rules if rule.covers(target.name, target.port)]
        if not rules:
            raise refused_target(403, target, "is not on this repository's allow-list")
        addresses = [
            address
            for address in await self._looked_up(target)
            if any(rule.leads_to(address) for rule in rules)
        ]
        if not addresses:
            is_public = all(rule.network is None for rule in rules)
            where = "on the public internet" if is_public else "in the network that was opened for it"
            raise refused_target(403, target, f"leads to an address that is not {where}")
        try:
            async with asyncio.timeout(self.bounds.dial_seconds):
                return await _dialled(addresses, target.port)
        except TimeoutError as error:
            raise refused_target(504, target, "did not answer in time") from error
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else "no route"
            raise refused_target(502, target, f"cannot be reached: {why}") from error

    async def _looked_up(self, target: Target) -> list[Address]:
        try:
            async with asyncio.timeout(self.bounds.lookup_seconds):
                texts = await self.resolve(target.name)
        except TimeoutError as error:
            raise refused_target(504, target, "could not be looked up in time") from error
        except OSError as error:
            raise refused_target(502, target, "is not a name that can be found") from error
        return [address for text in texts if (address := read_address(text)) is not None]

    async def _tunnel(self, client: Peer, connection: socket.socket, target: Target) -> None:
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

    async def _up(self, pipe: "_Pipe", first: bytes, target: Target) -> None:
        """What the client sends. A TLS connection must be to the host that was asked for."""
        try:
            greeting, name = await pipe.greeting(first)
        except Scattered as error:
            why = "was opened for TLS whose first message nobody can read"
            raise self._cut(target, why) from error
        if name is not None and name.lower() != target.name:
            raise self._cut(target, f"was opened for TLS to {name[:80]!r}, which is another host")
        await pipe.up(greeting)

    def _cut(self, target: Target, why: str) -> _Cut:
        self.record.note_refusal(str(target), f"{target} {why}")
        return _Cut(why)


@dataclass(frozen=True, slots=True)
class _Pipe:
    """Both directions of a tunnel."""

    client: socket.socket
    server: socket.socket
    clock: asyncio.Timeout
    idle_seconds: float
    traffic: Traffic

    async def greeting(self, first: bytes) -> tuple[bytes, str | None]:
        """What the client sent first, and the server name if that is TLS and has one. Raises `Scattered`."""
        loop = asyncio.get_running_loop()
        data = bytearray(first)
        while True:
            try:
                return bytes(data), server_name(bytes(data))
            except NotTls:
                return bytes(data), None
            except Incomplete as error:
                needed = error.needed
            while len(data) < needed:
                more = await loop.sock_recv(self.client, _CHUNK)
                if not more:
                    return bytes(data), None
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


def _let_go(connection: socket.socket, slots: asyncio.Semaphore, _conversation: asyncio.Task[None]) -> None:
    connection.close()
    slots.release()


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


def system_resolver(threads: ThreadPoolExecutor) -> Resolve:
    """Threads of its own: names that are slow to be found must not hold up the service's."""

    def look_up(name: str) -> list[str]:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        return [str(address[0]) for _, _, _, _, address in found]

    async def resolve(name: str) -> Sequence[str]:
        return await asyncio.get_running_loop().run_in_executor(threads, look_up, name)

    return resolve
