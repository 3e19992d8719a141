"""The mirrors of this machine: one per repository, opened once, with remotes made for the moment."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from app.store.fence import require_lease
from app.store.places import RepositoryRef
from app.tokens import Tokens
from sandbox.git import GitFailed, Remote
from sandbox.git.mirror import Mirror, mirror_directory

log = logging.getLogger(__name__)

GIT_USER: Final = "x-access-token"
"""https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation#about-authentication-as-a-github-app-installation"""


class Mirrors:
    """Each opened when it is first needed, and closed with all the others."""

    def __init__(self, home: Path, *, web_url: str, tokens: Tokens) -> None:
        self._home = home / "mirrors"
        self._web_url = web_url
        self._tokens = tokens
        self._open: dict[int, Mirror] = {}
        self._upkeep: dict[int, asyncio.Task[None]] = {}

    def of(self, place: RepositoryRef) -> Mirror:
        if place.id not in self._open:
            self._open[place.id] = Mirror(mirror_directory(self._home, place.id))
        return self._open[place.id]

    async def fetched(self, place: RepositoryRef, *shas: str) -> Mirror:
        """The mirror, with these commits in it. Asks the network only for what is missing."""
        mirror = self.of(place)
        await mirror.ensure()
        # A token is network too: a turn that is continued has its commits, however the forge is just now.
        if not await mirror.has_all(*shas):
            await mirror.fetch(await self._remote(place), *shas)
            self._maintain(place)
        return mirror

    @asynccontextmanager
    async def push_remote(self, place: RepositoryRef) -> AsyncIterator[Remote]:
        """A remote whose token is minted for this push and revoked after it."""
        token = await asyncio.to_thread(
            self._tokens.push_token, installation=place.installation, repository=place.id
        )
        try:
            require_lease()
            yield self._to(place, token)
        finally:
            await asyncio.to_thread(self._tokens.revoke, token)

    async def close(self) -> None:
        for task in self._upkeep.values():
            task.cancel()
        await asyncio.gather(*self._upkeep.values(), return_exceptions=True)
        for mirror in self._open.values():
            await mirror.close()

    def _maintain(self, place: RepositoryRef) -> None:
        """Once something was fetched: beside the turn, which does not wait for it."""
        running = self._upkeep.get(place.id)
        if running is None or running.done():
            self._upkeep[place.id] = asyncio.create_task(_maintained(self.of(place), place))

    async def _remote(self, place: RepositoryRef) -> Remote:
        token = await asyncio.to_thread(
            self._tokens.token, installation=place.installation, repository=place.id
        )
        return self._to(place, token)

    def _to(self, place: RepositoryRef, token: SecretStr) -> Remote:
        return Remote(f"{self._web_url}/{place.full_name}.git", GIT_USER, token.get_secret_value())


async def _maintained(mirror: Mirror, place: RepositoryRef) -> None:
    try:
        if await mirror.maintain():
            log.info("mirror.packed", extra={"fields": {"repository": place.full_name}})
    except GitFailed as error:
        # The mirror is as good as before, only slower.
        log.warning("mirror.not_packed", extra={"fields": {"error": str(error)}})
