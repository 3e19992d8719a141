"""What `darner doctor` says of each configured driver; a server which cannot confine does not start."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.cli.program import Ran, environment, run_darner

NO_ENGINE = {"DARNER_DOCKER_HOST": "unix:///nonexistent/docker.sock"}
SERVER = {
    "DARNER_WEBHOOK_SECRET": "a-secret-of-the-webhook",
    "DARNER_GITHUB_TOKEN": "ghp_a-token-that-nobody-uses",
    "DARNER_MODEL": "m",
    "DARNER_PORT": "0",
}


async def report(
    home: Path, *arguments: str, cwd: Path | None = None, settings: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    ran = await run_darner(
        "doctor", "--json", *arguments, settings={**environment(home), **settings}, cwd=cwd
    )
    found: dict[str, Any] = json.loads(ran.stdout)
    assert ran.exit_status == (0 if found["ready"] else 3), ran
    return found


def failed(found: dict[str, Any]) -> list[dict[str, str]]:
    return [check for check in found["checks"] if check["result"] == "failed"]


async def test_a_driver_that_cannot_confine_is_named_with_its_remedy(home: Path) -> None:
    """Docker is asked for and there is no Engine: turns would be refused."""
    found = await report(home, "--driver", "docker", settings=NO_ENGINE)

    assert found["ready"] is False
    assert [check["name"] for check in failed(found)] == ["Docker Engine"]
    assert failed(found)[0]["remedy"]


async def test_a_driver_beside_the_one_in_use_is_looked_at_and_keeps_nobody_from_working(home: Path) -> None:
    """Its fault is a warning."""
    found = await report(home, settings=NO_ENGINE)

    assert found["ready"] is True
    beside = [check for check in found["checks"] if check["name"].startswith("docker: ")]
    assert [(check["name"], check["result"]) for check in beside] == [("docker: Docker Engine", "warning")]


async def test_the_policy_itself_is_tried(home: Path, tmp_path: Path) -> None:
    """A sandbox is opened under the limits and hosts that are set, and the operator's tables are shown."""
    desk = tmp_path / "desk"
    desk.mkdir()
    (desk / "darner.toml").write_text(
        'allowed_hosts = ["pypi.org"]\n[sandbox_limits]\nmemory = "1GiB"\n[organisation.acme]\ncaches = []\n'
        "[budget.turn]\nseconds = 600\n[budget.actor]\ntokens = 9000\n"
    )
    found = await report(home, cwd=desk)

    [policy] = [check for check in found["checks"] if check["name"] == "policy"]
    assert (policy["result"], "1 allowed hosts" in policy["detail"]) == ("ok", True)
    [budgets] = [check["detail"] for check in found["checks"] if check["name"] == "budgets"]
    assert budgets.startswith("a turn: 200 steps, 4,000,000 tokens, 10 min; a person a day: 9,000 tokens")
    assert json.loads(found["settings"]["DARNER_SANDBOX_LIMITS"]) == {"memory": 2**30}
    assert json.loads(found["settings"]["DARNER_ORGANISATION"]) == {"acme": {"caches": []}}


async def test_full_access_is_a_warning_that_nobody_overlooks(home: Path, tmp_path: Path) -> None:
    """The doctor tells what it means."""
    desk = tmp_path / "desk"
    desk.mkdir()
    (desk / "darner.toml").write_text('sandbox_mode = "danger-full-access"\n')
    found = await report(home, cwd=desk)

    [mode] = [check for check in found["checks"] if check["name"] == "sandbox mode"]
    assert (mode["result"], "danger-full-access" in mode["detail"]) == ("warning", True)


async def test_a_server_that_cannot_confine_does_not_start(home: Path) -> None:
    """Status 3, and what to do: no delivery is taken that no turn could answer."""
    settings = environment(home) | SERVER | NO_ENGINE | {"DARNER_SANDBOX": "docker"}
    ran: Ran = await run_darner("serve", settings=settings)

    assert ran.exit_status == 3, ran
    assert "No turn can be confined here, so the server does not start.\n  Docker Engine: " in ran.stderr


async def test_a_database_that_does_not_answer_is_told_in_a_sentence(home: Path) -> None:
    """By the doctor with its remedy; what needs it ends, and shows no trace and no password."""
    away = {"DARNER_DATABASE_URL": "postgresql://darner:pass-word@127.0.0.1:1/darner"}

    found = await report(home, settings=away)
    assert [(check["name"], check["remedy"]) for check in failed(found)] == [
        ("database", "Start it, or correct DARNER_DATABASE_URL.")
    ]
    for verb in (("worker",), ("threads", "list")):
        ran = await run_darner(*verb, settings={**environment(home), **SERVER, **away})
        assert ran.exit_status == 1
        assert ran.stderr.startswith("darner: The database does not answer (connection failed:")
        assert len(ran.stderr.splitlines()) == 1
        assert "pass-word" not in ran.stderr + json.dumps(found)
