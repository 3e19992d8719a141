"""What a program inside gets through the proxy, and what it cannot make it do."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import pytest
import uvloop

from sandbox.egress import Bounds, egress
from sandbox.egress.rules import HostRefused
from tests.sandbox_egress.conftest import ANSWER, HERE, Names, Origin, Proxy, open_proxy, serving

BOTH_LENGTHS = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"


def get(url: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = (f"{method} {url} HTTP/1.1", "Host: elsewhere.test", *headers, "", "")
    return "\r\n".join(lines).encode() + body


def status_line(answer: bytes) -> str:
    return answer.partition(b"\r\n")[0].decode()


async def test_a_page_of_an_allowed_host_is_fetched(origin: Origin) -> None:
    """The host gets the request as a server expects it, without what concerned the proxy."""
    async with open_proxy(origin.rule) as proxy:
        answer = await proxy.ask(
            get(
                f"http://INDEX.test:{origin.port}/simple/?q=1",
                "Proxy-Connection: keep-alive",
                "Proxy-Authorization: Basic c2VjcmV0",
                "Connection: keep-alive, X-Mine",
                "X-Mine: 1",
                "Keep-Alive: 5",
                "Upgrade: h2c",
                "Accept: text/html",
            )
        )
        refusals = proxy.record.take_refusals()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nhello\n")
    assert origin.heads == [
        b"GET /simple/?q=1 HTTP/1.1\r\nHost: %b\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
        % origin.name.encode()
    ]
    assert refusals == ()


async def test_a_host_that_is_not_listed_is_refused_and_told_once(origin: Origin) -> None:
    """The reason is in the status line, in the body, and in one line for whoever ran the command."""
    names = Names()
    async with open_proxy(origin.rule, resolve=names) as proxy:
        answer = await proxy.ask(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
        again = await proxy.ask(b"CONNECT Example.COM:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
        plain = await proxy.ask(get("http://example.com/"))
        refusals = proxy.record.take_refusals()
        later = proxy.record.take_refusals()

    reason = "example.com:443 is not on this repository's allow-list"
    assert status_line(answer) == f"HTTP/1.1 403 {reason}"
    assert answer.endswith(f"\r\n\r\n{reason}\n".encode())
    assert again == answer
    assert status_line(plain) == "HTTP/1.1 403 example.com:80 is not on this repository's allow-list"
    assert refusals == (
        f"network: {reason}. Do without it, or say in your answer that it is needed.",
        f"network: {reason.replace('443', '80')}. Do without it, or say in your answer that it is needed.",
    )
    assert later == ()
    assert names.asked == []


async def test_very_many_refusals_are_told_in_few_lines() -> None:
    """A scan does not fill the model's context."""
    async with open_proxy() as proxy:
        for number in range(25):
            await proxy.ask(get(f"http://host{number}.test/"))
        refusals = proxy.record.take_refusals()

    assert len(refusals) == 21
    assert refusals[-1] == "network: 5 more hosts were refused."


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "localhost.",
        "[::1]",
        "[::ffff:7f00:1]",
        "[fe80::1%25lo]",
        "::1",
        "0",
        "169.254.169.254",
        "0xa9fea9fe",
        "index.test@127.0.0.1",
        "127.0.0.1%00.index.test",
        "%69ndex.test",
        "index.test.",
        "index.test\\.evil.test",
        "index..test",
        "*.test",
        "",
    ],
)
@pytest.mark.parametrize("way", ["tunnel", "page"])
async def test_odd_spellings_lead_nowhere(origin: Origin, target: str, way: str) -> None:
    """No spelling but the plain name of the list is looked up, let alone connected to."""
    names = Names()
    place = f"{target}:{origin.port}"
    request = (
        f"CONNECT {place} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        if way == "tunnel"
        else get(f"http://{place}/")
    )
    async with open_proxy(origin.rule, resolve=names) as proxy:
        answer = await proxy.ask(request)
        refusals = proxy.record.take_refusals()

    assert status_line(answer).startswith("HTTP/1.1 403 ")
    assert len(refusals) == 1
    assert names.asked == []
    assert origin.heads == []


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("10.0.0.1", "192.168.1.1"),
        ("169.254.169.254",),
        ("::1",),
        ("::ffff:127.0.0.1",),
        ("64:ff9b::7f00:1",),
        ("fe80::1%lo",),
    ],
)
async def test_a_public_name_cannot_lead_home(addresses: Sequence[str]) -> None:
    """The address counts, not the name: one of this machine, its network or its cloud is refused."""
    async with (
        serving(Origin()) as origin,
        open_proxy(f"index.test:{origin.port}", resolve=Names([addresses])) as proxy,
    ):
        answer = await proxy.ask(get(f"http://{origin.name}/"))
        refusals = proxy.record.take_refusals()

    reason = f"{origin.name} leads to an address that is not on the public internet"
    assert status_line(answer) == f"HTTP/1.1 403 {reason}"
    assert refusals == (f"network: {reason}. Do without it, or say in your answer that it is needed.",)
    assert origin.heads == []


