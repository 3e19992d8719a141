"""`darner policy`: what a turn may do, and who decided it; `exec` and `sandbox` ask the same resolver."""

import json
from pathlib import Path

import pytest

from tests.cli.program import Ran, environment, run_darner

OPERATOR = """
allowed_hosts = ["pypi.org", "*.pythonhosted.org"]
caches = ["pip"]
[sandbox_limits]
memory = "3GiB"
[organisation.acme]
sandbox_mode = "read-only"
[repository."other/site"]
protected_paths = ["deploy"]
"""
FILE = """
network: [pypi.org, evil.example]
limits: {memory: 1GiB, cpus: 64}
protected_paths: [keys]
"""
FULL = 'sandbox_mode = "danger-full-access"\n'


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Where the operator's `darner.toml` lies, beside the repository."""
    desk = tmp_path / "desk"
    desk.mkdir()
    (desk / "darner.toml").write_text(OPERATOR)
    return desk


def write_file(repo: Path, text: str) -> None:
    (repo / ".github").mkdir()
    (repo / ".github" / "darner.yml").write_text(text)


async def explained(desk: Path, home: Path, *arguments: str) -> list[list[str]]:
    ran = await run_darner("policy", "--explain", *arguments, settings=environment(home), cwd=desk)
    assert ran.exit_status == 0, ran
    return [[word.strip() for word in line.split("  ") if word.strip()] for line in ran.stdout.splitlines()]


async def test_every_field_is_shown_with_the_layer_that_decided_it(
    home: Path, repo: Path, desk: Path
) -> None:
    """The directory's file narrows what the operator allows; what it may not have is told."""
    write_file(repo, FILE)
    lines = await explained(desk, home, "--repo", str(repo))

    assert lines[0] == [f"The repository's file: {repo / '.github/darner.yml'}, as it lies there."]
    assert ["mode", "workspace-write", "default"] in lines
    assert ["network", "pypi.org", "repository file"] in lines
    assert ["protected paths", "the built-in 15, keys", "repository file"] in lines
    assert ["memory", "1 GiB", "repository file"] in lines
    assert ["wall_time", "10 min", "default"] in lines
    assert ["caches", "pip (own)", "operator"] in lines
    assert lines[-2:] == [
        ["Not granted: cpus 64 (repository file): 2 at most, by default."],
        ["Not granted: network evil.example (repository file): not allowed, says the operator."],
    ]


async def test_organisations_forks_and_triggers_narrow_further(home: Path, desk: Path) -> None:
    """Each by its own word."""
    acme = await explained(desk, home, "--repo", "Acme/Site")
    assert ["mode", "read-only", "organisation"] in acme
    assert ["network", "off", "organisation"] in acme

    other = await explained(desk, home, "--repo", "other/site", "--fork")
    assert ["mode", "workspace-write", "default"] in other
    assert ["network", "off", "trust of the code"] in other
    assert ["caches", "pip (fork)", "operator"] in other
    assert ["protected paths", "the built-in 15, deploy", "repository"] in other

    review = await explained(desk, home, "--repo", "other/site", "--trigger", "review")
    assert ["mode", "read-only", "trigger"] in review


async def test_a_program_reads_it_as_json(home: Path, repo: Path, desk: Path) -> None:
    """The same, with the names of the fields."""
    write_file(repo, FILE)
    ran = await run_darner("policy", "--json", "--repo", str(repo), settings=environment(home), cwd=desk)
    told = json.loads(ran.stdout)

    assert told["policy"]["limits"]["memory_bytes"] == 2**30
    assert told["decided"]["memory_bytes"] == "repository file"
    assert {missed["field"] for missed in told["not_granted"]} == {"cpus", "allowed_hosts"}


async def test_a_turn_that_nobody_would_get_is_status_3(home: Path, desk: Path) -> None:
    """A reader, where the operator admits none."""
    ran = await run_darner(
        "policy", "--repo", "other/site", "--permission", "read", settings=environment(home), cwd=desk
    )
    assert ran == Ran(3, "Such a turn is refused: whoever asks needs write permission.\n", "")


async def test_the_directorys_own_file_holds_for_a_local_command(home: Path, repo: Path) -> None:
    """It can take away, and does: asked for more, the command does not start and says who decided."""
    write_file(repo, "mode: read-only\n")
    arguments = ("sandbox", "--repo", str(repo))
    quiet = await run_darner(*arguments, "touch", "new.txt", settings=environment(home))
    asked = await run_darner(*arguments, "--mode", "workspace-write", "true", settings=environment(home))

    assert (quiet.exit_status, (repo / "new.txt").exists()) == (1, False)
    assert asked.exit_status == 125
    assert "mode workspace-write (read-only at most, says the repository file)" in asked.stderr


async def test_a_file_that_cannot_be_read_stops_everything(home: Path, repo: Path) -> None:
    """It may have taken something away: nobody guesses what."""
    write_file(repo, "mood: read-only\n")
    ran = await run_darner("sandbox", "--repo", str(repo), "touch", "new.txt", settings=environment(home))

    assert (ran.exit_status, (repo / "new.txt").exists()) == (125, False)
    assert "`mood` is not a setting. Did you mean `mode`?" in ran.stderr


