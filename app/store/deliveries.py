"""Deliveries as received: stored before they are acknowledged, each once, each with its decision."""

import functools
import zlib
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import Connection, Dialect, Row, select, update

from app.store.database import Prepared, insert_new, prepare
from app.store.schema import deliveries

DeliveryState = Literal["pending", "handled", "failed", "ignored", "duplicate", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """What intake knows of a delivery."""

    guid: str
    semantic_key: str | None = None
    event: str
    action: str | None = None
    repository_id: int | None = None
    repository: str | None = None
    number: int | None = None
    actor_id: int | None = None
    actor: str | None = None
    installation_id: int | None = None
    received_at: float
    body: bytes
    """Raw; kept compressed."""
    state: DeliveryState
    reason: str
    text: str = ""
    command: str = ""
    thread: str | None = None


def insert(connection: Connection, row: DeliveryRow) -> int | None:
    """The new row's id; None when the GUID is known already: a redelivery keeps it."""
    values = {name: getattr(row, name) for name in _NAMES}
    # Here, in the writer's thread: the event loop has other deliveries to take meanwhile.
    values["body"] = zlib.compress(row.body, 1)
    inserted: int | None = _insert(connection.dialect).run(connection, values).scalar_one_or_none()
    return inserted


_NAMES: Final = tuple(DeliveryRow.__slots__)


@functools.cache
def _insert(dialect: Dialect) -> Prepared:
    return prepare(dialect, insert_new(dialect.name, deliveries, "guid", returning="id"), _NAMES)


def first_of_act(connection: Connection, semantic_key: str) -> str | None:
    """The GUID of the delivery that told of this act before, if one did."""
    query = select(deliveries.c.guid).where(deliveries.c.semantic_key == semantic_key)
    guid: str | None = connection.execute(query).scalar_one_or_none()
    return guid


def decide(connection: Connection, delivery: int, *, state: DeliveryState, reason: str) -> None:
    connection.execute(
        update(deliveries).where(deliveries.c.id == delivery).values(state=state, reason=reason)
    )


def read(connection: Connection, delivery: int) -> tuple[str, str, bytes]:
    """GUID, event name and raw body."""
    query = select(deliveries.c.guid, deliveries.c.event, deliveries.c.body).where(
        deliveries.c.id == delivery
    )
    guid, event, body = connection.execute(query).one()
    return guid, event, zlib.decompress(body)


def find(connection: Connection, guid: str) -> Row[tuple[object, ...]] | None:
    return connection.execute(select(deliveries).where(deliveries.c.guid == guid)).one_or_none()
