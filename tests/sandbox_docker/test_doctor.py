"""What the doctor says of an Engine, and what an Engine that is ill does to a turn."""

import socket
from pathlib import Path

import pytest

from sandbox.base import Policy, SandboxMode, SandboxUnavailable, Workspace
from sandbox.container.doctor import CONTAINER_INVARIANTS
from sandbox.container.driver import DockerDriver
from sandbox.doctor import probe_of
from tests.engine.daemon import Engine

READ = Policy(SandboxMode.READ_ONLY)


async def test_the_doctor_finds_this_engine_fit(driver: DockerDriver) -> None:
    """Every invariant holds, seen from inside a real container."""
    checks = await driver.check()
    assert [check for check in checks if check.result == "failed"] == []
    assert {name for name, _ in CONTAINER_INVARIANTS} <= {check.name for check in checks}


def test_the_doctor_would_notice(docker_engine: Engine, docker_image: str) -> None:
    """The same questions asked in a container as people start them: most answers are wrong."""
    prepare = "mkdir -p /w/.git /w/.github/workflows; cd /w\n"
    with docker_engine.client() as client:
        answer = client.containers.run(
            docker_image,
            ["/bin/sh", "-c", prepare + probe_of(CONTAINER_INVARIANTS)],
            network_mode="host",
            security_opt=["seccomp=unconfined"],
            remove=True,
            environment={"BESIDE": "/etc/passwd", "HOME": "/tmp"},
        )
    words = zip(CONTAINER_INVARIANTS, answer.decode().split(), strict=True)
    assert {name for (name, _), word in words if word != "ok"} >= {
        "commands run as an ordinary user",
        "commands have no capabilities",
        "no program can gain privileges",
        "system calls are filtered",
        "no further namespaces can be made",
        "the service's environment is not there",
        "there is no network",
        "nothing beside the checkout is shown",
        "the system is read-only",
        "the git view is read-only",
        "protected paths are read-only",
        "set-id bits are refused",
    }


@pytest.mark.parametrize(
    ("settings", "name", "remedy"),
    [
        ({"address": "unix:///no/such/socket"}, "Docker Engine", "Start Docker"),
        ({"address": "tcp://192.0.2.1:2375"}, "Docker Engine", "unix:///var/run/docker.sock"),
        ({"runtime": "no-such-runtime"}, "OCI runtime", "daemon.json"),
        ({"image": "no-such-image:1"}, "sandbox", "docker pull no-such-image:1"),
    ],
)
async def test_what_is_missing_is_named(
    docker_engine: Engine, docker_image: str, settings: dict[str, str], name: str, remedy: str
) -> None:
    """With what to do."""
    driver = DockerDriver(**{"address": docker_engine.url, "image": docker_image} | settings)  # type: ignore[arg-type]
    failed = [check for check in await driver.check() if check.result == "failed"]
    assert [check.name for check in failed] == [name]
    assert remedy in failed[0].remedy


async def test_the_projects_own_image_can_be_built(docker_engine: Engine, workspace: Workspace) -> None:
    """The remedy for a missing image is the command that makes it."""
    driver = DockerDriver(address=docker_engine.url)
    with pytest.raises(SandboxUnavailable, match="docker build --target sandbox --tag darner-sandbox"):
        async with driver.open(workspace, READ):
            pytest.fail("opened")


async def test_an_engine_that_hangs_is_given_up(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepts and never answers; the event loop is free meanwhile."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        driver = DockerDriver(address=f"unix://{path}", seconds=0.5)
        with pytest.raises(SandboxUnavailable, match="does not answer"):
            async with driver.open(workspace, READ):
                pytest.fail("opened")
