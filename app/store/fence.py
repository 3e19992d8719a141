"""Fences: what is done under a lease is done only while the lease is held.

A fence stands in the context of the task that works under it, and of every task and thread that this one
starts: whoever writes a new effect or a new table is held to it without knowing of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from sqlalchemy import Connection

from harness.protocols import OwnershipLost


class LeaseLost(OwnershipLost):
    """Another process drives this thread by now: stop at once, write nothing."""


class Fence(Protocol):
    """What a lease is to those who write under it."""

    def require(self) -> None:
        """Raises `LeaseLost` unless it is surely held now, by this machine's own clock."""
        ...

    def hold(self, connection: Connection) -> None:
        """Keep it from changing hands until `connection`'s transaction is over. Raises `LeaseLost`."""
        ...


_standing: ContextVar[Fence | None] = ContextVar("darner_fence", default=None)


def standing() -> Fence | None:
    """The fence that the present task works under."""
    return _standing.get()


@contextmanager
def fenced(fence: Fence) -> Iterator[None]:
    """Have `fence` stand around what is begun in the block."""
    token = _standing.set(fence)
    try:
        yield
    finally:
        _standing.reset(token)


def require_lease() -> None:
    """Asked right before a write that no transaction can take back. Raises `LeaseLost`."""
    fence = _standing.get()
    if fence is not None:
        fence.require()
