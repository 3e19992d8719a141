"""The pytest plugin that lends tests a real Docker Engine: the machine's own, or one that the run starts."""

import fcntl
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.engine import daemon, small_image
from tests.engine.daemon import Engine, EngineMissing

REQUIRED: Final = "DARNER_TEST_ENGINE"
"""Set to `required` where a missing Engine is a failure, not a reason to skip."""
_HOME: Final = pytest.StashKey[Path]()
_AT_THE_END: Final = pytest.StashKey[AbstractContextManager[Path]]()
_INPUT: Final = "docker_engine_home"


@pytest.fixture(scope="session")
def docker_engine(pytestconfig: pytest.Config) -> Engine:
    """A Docker Engine on this machine, shared by all workers of the run; containers have no network."""
    try:
        return daemon.answering() or daemon.started(pytestconfig.stash[_HOME])
    except EngineMissing as error:
        if os.environ.get(REQUIRED) == "required":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def docker_image(docker_engine: Engine, pytestconfig: pytest.Config) -> str:
    """The name of a small image with a shell, coreutils, util-linux, Python and git, in that Engine."""
    with (pytestconfig.stash[_HOME] / "image").open("w") as turnstile, docker_engine.client() as client:
        fcntl.flock(turnstile, fcntl.LOCK_EX)
        return small_image.build(client)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "image: builds the project's Dockerfile, which takes minutes")
    given: dict[str, str] | None = getattr(config, "workerinput", None)
    if given is not None:
        config.stash[_HOME] = Path(given[_INPUT])
        return
    config.stash[_AT_THE_END] = daemon.home_of_a_run()
    config.stash[_HOME] = config.stash[_AT_THE_END].__enter__()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist: a worker is about to start; it is told where the run keeps its Engine."""
    node.workerinput[_INPUT] = str(node.config.stash[_HOME])


def pytest_unconfigure(config: pytest.Config) -> None:
    """In the process that outlives all workers."""
    if _AT_THE_END in config.stash:
        config.stash[_AT_THE_END].__exit__(None, None, None)
