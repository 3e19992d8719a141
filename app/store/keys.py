"""Keys that Darner makes for itself, once per database."""

from sqlalchemy import Connection, select

from app.store.database import insert_new
from app.store.schema import keys


def key(connection: Connection, name: str, *, fresh: bytes) -> bytes:
    """The key of this name; `fresh` becomes it when there is none yet."""
    connection.execute(insert_new(connection, keys, {"name": name, "value": fresh}, unique="name"))
    value: bytes = connection.execute(select(keys.c.value).where(keys.c.name == name)).scalar_one()
    return value
