"""A repository that is renamed or transferred: its threads know it by its new name then."""

import logging

from app.forge_error import ForgeError
from app.github import GitHub
from app.store import inbox
from app.store.database import Database
from app.store.places import RepositoryRef

log = logging.getLogger(__name__)


async def has_moved(github: GitHub, database: Database, place: RepositoryRef, error: ForgeError) -> bool:
    """Whether that is what `error` comes from: then its threads know the new name by now, and try again."""
    if error.fault not in {"moved", "missing"}:
        return False
    try:
        found = await github.located(place)
    except ForgeError:
        return False
    if found == place:
        return False
    await database.write(lambda connection: inbox.rename_repository(connection, found))
    log.info("repository.moved", extra={"fields": {"from": place.full_name, "to": found.full_name}})
    return True
