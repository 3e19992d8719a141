"""The server's database, for verbs that look into it. Never makes one, never writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.cli.complaint import complain
from app.settings import SettingsRefused, load_settings

if TYPE_CHECKING:
    from sqlalchemy import Connection


@contextmanager
def reading() -> Iterator["Connection"]:
    """A connection that reads; where there is no database, the complaint that says so."""
    from app.store.database import engine_for
    from app.store.reachable import DatabaseAway, reach

    try:
        settings = load_settings()
    except SettingsRefused as error:
        raise complain(str(error)) from None
    if not settings.database_url and not (settings.home / "darner.db").exists():
        raise complain(f"There is no database in {settings.home}. Is DARNER_HOME the server's?", status=1)
    try:
        reach(settings.sql_url)
    except DatabaseAway as error:
        raise complain(str(error), status=1) from None
    engine = engine_for(settings.sql_url)
    try:
        with engine.connect().execution_options(reader=True) as connection:
            yield connection
    finally:
        engine.dispose()


def cost_line(tokens: int, micros: int, unpriced_tokens: int, currency: str) -> str:
    """What was spent, for a person; money only where a price was known, and of how much it was not."""
    from harness.budget import money

    cost = f", {money(micros, currency)}" if micros else ""
    return f"{tokens:,} tokens{cost}" + (
        f", {unpriced_tokens:,} of them without a price" if unpriced_tokens else ""
    )
