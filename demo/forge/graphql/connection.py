"""Pages of a list as Relay connections, with GitHub's limits; it knows nothing of what is in the list."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from graphql import GraphQLError

LARGEST_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Edge:
    node: object
    cursor: str


@dataclass(frozen=True, slots=True)
class Connection:
    """One page. Sequences are counted whole, so `total_count` is that of all pages."""

    name: str
    items: Sequence[object]
    start: int
    stop: int

    @property
    def nodes(self) -> Sequence[object]:
        return self.items[self.start : self.stop]

    @property
    def edges(self) -> Sequence[Edge]:
        return [Edge(self.items[at], cursor(at)) for at in range(self.start, self.stop)]

    @property
    def total_count(self) -> int:
        return len(self.items)

    @property
    def page_info(self) -> Mapping[str, object]:
        is_empty = self.start == self.stop
        return {
            "startCursor": None if is_empty else cursor(self.start),
            "endCursor": None if is_empty else cursor(self.stop - 1),
            "hasPreviousPage": self.start > 0,
            "hasNextPage": self.stop < len(self.items),
        }


class TypedError(GraphQLError):
    """An error with GitHub's `type`."""

    def __init__(self, type_: str, message: str) -> None:
        super().__init__(message)
        self.type = type_


def page_of(name: str, items: Sequence[object], arguments: Mapping[str, object]) -> Connection:
    """The page that `first`, `last`, `after` and `before` ask for.

    https://docs.github.com/en/graphql/overview/rate-limits-and-node-limits-for-the-graphql-api#node-limit
    """
    first, last = _bound(name, "first", arguments), _bound(name, "last", arguments)
    if first is None and last is None:
        message = f"You must provide a `first` or `last` value to properly paginate the `{name}` connection."
        raise TypedError("MISSING_PAGINATION_BOUNDARIES", message)
    start = _position(arguments.get("after"), default=-1) + 1
    stop = _position(arguments.get("before"), default=len(items))
    stop = min(max(stop, start), len(items))
    if first is not None:
        stop = min(stop, start + first)
    if last is not None:
        start = max(start, stop - last)
    return Connection(name, items, start, stop)


def cursor(at: int) -> str:
    return base64.b64encode(f"cursor:v2:{at}".encode()).decode()


def _bound(name: str, which: str, arguments: Mapping[str, object]) -> int | None:
    value = arguments.get(which)
    if not isinstance(value, int):
        return None
    if not 0 <= value <= LARGEST_PAGE:
        message = (
            f"Requesting {value} records on the `{name}` connection exceeds the `{which}` limit of"
            f" {LARGEST_PAGE} records."
        )
        raise TypedError("EXCESSIVE_PAGINATION", message)
    return value


def _position(text: object, *, default: int) -> int:
    if not isinstance(text, str):
        return default
    try:
        return int(base64.b64decode(text, validate=True).decode().removeprefix("cursor:v2:"))
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise TypedError(
            "INVALID_CURSOR_ARGUMENTS", f"`{text}` does not appear to be a valid cursor."
        ) from error
