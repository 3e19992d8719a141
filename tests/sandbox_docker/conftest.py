"""A docker driver on the tests' Engine, a checkout to confine commands to, and the short way to run one."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.base import Workspace
from sandbox.container.driver import DockerDriver
from sandbox.container.orphans import INSTALLATION
from tests.engine.daemon import Engine
from tests.sandbox.conftest import Run, run

__all__ = ["Run", "run"]

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
def workspace(tmp_path: Path, driver: DockerDriver) -> Workspace:
    """A small repository as a turn gets it."""
    tree = tmp_path / "tree"
    (tree / ".github" / "workflows").mkdir(parents=True)
    (tree / ".github" / "workflows" / "ci.yml").write_text("on: push\n")
    (tree / "src").mkdir()
    (tree / "src" / "main.py").write_text("print('hello')\n")
    (tree / "AGENTS.md").write_text("Be kind.\n")
    (tmp_path / "scratch").mkdir()
    (tmp_path / "git").mkdir()
    (tmp_path / "git" / "HEAD").write_text("ref: refs/heads/main\n")
    if driver.owner_uid is not None:
        for path in (tree, *tree.rglob("*")):
            os.chown(path, driver.owner_uid, driver.owner_uid, follow_symlinks=False)
    return Workspace(tree=tree, scratch=tmp_path / "scratch", git=tmp_path / "git")


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


def marker_of(number: int) -> str:
    """Something to find a process by, of this test run only."""
    return f"{number}.{os.getpid()}"


def processes_named(marker: str) -> list[int]:
    """Who has this word among its arguments, in whatever container."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if marker.encode() in words:
            found.append(int(directory.name))
    return found
