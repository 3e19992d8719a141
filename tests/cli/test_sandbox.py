"""`darner sandbox`: one command as in a turn; its output and its exit status are all one sees of Darner."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.cli.processes import processes_with, until
from tests.cli.program import Ran, environment, fingerprint, run_darner, start_darner


async def test_output_and_exit_status_pass_through(home: Path, repo: Path) -> None:
    """Both streams in order, byte for byte, and the command's own status."""
    line = "printf 'out\\n'; printf 'err\\n' >&2; printf 'caf\\303\\251 \\033[1mbold\\033[0m'; exit 7"
    ran = await run_darner("sandbox", "--repo", str(repo), "--", "sh", "-c", line, settings=environment(home))
    assert ran == Ran(7, "out\nerr\ncafé \x1b[1mbold\x1b[0m", "")


async def test_much_output_passes_whole(home: Path, repo: Path) -> None:
    """A hundred megabytes come through to the last byte."""
    count = "head -c 100000000 /dev/zero | tr '\\0' x; echo end"
    ran = await run_darner("sandbox", "--repo", str(repo), "sh", "-c", count, settings=environment(home))
    assert (ran.exit_status, len(ran.stdout), ran.stdout[-5:]) == (0, 100_000_004, "xend\n")


async def test_output_comes_while_the_command_runs(home: Path, repo: Path) -> None:
    """The first line can be read long before the command ends."""
    process = await start_darner(
        *("sandbox", "--repo", str(repo), "sh", "-c", "echo first; sleep 30"), settings=environment(home)
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), timeout=180) == b"first\n"
    process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.communicate(), timeout=180)
    assert process.returncode == 130


async def test_what_the_command_changed_is_in_the_directory_and_git_is_not_touched(
    home: Path, repo: Path
) -> None:
    """As for a turn: the work tree takes the changes; `.git` can be read inside, and never written."""
    git_before = fingerprint(repo / ".git")
    line = "git log --format=%s; rm notes.txt; echo x | tee new.txt run.log .git/hooks/evil; true"
    ran = await run_darner("sandbox", "--repo", str(repo), "sh", "-c", line, settings=environment(home))
    assert ran.exit_status == 0
    assert ran.stdout.splitlines()[0] == "Begin"
    assert sorted(path.name for path in repo.iterdir()) == [".git", ".gitignore", "greet.py", "new.txt"]
    assert fingerprint(repo / ".git") == git_before


async def test_a_read_only_command_changes_nothing(home: Path, repo: Path) -> None:
    """The write fails inside, and the status says so."""
    before = fingerprint(repo)
    ran = await run_darner(
        *("sandbox", "--mode", "read-only", "--repo", str(repo), "touch", "new.txt"),
        settings=environment(home),
    )
    assert (ran.exit_status, "Read-only" in ran.stdout) == (1, True)
    assert fingerprint(repo) == before


async def test_there_is_no_network_and_nothing_of_the_user_inside(home: Path, repo: Path) -> None:
    """There is no interface but the loopback, the environment is made from nothing, the home is not there."""
    (home / "planted").write_text("secret")
    look = f"tail -n +3 /proc/net/dev | cut -d: -f1; env; ls {home}; true"
    settings = environment(home) | {"PLANTED_KEY": "sk-planted"}
    ran = await run_darner("sandbox", "--repo", str(repo), "sh", "-c", look, settings=settings)
    assert (ran.exit_status, ran.stdout.split()[0]) == (0, "lo")
    assert "planted" not in ran.stdout.lower()


async def test_a_sandbox_that_cannot_start_is_status_125_with_the_reason(home: Path, repo: Path) -> None:
    """Nothing runs unconfined instead."""
    settings = environment(home) | {"PATH": "/nonexistent"}
    ran = await run_darner("sandbox", "--repo", str(repo), "touch", "ran.txt", settings=settings)
    assert (ran.exit_status, ran.stdout) == (125, "")
    assert "bubblewrap" in ran.stderr or "bwrap" in ran.stderr
    assert not (repo / "ran.txt").exists()


async def test_a_program_that_does_not_exist_is_status_127(home: Path, repo: Path) -> None:
    """As a shell tells it."""
    ran = await run_darner("sandbox", "--repo", str(repo), "no-such-program", settings=environment(home))
    assert ran.exit_status == 127


@pytest.mark.parametrize("mode", ["danger-full-access", "anything"])
async def test_an_unknown_mode_is_a_usage_error(home: Path, mode: str) -> None:
    """There is no way to ask for less confinement."""
    ran = await run_darner("sandbox", "--mode", mode, "true", settings=environment(home))
    assert (ran.exit_status, mode in ran.stderr) == (2, True)


async def test_an_interruption_leaves_no_process(home: Path, repo: Path) -> None:
    """Ctrl-C ends the whole tree, also what has left its session."""
    marker = f"8{os.getpid()}.{time.monotonic_ns() % 10**9}"
    line = f"(setsid sleep {marker} &) ; sleep {marker}"
    process = await start_darner("sandbox", "--repo", str(repo), "sh", "-c", line, settings=environment(home))
    await until(lambda: len(processes_with(marker)) >= 2)
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), timeout=180)
    assert process.returncode == 130
    assert processes_with(marker) == []


async def test_the_doctor_finds_this_machine_ready(home: Path) -> None:
    """Exit 0, every setting by its name, and no secret among them."""
    key = "sk-planted-0123456789"
    settings = environment(home) | {"OPENAI_API_KEY": key, "DARNER_MODEL": "m", "DARNER_GITHUB_TOKEN": key}
    ran = await run_darner("doctor", settings=settings)
    assert ran.exit_status == 0, ran
    assert key not in ran.stdout
    for word in ("DARNER_HOME", "OPENAI_API_KEY", "********", "A turn can run here."):
        assert word in ran.stdout
    report = json.loads((await run_darner("doctor", "--json", settings=settings)).stdout)
    assert report["ready"] is True
    assert report["settings"]["OPENAI_API_KEY"] == "********"
    assert report["settings"]["DARNER_HOME"] == str(home / "darner")
    assert {check["result"] for check in report["checks"]} <= {"ok", "warning"}


async def test_the_doctor_tells_what_is_missing_and_what_to_do(home: Path) -> None:
    """Exit 3 where a turn would be refused, with a remedy for each failed check."""
    ran = await run_darner("doctor", "--json", settings=environment(home) | {"PATH": "/nonexistent"})
    report = json.loads(ran.stdout)
    assert (ran.exit_status, report["ready"]) == (3, False)
    failed = [check for check in report["checks"] if check["result"] == "failed"]
    assert failed
    assert all(check["remedy"] for check in failed)


async def test_the_doctor_masks_passwords_in_addresses(home: Path) -> None:
    """A database's password is a secret too."""
    settings = environment(home) | {"DARNER_DATABASE_URL": "postgresql+psycopg://darner:pass-word@db/darner"}
    report = json.loads((await run_darner("doctor", "--json", settings=settings)).stdout)
    assert report["settings"]["DARNER_DATABASE_URL"] == "postgresql+psycopg://darner:********@db/darner"