async def test_a_name_that_changes_its_mind_gains_nothing(origin: Origin) -> None:
    """What was looked up and checked is what is connected to; the next connection is checked anew."""
    names = Names([("127.0.0.1",), ("127.0.1.1",)])
    async with (
        serving(Origin(), "127.0.1.1", origin.port) as forbidden,
        open_proxy(origin.rule, resolve=names) as proxy,
    ):
        first = await proxy.ask(get(f"http://{origin.name}/"))
        second = await proxy.ask(get(f"http://{origin.name}/"))

    assert first.endswith(b"hello\n")
    assert status_line(second).startswith("HTTP/1.1 403 ")
    assert (len(origin.heads), forbidden.heads) == (1, [])
    assert names.asked == ["index.test", "index.test"]


async def test_of_mixed_addresses_only_the_allowed_are_tried(origin: Origin) -> None:
    """Wherever the forbidden one stands among them."""
    names = Names([("127.0.1.1", "127.0.0.1", "127.0.1.1")])
    async with (
        serving(Origin(), "127.0.1.1", origin.port) as forbidden,
        open_proxy(origin.rule, resolve=names) as proxy,
    ):
        answer = await proxy.ask(get(f"http://{origin.name}/"))

    assert answer.endswith(b"hello\n")
    assert forbidden.heads == []


async def test_the_next_address_is_tried_when_one_does_not_answer(origin: Origin) -> None:
    """As every client does."""
    async with open_proxy(origin.rule, resolve=Names([("127.0.0.9", "127.0.0.1")])) as proxy:
        answer = await proxy.ask(get(f"http://{origin.name}/"))

    assert answer.endswith(b"hello\n")


async def test_a_tunnel_carries_bytes_both_ways(origin: Origin) -> None:
    """Also those sent with the request, also a megabyte, and the end of one direction before the other's."""
    origin.is_echo = True
    sent = bytes(range(256)) * 4096
    async with open_proxy(origin.rule) as proxy:
        reader, writer = await proxy.connect()
        writer.write(f"CONNECT {origin.name} HTTP/1.1\r\nHost: {origin.name}\r\n\r\nearly".encode())
        writer.write(sent)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        traffic = proxy.record.used()[origin.name]

    head, _, received = answer.partition(b"\r\n\r\n")
    assert head == b"HTTP/1.1 200 Connection established"
    assert received == b"early" + sent
    assert (traffic.connections, traffic.bytes_sent, traffic.bytes_received) == (1, 5 + 2**20, 5 + 2**20)


def client_hello(name: str | None) -> bytes:
    """What a TLS client says first."""
    context = ssl.create_default_context()
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("piece", [1, 7, 100_000])
async def test_a_tunnel_is_for_the_host_that_it_was_opened_for(origin: Origin, piece: int) -> None:
    """A TLS connection to another name is cut before the host hears of it, however small its pieces."""
    origin.is_echo = True
    hello = client_hello("evil.test")
    async with open_proxy(origin.rule) as proxy:
        reader, writer = await proxy.tunnel(origin.name)
        for start in range(0, len(hello), piece):
            writer.write(hello[start : start + piece])
            await asyncio.sleep(0)
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        refusals = proxy.record.take_refusals()

    assert answer == b""
    assert origin.bodies == []
    assert len(refusals) == 1
    assert refusals[0].startswith(
        f"network: {origin.name} was opened for TLS to 'evil.test', which is another host. "
    )


def in_two_records(hello: bytes) -> bytes:
    """The same greeting, cut inside its first message."""
    body = hello[5:]
    return hello[:3] + (9).to_bytes(2) + body[:9] + hello[:3] + len(body[9:]).to_bytes(2) + body[9:]


def in_crumbs(hello: bytes) -> bytes:
    """A record for every byte."""
    return b"".join(hello[:3] + b"\0\1" + bytes([byte]) for byte in hello[5:])


