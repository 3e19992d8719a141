"""The one way out of a sandbox: an HTTP proxy that lets through what an allow-list names, and nothing else.

Its listening socket was made inside the sandbox's network namespace, where there is nothing but a loopback
interface; it is answered from here. So nothing of it can be reached on the host, nothing runs inside, and
names are looked up by the host only. What was looked up and checked is what is connected to: a name that
leads elsewhere a moment later gains nothing.

`CONNECT` makes a tunnel for one name and port; `http://` requests are taken apart and written anew, one a
connection. Not prevented: what an allowed host is told, and what it passes on.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final

from sandbox.egress.proxy import Bounds, Proxy, Resolve, system_resolver
from sandbox.egress.record import Egress
from sandbox.egress.rules import parse_host

__all__ = ["PROXY_PORT", "Bounds", "Egress", "Resolve", "egress", "proxy_environment"]

PROXY_PORT: Final = 3128
"""Where drivers make the listener, on 127.0.0.1 inside."""

_MOST_LOOKUPS: Final = 4


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
        proxy = Proxy(rules, resolve or system_resolver(lookups), bounds or Bounds(), record)
        listener.setblocking(False)
        serving = asyncio.create_task(proxy.serve(listener))
        try:
            yield record
        finally:
            serving.cancel()
            await asyncio.wait((serving,))
            # Not waited for: a lookup that hangs is nobody's any more.
            lookups.shutdown(wait=False, cancel_futures=True)
            record.write_to_log()


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
