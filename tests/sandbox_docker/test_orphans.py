"""What a service leaves when it is killed, and what the next one does about it."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox.base import Policy, SandboxMode, Workspace
from sandbox.container.driver import DockerDriver
from sandbox.container.orphans import INSTALLATION, OWNER
from sandbox.container.processes import ControlGroup
from tests.engine.daemon import Engine
from tests.sandbox.processes import marker_of, processes_named
from tests.sandbox_docker.conftest import Left

READ = Policy(SandboxMode.READ_ONLY)
ROOT = Path(__file__).parents[2]


async def service(engine: Engine, image: str, directory: Path, marker: str) -> asyncio.subprocess.Process:
    """A service of its own."""
    story = Path(__file__).with_name("service_with_a_container.py")
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(story),
        engine.url,
        image,
        str(directory),
        marker,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )


async def until(come_true: Callable[[], bool], *, seconds: float = 15) -> bool:
    """Whether it is so within the time."""
    deadline = time.monotonic() + seconds
    while not come_true() and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    return come_true()


async def test_a_container_dies_with_the_service(
    docker_engine: Engine, docker_image: str, tmp_path: Path, left: Left
) -> None:
    """`kill -9` of the service leaves no process and no container, before any other service starts."""
    marker = marker_of(81)
    killed = await service(docker_engine, docker_image, tmp_path, marker)
    assert killed.stdout is not None
    assert await killed.stdout.readline() == b"running\n"
    assert len(processes_named(marker)) >= 2
    killed.kill()
    await killed.wait()
    assert await until(lambda: processes_named(marker) == [])
    assert await until(lambda: left(tmp_path / "state") == [])


@pytest.mark.parametrize("moment", [0.7, 0.9, 1.1, 1.3])
async def test_a_service_that_is_killed_while_it_opens_leaves_nothing(
    workspace: Workspace, docker_engine: Engine, docker_image: str, tmp_path: Path, left: Left, moment: float
) -> None:
    """At any moment: a container that was made and never started is removed by the next service."""
    other = tmp_path / "other"
    other.mkdir()
    killed = await service(docker_engine, docker_image, other, marker_of(82))
    await asyncio.sleep(moment)
    killed.kill()
    await killed.wait()
    driver = DockerDriver(address=docker_engine.url, image=docker_image, state=other / "state")
    async with driver.open(workspace, READ):
        pass
    assert await until(lambda: left(other / "state") == [])


async def test_only_the_dead_are_swept(
    driver: DockerDriver, workspace: Workspace, docker_engine: Engine, docker_image: str, tmp_path: Path
) -> None:
    """What an earlier life of this installation left; not what a living service or another one has."""
    async with driver.open(workspace, READ):
        installation = (tmp_path / "state" / "docker" / "installation").read_text()
        (living,) = (path.name for path in (tmp_path / "state" / "docker").iterdir() if len(path.name) == 16)
    orphans = {
        "dead": {INSTALLATION: installation, OWNER: "0" * 16},
        "odd": {INSTALLATION: installation, OWNER: "../../../etc/passwd"},
        "living": {INSTALLATION: installation, OWNER: living},
        "foreign": {INSTALLATION: "f" * 16, OWNER: "0" * 16},
    }
    with docker_engine.client() as client:
        made = {
            name: client.containers.create(docker_image, "true", labels=labels)
            for name, labels in orphans.items()
        }
        try:
            another = DockerDriver(address=docker_engine.url, image=docker_image, state=tmp_path / "state")
            async with another.open(workspace, READ):
                kept = {container.id for container in client.containers.list(all=True)}
                assert {name for name in made if made[name].id in kept} == {"living", "foreign"}
        finally:
            for name in ("living", "foreign"):
                made[name].remove(force=True)


async def test_a_container_that_was_stopped_when_its_service_was_killed_is_removed(
    docker_engine: Engine, docker_image: str, workspace: Workspace, tmp_path: Path, left: Left
) -> None:
    """The Engine cannot end what does not run; the next service lets it run, and removes it."""
    marker, other = marker_of(83), tmp_path / "other"
    other.mkdir()
    killed = await service(docker_engine, docker_image, other, marker)
    assert killed.stdout is not None
    assert await killed.stdout.readline() == b"running\n"
    with docker_engine.client() as client:
        (name,) = left(other / "state")
        found = client.containers.get(name).attrs
    group = ControlGroup.of(found["State"]["Pid"], found["Id"])
    if group is None:
        pytest.skip("only a service that is root on the Engine's machine stops a container")
    with suppress(OSError), group.stopped():
        killed.kill()
        await killed.wait()
        driver = DockerDriver(address=docker_engine.url, image=docker_image, state=other / "state")
        async with driver.open(workspace, READ):
            assert processes_named(marker) == []
    assert await until(lambda: left(other / "state") == [])
