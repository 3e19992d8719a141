"""Keys that Darner makes for itself, once per database."""

from sqlalchemy import Connection, select

from app.store.database import insert_new
from app.store.schema import keys


def key(connection: Connection, name: str, *, fresh: bytes) -> bytes:
    """The key of this name; `fresh` becomes it when there is none yet."""
    statement = insert_new(connection.dialect.name, keys, "name")
    connection.execute(statement, {"name": name, "value": fresh})
    value: bytes = connection.execute(select(keys.c.value).where(keys.c.name == name)).scalar_one()
    return value
