"""Every attack in every sandbox: it fails inside, and the host sees nothing of it."""

from collections.abc import Callable, Iterator
from operator import attrgetter

import pytest

from tests.containment.attacks.attack import Attack
from tests.containment.catalogue import (
    ATTACKS,
    CELL,
    DRIVERS,
    MODES,
    expected,
    meant_to_work,
    on_the_page,
    table,
)
from tests.containment.stage import Stage, make_driver, open_stage

SANDBOXES = [(driver, mode) for driver in DRIVERS for mode in MODES]


@pytest.fixture(scope="module", params=SANDBOXES, ids="-".join)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    driver, mode = request.param
    with open_stage(make_driver(driver), mode) as opened:
        yield opened


@pytest.mark.parametrize("attack", ATTACKS, ids=attrgetter("id"))
def test_the_sandbox_holds(
    stage: Stage, attack: Attack, record_property: Callable[[str, object], None]
) -> None:
    """What is not meant to work does not, says the attacker; nothing happened, says the host."""
    report = stage.run(attack)

    word = "yes" if report.worked else "no"
    record_property(CELL, (attack.id, f"{stage.driver.name}, {stage.mode}", word))
    assert report.damage == ()
    assert report.worked == bool(meant_to_work(attack, stage.driver.name, stage.mode)), report.inside


def test_the_table_is_current() -> None:
    """`docs/security.md` tells what a green run finds; `make containment` writes it from one."""
    assert len(ATTACKS) >= 80
    assert on_the_page() == table(expected())
