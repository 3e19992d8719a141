"""Every attack in a container of a real Docker Engine: it fails inside, and the host sees nothing of it."""

from collections.abc import Callable, Iterator
from operator import attrgetter

import pytest

from sandbox.drivers import DRIVERS, Setup
from tests.containment.attacks.attack import Attack
from tests.containment.catalogue import ATTACKS, MODES
from tests.containment.stage import Stage, judge, open_stage
from tests.engine.daemon import Engine


@pytest.fixture(scope="module", params=MODES, ids=str)
def stage(request: pytest.FixtureRequest, docker_engine: Engine, docker_image: str) -> Iterator[Stage]:
    driver = DRIVERS["docker"](Setup(docker_host=docker_engine.url, image=docker_image))
    with open_stage(driver, request.param) as opened:
        yield opened


@pytest.mark.parametrize("attack", ATTACKS, ids=attrgetter("id"))
def test_docker_holds(stage: Stage, attack: Attack, record_property: Callable[[str, object], None]) -> None:
    """What is not meant to work does not, says the attacker; nothing happened, says the host."""
    judge(stage, attack, record_property)
