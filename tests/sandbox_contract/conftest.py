"""Each driver in turn: what one of them promises, all of them hold."""

import sys
from pathlib import Path

import pytest

from sandbox.base import Driver
from sandbox.bubblewrap import BubblewrapDriver
from sandbox.container.driver import DockerDriver
from sandbox.drivers import DRIVERS
from tests.engine.daemon import Engine
from tests.sandbox.conftest import Run, run, workspace

__all__ = ["Run", "run", "workspace"]


@pytest.fixture(params=sorted(DRIVERS))
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Driver:
    """As the driver's own tests have it; docker's waits for an Engine."""
    if request.param == "bubblewrap":
        return BubblewrapDriver(extra_read_only=(Path(sys.base_prefix),))
    assert request.param == "docker", "a driver that the contract does not know how to make"
    engine: Engine = request.getfixturevalue("docker_engine")
    image: str = request.getfixturevalue("docker_image")
    return DockerDriver(address=engine.url, image=image, state=tmp_path / "state")
