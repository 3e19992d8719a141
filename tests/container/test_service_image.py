"""The server in a container, started as the documents say: turns run there, and a missing flag is named."""

import json
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.container.documented import ROOT, documented_flags
from tests.engine.daemon import Engine

# The image is built in the first test that asks for it.
pytestmark = [pytest.mark.image, pytest.mark.timeout(900)]

NEEDED = (
    "--security-opt seccomp=deploy/seccomp.json",
    "--security-opt systempaths=unconfined",
    "--tmpfs /tmp",
)
HARDENING = ("--security-opt no-new-privileges", "--cap-drop ALL", "--read-only")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a container ended, and what it printed."""

    exit_status: int
    output: str


Run = Callable[..., Ran]


@pytest.fixture
def run(docker_engine: Engine, service_image: str) -> Iterator[Run]:
    """Run `darner …` in a container with these flags and a fresh volume; it has no network."""
    volume = f"darner-test-{secrets.token_hex(4)}"
    environment = os.environ | {"DOCKER_HOST": docker_engine.url}
    with docker_engine.client() as client:
        has_apparmor = any("apparmor" in option for option in client.info()["SecurityOptions"])
    # As the documents say of machines that have it.
    of_the_machine = ("--security-opt", "apparmor=unconfined") if has_apparmor else ()

    def docker(*arguments: str, seconds: int = 60) -> Ran:
        done = subprocess.run(
            ("docker", *arguments),
            cwd=ROOT,
            env=environment,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
        )
        return Ran(done.returncode, done.stdout.decode())

    def run_darner(*arguments: str, flags: list[str], seconds: int = 60) -> Ran:
        given = " ".join(flags).split()
        own = ("--rm", "--network", "none", "--volume", f"{volume}:/data", "--name", volume)
        return docker("run", *own, *of_the_machine, *given, service_image, *arguments, seconds=seconds)

    try:
        yield run_darner
    finally:
        docker("rm", "--force", volume)
        docker("volume", "rm", "--force", volume)


def test_with_the_documented_flags_the_doctor_is_content(run: Run) -> None:
    """Every check of the sandbox is ok, seen from inside; only the model is not set."""
    ran = run("doctor", "--json", flags=documented_flags())
    assert ran.exit_status == 0, ran.output
    checks = json.loads(ran.output)["checks"]
    assert [check["name"] for check in checks if check["result"] != "ok"] == ["model"]
    assert {"container", "control groups", "system calls are filtered"} <= {check["name"] for check in checks}


@pytest.mark.parametrize("flag", NEEDED)
def test_without_a_flag_that_is_needed_no_turn_would_run_and_the_doctor_names_it(run: Run, flag: str) -> None:
    """Exit 3; one remedy, in the words of the command line."""
    ran = run("doctor", "--json", flags=[given for given in documented_flags() if given != flag])
    assert ran.exit_status == 3, ran.output
    remedies = [check["remedy"] for check in json.loads(ran.output)["checks"] if check["result"] == "failed"]
    assert len(remedies) == 1
    assert flag in remedies[0]


@pytest.mark.parametrize("flag", HARDENING)
def test_without_a_flag_that_hardens_the_doctor_refuses_and_names_it(run: Run, flag: str) -> None:
    """Commands would be confined as well, but the container would be looser than the documents ask for."""
    ran = run("doctor", "--json", flags=[given for given in documented_flags() if given != flag])
    assert ran.exit_status == 3, ran.output
    (container,) = (check for check in json.loads(ran.output)["checks"] if check["name"] == "container")
    assert (container["result"], flag in container["remedy"]) == ("failed", True)


def test_every_documented_flag_is_tried() -> None:
    """Those for which there is no test only bound memory and processes."""
    untried = set(documented_flags()) - {*NEEDED, *HARDENING}
    assert untried == {"--memory 4g", "--pids-limit 2048"}


def test_root_in_a_container_is_told_to_be_somebody_else(run: Run) -> None:
    """Exit 3, before any turn."""
    ran = run("doctor", "--json", flags=[*documented_flags(), "--user root"])
    assert ran.exit_status == 3, ran.output
    failed = [check for check in json.loads(ran.output)["checks"] if check["result"] == "failed"]
    assert any("--user root" in check["remedy"] for check in failed), failed


def test_a_mention_becomes_a_pull_request(run: Run) -> None:
    """Forge, server and scripted model are all in the container; the turn runs under bubblewrap."""
    ran = run("demo", "--once", flags=[*documented_flags(), "--env TMPDIR=/data"], seconds=110)
    assert ran.exit_status == 0, ran.output
    assert "opened a draft pull request" in ran.output
