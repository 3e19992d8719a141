"""The sweep in its short form: a few deaths of the server, spread over a turn; `make sweep` tries each."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.sweep.sweep import Sweep, sweeping

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sweep(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sweep]:
    home: Path = tmp_path_factory.mktemp("sweep")
    async with sweeping(home) as made:
        yield made


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0])
async def test_a_death_at_any_step_loses_and_doubles_nothing(sweep: Sweep, share: float) -> None:
    """One comment of each kind, one pull request, each finished command once, nothing left behind."""
    undisturbed = await sweep.run(0)
    point = max(2, round(share * len(undisturbed.steps)))

    ran = await sweep.run(point)

    assert undisturbed.faults == ()
    assert ran.faults == ()