@pytest.mark.parametrize(
    "greeting",
    [
        client_hello("index.test"),
        client_hello("INDEX.test"),
        in_two_records(client_hello("index.test")),
        client_hello(None),
        b"SSH-2.0-client\r\n",
        b"\x16",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x00\x05\x02\x00\x00\x00\x00",
        client_hello("index.test")[:60],
    ],
    # Greetings hold random bytes: they name no test.
    ids=["same", "other case", "split", "no name", "ssh", "one byte", "empty", "no hello", "cut"],
)
async def test_a_greeting_that_names_no_other_host_goes_through_as_it_is(
    origin: Origin, greeting: bytes
) -> None:
    """To the right name, without a name, or of a protocol that is not TLS: not a byte is changed."""
    origin.is_echo = True
    async with open_proxy(origin.rule) as proxy:
        reader, writer = await proxy.tunnel(origin.name)
        writer.write(greeting)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()

    assert answer == greeting


@pytest.mark.parametrize("cut", [in_two_records, in_crumbs])
async def test_another_name_in_pieces_is_seen(origin: Origin, cut: Callable[[bytes], bytes]) -> None:
    """Cutting the greeting does not hide it."""
    origin.is_echo = True
    async with open_proxy(origin.rule) as proxy:
        reader, writer = await proxy.tunnel(origin.name)
        writer.write(cut(client_hello("evil.test")))
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()

    assert origin.bodies == []


async def test_one_connection_is_one_request(origin: Origin) -> None:
    """What is sent after it, to whatever host, is not looked at."""
    first = get(f"http://{origin.name}/one")
    async with serving(Origin()) as other, open_proxy(origin.rule, other.rule) as proxy:
        answer = await proxy.ask(first + get(f"http://{other.name}/two") + get(f"http://{origin.name}/three"))

    assert answer.count(b"HTTP/1.1") == 1
    assert b"Connection: close" in answer
    assert [head.split()[1] for head in origin.heads] == [b"/one"]
    assert other.heads == []


