"""A docker driver on the tests' Engine, a checkout to confine commands to, and the short way to run one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.container.driver import DockerDriver
from sandbox.container.orphans import INSTALLATION
from tests.engine.daemon import Engine
from tests.sandbox.conftest import Run, run, workspace

__all__ = ["Run", "run", "workspace"]

Left = Callable[[Path], list[str]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the service keeps what it has."""
    return tmp_path / "state"


@pytest.fixture
def driver(docker_engine: Engine, docker_image: str, state: Path) -> DockerDriver:
    """With the tests' small image."""
    return DockerDriver(address=docker_engine.url, image=docker_image, state=state)


@pytest.fixture
def left(docker_engine: Engine) -> Iterator[Left]:
    """The names of the containers that are still there of a service with this state directory."""
    with docker_engine.client() as client:

        def names(state: Path) -> list[str]:
            file = state / "docker" / "installation"
            if not file.exists():
                return []
            label = f"{INSTALLATION}={file.read_text()}"
            found = client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
            return [str(container.name) for container in found]

        yield names
