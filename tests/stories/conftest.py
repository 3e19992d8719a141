"""One world for all stories: starting it costs a second."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.github.ledger import Ledger
from tests.stories.world import World, opened


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory, github_ledger: Ledger) -> AsyncIterator[World]:
    async with opened(tmp_path_factory.mktemp("world"), github_ledger) as made:
        yield made
