"""The sweep in its short form: a few troubles, spread over the job; `make sweep` tries each."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from demo.forge.faults import FaultKind
from tests.sweep.deaths import before_step, sweeping, undisturbed
from tests.sweep.place import Place
from tests.sweep.troubles import at_a_write, told_to_wait_for_hours

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    home: Path = tmp_path_factory.mktemp("sweep")
    async with sweeping(home) as made:
        yield made


@pytest.mark.parametrize("share", [0.3, 0.65])
async def test_a_death_at_any_step_loses_and_doubles_nothing(place: Place, share: float) -> None:
    """One comment of each kind, one pull request, each finished command once, nothing left behind."""
    first = await undisturbed(place)

    ran = await before_step(place, round(share * len(first.steps)))

    assert first.faults == ()
    assert ran.faults == ()


async def test_a_write_whose_answer_is_lost_is_found(place: Place) -> None:
    """It was done, and the forge says that it failed."""
    assert (await at_a_write(place, FaultKind.BAD_GATEWAY_AFTER_WRITE, 5)).faults == ()


async def test_a_turn_that_is_told_to_wait_for_hours_is_parked_and_goes_on(place: Place) -> None:
    assert (await told_to_wait_for_hours(place)).faults == ()
