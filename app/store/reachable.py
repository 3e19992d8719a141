"""Whether a database answers: asked before anything is built on it, so that a person reads a sentence."""

from typing import Final

import sqlalchemy as sa

SECONDS: Final = 5
"""A server that takes longer to let us in is of no use to a turn either."""


class DatabaseAway(Exception):
    """Nobody can work with the database now; the message says why, and what to do. It holds no password."""


def reach(url: str) -> str:
    """What answers at `url`, in words. Raises `DatabaseAway`.

    A SQLite file is made when it is first needed: there is nothing to ask.
    """
    parts = sa.make_url(url)
    if parts.get_backend_name() == "sqlite":
        return f"SQLite, in {parts.database}"
    where = f"PostgreSQL at {parts.host or parts.query.get('host') or 'this machine'}"
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"connect_timeout": SECONDS})
    try:
        with engine.connect():
            return where
    except sa.exc.OperationalError as error:
        why = str(error.orig).strip().partition("\n")[0]
        told = f"The database does not answer ({why}). Start it, or correct DARNER_DATABASE_URL."
        raise DatabaseAway(told) from None
    finally:
        engine.dispose()
