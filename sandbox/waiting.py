"""Waits in the event loop for descriptors, and for what must not be given up half-way."""

import asyncio
from collections.abc import Awaitable, Callable


async def readable(descriptor: int) -> None:
    """Return when there is something to read, or an end."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, resolve, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


async def insist(*attempts: Callable[[], Awaitable[object]]) -> None:
    """Do each to its end, again after a cancellation; that is passed on afterwards."""
    cancelled: asyncio.CancelledError | None = None
    for attempt in attempts:
        while True:
            try:
                await attempt()
            except asyncio.CancelledError as error:
                cancelled = error
            else:
                break
    if cancelled is not None:
        raise cancelled


def resolve(ready: "asyncio.Future[None]") -> None:
    """For callbacks that may come twice."""
    if not ready.done():
        ready.set_result(None)