@pytest.mark.parametrize(
    ("settings", "host", "status", "said"),
    [
        (
            {},
            "pypi.org",
            125,
            "network pypi.org (the operator allows no host). What may be reached is set by",
        ),
        ({"DARNER_ALLOWED_HOSTS": "pypi.org"}, "evil.example", 125, "(not allowed, says the operator)"),
        ({"DARNER_ALLOWED_HOSTS": "pypi.org"}, "127.0.0.1", 2, "is not a host of an allow-list"),
        (
            {"DARNER_ALLOWED_HOSTS": "pypi.org", "DARNER_SANDBOX_MODE": "read-only"},
            "pypi.org",
            125,
            "There is no network in a read-only sandbox",
        ),
    ],
)
async def test_the_command_line_opens_no_host_that_the_operator_has_not(
    home: Path, repo: Path, settings: dict[str, str], host: str, status: int, said: str
) -> None:
    """It says what to set instead of starting with less."""
    ran = await run_darner(
        *("sandbox", "--repo", str(repo), "--allow-domain", host, "true"),
        settings=environment(home) | settings,
    )
    assert (ran.exit_status, said in ran.stderr) == (status, True), ran


async def test_full_access_comes_from_the_operators_file_alone(home: Path, repo: Path) -> None:
    """Not from the environment, not from the directory, not from an option."""
    (repo / "darner.toml").write_text(FULL)
    by_variable = environment(home) | {"DARNER_SANDBOX_MODE": "danger-full-access"}
    arguments = ("sandbox", "--repo", str(repo))

    variable = await run_darner(*arguments, "true", settings=by_variable)
    assert (variable.exit_status, "never taken from the environment" in variable.stderr) == (2, True)
    option = await run_darner(
        *arguments, "--mode", "danger-full-access", "true", settings=environment(home), cwd=repo
    )
    assert (option.exit_status, "for an operator's file to allow" in option.stderr) == (2, True)
    write_file(repo, "mode: danger-full-access\n")
    file = await run_darner(*arguments, "true", settings=environment(home))
    assert (file.exit_status, "must be `read-only` or `workspace-write`" in file.stderr) == (125, True)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("admit_readers = true\n", "do not go together"),
        ('sandbox = "docker"\n', "the docker driver has no danger-full-access"),
        ("sandbox_mod = 1\n", "sandbox_mod is not a setting. Did you mean sandbox_mode?"),
        (
            "[organisation.acme]\nmode = 1\n",
            "DARNER_ORGANISATION.acme.mode: is not known here. Known are sandbox_mode,",
        ),
        ('[repository.acme]\ncaches = ["x"]\n', 'must be written as [repository."OWNER/NAME"]'),
    ],
)
async def test_an_operators_file_that_contradicts_itself_is_refused(
    home: Path, desk: Path, more: str, said: str
) -> None:
    """With the name of what to change."""
    (desk / "darner.toml").write_text(FULL + more)
    ran = await run_darner("policy", settings=environment(home), cwd=desk)
    assert (ran.exit_status, said in ran.stderr) == (2, True), ran


async def test_a_cache_is_shared_by_the_commands_of_one_directory_and_by_no_others(
    home: Path, repo: Path, tmp_path: Path
) -> None:
    """What one left the next one finds; another directory has its own, and who only looks has none."""
    other = tmp_path / "other"
    other.mkdir()
    settings = environment(home) | {"DARNER_CACHES": "pip"}

    async def run(directory: Path, line: str, *options: str) -> Ran:
        arguments = ("sandbox", "--repo", str(directory), *options, "sh", "-c", line)
        return await run_darner(*arguments, settings=settings)

    assert (await run(repo, "echo kept > ~/.cache/pip/x")).exit_status == 0
    assert (await run(repo, "cat ~/.cache/pip/x")).stdout == "kept\n"
    assert (await run(other, "cat ~/.cache/pip/x")).exit_status == 1
    assert (await run(repo, "cat ~/.cache/pip/x", "--mode", "read-only")).exit_status == 1


async def test_the_operators_variables_and_the_devcontainers_are_set_inside(
    home: Path, repo: Path, desk: Path
) -> None:
    """Only names that the operator lets repositories set, and never over the operator's own."""
    (desk / "darner.toml").write_text('repository_environment = ["RAILS_*"]\n[environment]\nTZ = "UTC"\n')
    write_file(repo, "devcontainer: true\n")
    told = {"RAILS_ENV": "test", "LD_PRELOAD": "/workspace/x.so", "TZ": "Mars"}
    (repo / ".devcontainer.json").write_text(json.dumps({"containerEnv": told}))
    ran = await run_darner(*("sandbox", "--repo", str(repo), "env"), settings=environment(home), cwd=desk)

    assert {"TZ=UTC", "RAILS_ENV=test"} <= set(ran.stdout.splitlines())
    assert "LD_PRELOAD" not in ran.stdout
    lines = await explained(desk, home, "--repo", str(repo))
    assert ["environment", "TZ=UTC, RAILS_ENV=test", "repository file"] in lines
    assert sum(line[0].startswith("Not granted: environment") for line in lines) == 2