async def test_a_body_is_passed_on(origin: Origin) -> None:
    """Its length is told as the client told it, whatever `Connection` names; chunks are made anew."""
    url = f"http://{origin.name}/upload"
    chunked = b"2;ext=1\r\nab\r\n1\r\nc\r\n0\r\nTrailer: x\r\n\r\n"
    async with open_proxy(origin.rule) as proxy:
        await proxy.ask(
            get(url, "Content-Length: 3", "Connection: content-length", method="PUT", body=b"abc")
        )
        await proxy.ask(get(url, "Transfer-Encoding: chunked", method="POST", body=chunked))

    assert origin.bodies == [b"abc", b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"]
    assert b"Trailer" not in origin.heads[1]


async def test_a_client_that_waits_is_told_to_go_on(origin: Origin) -> None:
    """curl does so before a large body."""
    async with open_proxy(origin.rule) as proxy:
        reader, writer = await proxy.connect()
        writer.write(get(f"http://{origin.name}/", "Content-Length: 3", "Expect: 100-continue", method="PUT"))
        go_on = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        writer.write(b"abc")
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()

    assert go_on.startswith(b"HTTP/1.1 100 ")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert origin.bodies == [b"abc"]
    assert b"Expect" not in origin.heads[0]


async def test_an_answer_may_come_before_the_body_is_sent() -> None:
    """A server that refuses an upload at once is heard."""

    async def too_large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(too_large, "127.0.0.1", 0)
    name = f"index.test:{server.sockets[0].getsockname()[1]}"
    async with server, open_proxy(f"{name}@{HERE}") as proxy:
        reader, writer = await proxy.connect()
        writer.write(get(f"http://{name}/", f"Content-Length: {2**30}", method="PUT", body=b"x" * 1000))
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()

    assert status_line(answer) == "HTTP/1.1 413 Too Large"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: {}\r\n\r\n", 400),
        (b"GET https://{}/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET ftp://{}/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET http://{}?x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET http://{}/#x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET http://{}/ HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"GET http://{}/\r\n\r\n", 400),
        (b"GET http://{}/ x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET http://{}/\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET http://{}/ HTTP/1.1\r\n\r\n", 400),
        (b"GET http://{}/ HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n", 400),
        (b"GET http://{}/ HTTP/1.1\r\nHost: x\r\nHost : y\r\n\r\n", 400),
        (b"GET http://{}/ HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", 400),
        (b"PUT http://{}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"PUT http://{}/ HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", 400),
        (b"PUT http://{}/ HTTP/1.1\r\nHost: x\r\n" + BOTH_LENGTHS + b"0\r\n\r\n", 400),
        (b"PUT http://{}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"PUT http://{}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 501),
        (b"CONNECT {} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"CONNECT index.test HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello in TLS \r\n\r\n", 400),
        (b"GET http://{}/ HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 200_000, 431),
    ],
)
async def test_what_is_no_plain_request_is_refused(origin: Origin, request_bytes: bytes, status: int) -> None:
    """Nothing that two readers could understand differently gets as far as the host."""
    async with open_proxy(origin.rule) as proxy:
        answer = await proxy.ask(request_bytes.replace(b"{}", origin.name.encode()))

    assert status_line(answer).startswith(f"HTTP/1.1 {status} ")
    assert origin.heads == []


async def test_a_bad_chunk_ends_the_upload(origin: Origin) -> None:
    """The client is told that it was its own fault; the host never saw a whole request."""
    async with open_proxy(origin.rule) as proxy:
        answer = await proxy.ask(
            get(f"http://{origin.name}/", "Transfer-Encoding: chunked", method="PUT", body=b"zz\r\nab\r\n")
        )

    assert status_line(answer) == "HTTP/1.1 400 the body of the request is not plain HTTP"
    assert origin.bodies == []


@pytest.mark.parametrize(
    ("answer", "received"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            b"3\r\nabc\r\n0\r\n\r\n",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nabc", b"3\r\nabc\r\n0\r\n\r\n"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + ANSWER, b"hello\n"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 302 Found\r\nLocation: http://evil.test/\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
async def test_an_answer_arrives_whole(origin: Origin, answer: bytes, received: bytes) -> None:
    """However the host frames it; a redirect is for the client to follow."""
    origin.answer = answer
    async with open_proxy(origin.rule) as proxy:
        got = await proxy.ask(get(f"http://{origin.name}/"))

    head, _, body = got.partition(b"\r\n\r\n")
    assert body == received
    assert b"Connection: close" in head


async def test_an_old_client_is_answered_in_its_own_way(origin: Origin) -> None:
    """HTTP/1.0 knows no chunks: the end of the connection is the end of the answer."""
    origin.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    async with open_proxy(origin.rule) as proxy:
        got = await proxy.ask(f"GET http://{origin.name}/ HTTP/1.0\r\n\r\n".encode())

    assert got.endswith(b"\r\n\r\nabc")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ],
)
async def test_a_host_that_makes_no_sense_is_told(origin: Origin, answer: bytes) -> None:
    """As the fault of the host, to the client and to the model."""
    origin.answer = answer
    async with open_proxy(origin.rule) as proxy:
        got = await proxy.ask(get(f"http://{origin.name}/"))
        refusals = proxy.record.take_refusals()

    assert status_line(got) == f"HTTP/1.1 502 {origin.name} gave no answer that is HTTP"
    assert len(refusals) == 1


async def test_a_host_that_cannot_be_reached_is_told() -> None:
    """Nobody listens there, nobody knows the name, or nobody answers the question for it in time."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    async def unknown(_name: str) -> Sequence[str]:
        raise OSError("no such name")

    async def slow(_name: str) -> Sequence[str]:
        await asyncio.sleep(60)
        return ()

    rule = f"index.test:{port}@{HERE}"
    request = get(f"http://index.test:{port}/")
    async with open_proxy(rule) as proxy:
        refused = await proxy.ask(request)
    async with open_proxy(rule, resolve=unknown) as proxy:
        not_found = await proxy.ask(request)
    async with open_proxy(rule, resolve=slow, bounds=Bounds(lookup_seconds=0.05)) as proxy:
        late = await proxy.ask(request)

    assert status_line(refused) == f"HTTP/1.1 502 index.test:{port} cannot be reached: Connection refused"
    assert status_line(not_found) == f"HTTP/1.1 502 index.test:{port} is not a name that can be found"
    assert status_line(late) == f"HTTP/1.1 504 index.test:{port} could not be looked up in time"


async def test_silence_has_an_end(origin: Origin) -> None:
    """Of a client that never ends its request, of a host that never answers, of a tunnel that nobody uses."""
    origin.is_silent = True
    request = get(f"http://{origin.name}/")
    async with open_proxy(origin.rule, bounds=Bounds(head_seconds=0.5, idle_seconds=0.5)) as proxy:
        unended = await proxy.ask(request[:-2])
        unanswered = await proxy.ask(request)
        reader, writer = await proxy.tunnel(origin.name)
        unused = await asyncio.wait_for(reader.read(), 20)
        writer.close()

    assert status_line(unended) == "HTTP/1.1 408 the request did not come in time"
    assert status_line(unanswered) == f"HTTP/1.1 504 {origin.name} did not answer in time"
    assert unused == b""


async def test_a_drip_of_bytes_has_an_end_too(origin: Origin) -> None:
    """The head of a request is bounded as a whole, and so is every connection."""
    origin.is_echo = True
    async with open_proxy(origin.rule, bounds=Bounds(head_seconds=0.5, total_seconds=1.5)) as proxy:
        reader, writer = await proxy.connect()

        async def drip() -> None:
            while True:
                writer.write(b"G")
                await asyncio.sleep(0.02)

        dripping = asyncio.ensure_future(drip())
        answer = await asyncio.wait_for(reader.read(), 20)
        dripping.cancel()
        writer.close()
        reader, writer = await proxy.tunnel(origin.name)
        dripping = asyncio.ensure_future(drip())
        # Cut in the midst of it, which a client may be told as a reset.
        with contextlib.suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 20)
        assert reader.at_eof() or reader.exception() is not None
        dripping.cancel()
        writer.close()

    assert status_line(answer) == "HTTP/1.1 408 the request did not come in time"


async def test_connections_beyond_the_bound_wait(origin: Origin) -> None:
    """They are served when others end."""
    origin.is_echo = True
    async with open_proxy(origin.rule, bounds=Bounds(connections=2)) as proxy, AsyncExitStack() as stack:
        tunnels = [await proxy.tunnel(origin.name) for _ in range(2)]
        for _, writer in tunnels:
            stack.callback(writer.close)
        third = asyncio.ensure_future(proxy.tunnel(origin.name))
        done, _ = await asyncio.wait((third,), timeout=0.3)
        assert not done
        tunnels[0][1].close()
        _, writer = await asyncio.wait_for(third, 20)
        writer.close()


async def test_everything_ends_with_the_sandbox(origin: Origin) -> None:
    """Open tunnels are cut and nobody listens any more."""
    origin.is_echo = True
    async with open_proxy(origin.rule) as proxy:
        reader, writer = await proxy.tunnel(origin.name)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"

    assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await proxy.connect()


async def test_a_client_that_hangs_up_harms_nobody(origin: Origin) -> None:
    """At whatever moment."""
    whole = get(f"http://{origin.name}/", "Content-Length: 5", method="PUT", body=b"abc")
    async with open_proxy(origin.rule) as proxy:
        for length in (0, 10, len(whole)):
            _, writer = await proxy.connect()
            writer.write(whole[:length])
            await writer.drain()
            writer.transport.abort()
        assert (await proxy.ask(get(f"http://{origin.name}/"))).endswith(b"hello\n")


async def test_what_was_used_and_refused_is_logged(origin: Origin, caplog: pytest.LogCaptureFixture) -> None:
    """With the bytes of each host, when the sandbox ends."""
    with caplog.at_level(logging.INFO, logger="sandbox.egress.record"):
        async with open_proxy(origin.rule) as proxy:
            await proxy.ask(get(f"http://{origin.name}/"))
            await proxy.ask(get("http://example.com/"))
            await proxy.ask(get("http://example.com/"))

    said = [(record.message, record.__dict__["fields"]) for record in caplog.records]
    sent = len(origin.heads[0])
    assert said == [
        (
            "egress.used",
            {"host": origin.name, "connections": 1, "bytes_sent": sent, "bytes_received": len(ANSWER)},
        ),
        ("egress.refused", {"host": "example.com:80", "times": 2}),
    ]


async def test_a_list_with_a_mistake_opens_nothing() -> None:
    """The proxy does not start, and its socket is closed."""
    listener = socket.create_server(("127.0.0.1", 0))
    with pytest.raises(HostRefused):
        async with egress(listener, ("pypi.org", "*")):
            pass

    assert listener.fileno() == -1


async def test_the_machine_is_asked_for_names_unless_told_otherwise() -> None:
    """Here for one that is this machine's own."""
    async with serving(Origin()) as origin:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        rule = f"localhost:{origin.port}@127.0.0.0/8"
        async with egress(listener, (rule,)) as record:
            answer = await Proxy(port, record).ask(get(f"http://localhost:{origin.port}/"))

    assert answer.endswith(b"hello\n")


def test_it_serves_on_the_loop_of_the_service() -> None:
    """uvloop's sockets behave a little differently."""

    async def work() -> tuple[bytes, bytes]:
        async with serving(Origin(is_echo=True)) as echo, serving(Origin()) as origin:
            async with open_proxy(origin.rule, echo.rule) as proxy:
                page = await proxy.ask(get(f"http://{origin.name}/"))
                reader, writer = await proxy.tunnel(echo.name)
                writer.write(b"ping")
                echoed = await reader.readexactly(4)
            assert await asyncio.wait_for(reader.read(), 20) == b""
            writer.close()
        return page, echoed

    page, echoed = uvloop.run(work())

    assert page.endswith(b"hello\n")
    assert echoed == b"ping"
