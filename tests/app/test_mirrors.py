"""The mirrors as the server uses them, against the local forge."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from app.mirrors import Mirrors
from app.store.places import RepositoryRef
from app.tokens import AppTokens
from demo import forge as local_forge
from demo import story
from demo.forge import Forge
from demo.forge.faults import FaultKind
from demo.forge.person import signed_in

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def forge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Forge]:
    async with local_forge.serve(tmp_path_factory.mktemp("forge")) as running:
        yield running


def mirrors_of(forge: Forge, home: Path) -> Mirrors:
    """As after a start: no token was asked for yet."""
    app = forge.seeded.app
    tokens = AppTokens(app_id=app.id, private_key=app.private_key, api_url=forge.api_url, now=time.time)
    return Mirrors(home, web_url=forge.url, tokens=tokens)


async def test_who_has_the_commits_asks_nobody(forge: Forge, tmp_path: Path) -> None:
    """A turn that goes on after a restart needs no token for what is in the mirror already."""
    repository = forge.create_repository("maya/purl", directory=story.REPOSITORY)
    place = RepositoryRef(repository.id, "maya/purl", forge.seeded.installation.id)
    async with signed_in("maya", api_url=forge.api_url, token=forge.tokens["maya"]) as maya:
        sha = (await maya.branches("maya/purl"))["main"]
    before, after = mirrors_of(forge, tmp_path), mirrors_of(forge, tmp_path)
    await before.fetched(place, sha)
    await before.close()
    broken = forge.faults.add(FaultKind.BAD_GATEWAY)

    mirror = await after.fetched(place, sha)

    assert await mirror.has(sha)
    assert forge.faults.pending() == (broken,)
    await after.close()
