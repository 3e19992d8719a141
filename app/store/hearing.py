"""What PostgreSQL tells all processes at once: that a thread has work (LISTEN and NOTIFY).

A notification is sent when its transaction commits (https://www.postgresql.org/docs/current/sql-notify.html).
One that nobody hears is lost; the sweep finds the work all the same.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import psycopg
import sqlalchemy as sa
from sqlalchemy import Connection, func, select

log = logging.getLogger(__name__)

CHANNEL: Final = "darner"
_AGAIN_SECONDS: Final = 0.5


def tell(connection: Connection, words: str) -> None:
    """Say it to whoever hears, if and when the transaction commits. SQLite has nobody to tell."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(CHANNEL, words)))


async def hear(url: str, *, on_words: Callable[[str], None], on_begin: Callable[[], None]) -> None:
    """Call `on_words` for whatever is told, until cancelled.

    `on_begin` each time when hearing begins: what was told before, nobody heard.
    """
    address = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                on_begin()
                async for notice in connection.notifies():
                    on_words(notice.payload)
        except psycopg.OperationalError as error:
            log.warning("database.not_heard", extra={"fields": {"error": type(error).__name__}})
        await asyncio.sleep(_AGAIN_SECONDS)
