"""Every attack under bubblewrap: it fails inside, and the host sees nothing of it."""

from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from sys import base_prefix

import pytest

from sandbox.drivers import DRIVERS, Setup
from tests.containment.attacks.attack import Attack
from tests.containment.catalogue import ATTACKS, MODES, expected, on_the_page, table
from tests.containment.stage import Stage, judge, open_stage


@pytest.fixture(scope="module", params=MODES, ids=str)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Shows this interpreter's own folder, so that `python3` is there wherever it was installed."""
    driver = DRIVERS["bubblewrap"](Setup(extra_read_only=(Path(base_prefix),)))
    with open_stage(driver, request.param) as opened:
        yield opened


@pytest.mark.parametrize("attack", ATTACKS, ids=attrgetter("id"))
def test_bubblewrap_holds(
    stage: Stage, attack: Attack, record_property: Callable[[str, object], None]
) -> None:
    """What is not meant to work does not, says the attacker; nothing happened, says the host."""
    judge(stage, attack, record_property)


def test_the_table_is_current() -> None:
    """`docs/security.md` tells what a green run finds; `make containment` writes it from one."""
    assert len(ATTACKS) >= 80
    assert on_the_page() == table(expected())
