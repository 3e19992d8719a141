"""What has been heard of so far: of which repositories, and of which texts in them."""

from typing import Final

from sqlalchemy import Connection, select

from app.store.deliveries import first_of_act
from app.store.places import RepositoryRef
from app.store.schema import deliveries, threads

LATELY: Final = 2_000
"""Deliveries among which a repository is looked for that nobody has asked anything in yet."""


def repositories(connection: Connection) -> list[RepositoryRef]:
    """Those with a conversation of ours, and those that webhooks came from lately; by their newest names."""
    known = select(threads.c.repository_id, threads.c.repository).where(threads.c.repository_id.is_not(None))
    lately = (
        select(deliveries.c.repository_id, deliveries.c.repository)
        .order_by(deliveries.c.id.desc())
        .limit(LATELY)
    )
    names: dict[int, str] = {}
    for row in [*connection.execute(lately), *connection.execute(known.distinct())]:
        if row.repository_id is not None and row.repository is not None:
            names.setdefault(row.repository_id, row.repository)
    return [RepositoryRef(repository, name, None) for repository, name in sorted(names.items())]


def is_known(connection: Connection, act: str) -> bool:
    """Whether a delivery told that this text was written, or edited so that it asked for something.

    `act` as `handlers.ingest.semantic_key` names it: how it came about and when are its last two parts.
    """
    if first_of_act(connection, act) is not None:
        return True
    # By no index on a PostgreSQL whose order of letters is a language's; few get as far as this.
    text = "/".join(act.split("/")[:-2]) + "/"
    query = (
        select(deliveries.c.id).where(deliveries.c.semantic_key.startswith(text, autoescape=True)).limit(1)
    )
    return connection.execute(query).one_or_none() is not None
