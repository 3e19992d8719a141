"""`.github/darner.yml`: wishes that narrow, told clearly when they cannot be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.config import LARGEST, ConfigRefused, parse_config, with_devcontainer
from handlers.policy import Situation, protected_paths
from handlers.view import RepositoryConfig
from handlers.wishes import Wishes
from sandbox.base import PROTECTED_PATHS, SandboxMode


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", b"", "{}"])
def test_an_empty_file_changes_nothing(text: str | bytes) -> None:
    assert parse_config(text) == RepositoryConfig()


def test_every_setting_narrows() -> None:
    text = """
        enabled: false
        mode: read-only
        protected_paths: [deploy/, ./keys/prod.yml, AGENTS.md]
        network: [PyPI.org, "*.example.com:8443"]
        limits: {wall_time: 10m, memory: 1GiB, cpus: 0.5, processes: 64}
        image: registry.example/acme/ruby:3
        devcontainer: true
        instructions: |
          Run `make test`.
    """

    assert parse_config(text) == RepositoryConfig(
        enabled=False,
        wishes=Wishes(
            mode=SandboxMode.READ_ONLY,
            allowed_hosts=("pypi.org", "*.example.com:8443"),
            protected_paths=("deploy", "keys/prod.yml", "AGENTS.md"),
            limits={"wall_seconds": 600.0, "memory_bytes": 2**30, "cpus": 0.5, "processes": 64},
            image="registry.example/acme/ruby:3",
        ),
        devcontainer=True,
        instructions="Run `make test`.",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modee: read-only", "`modee` is not a setting. Did you mean `mode`?"),
        (
            "xyz: 1",
            (
                "`xyz` is not a setting. Known are `enabled`, `mode`, `protected_paths`, `network`, "
                "`limits`, `image`, `devcontainer`, `approvals`, `instructions`, `review`, `ci`."
            ),
        ),
        ("mode: danger-full-access", "`mode`: must be `read-only` or `workspace-write`."),
        ("mode: full", "`mode`: must be `read-only` or `workspace-write`."),
        ("network: on", "`network`: must be `off`, or a list of hosts such as `pypi.org`."),
        ("network: ['*']", "`network.0`: '*' is not a host of an allow-list"),
        (
            "network: ['db.internal:5432@10.0.0.0/8']",
            "`network.0`: 'db.internal:5432@10.0.0.0/8': only the operator's settings may open a private",
        ),
        ("limits: {memory: lots}", "`limits.memory`: must be a size such as `512MiB` or `4GiB`."),
        ("limits: {wall_time: 1 week}", "`limits.wall_time`: must be a duration such as `90s`, `10m` or"),
        ("limits: {cpu: 1}", "`limits.cpu`: is not a limit. Known are `wall_time`, `output`, `processes`, "),
        ("limits: {processes: yes}", "`limits.processes`: must be an amount."),
        ("approvals: always", "`approvals`: must be `never`, `on-request` or `untrusted`."),
        ("review: {mode: always}", "`review.mode`: must be `off`, `on-demand` or `auto`."),
        ("review: {draft: yes}", "`review.draft`: is not a setting."),
        ("ci: {mode: on}", "`ci.mode`: must be `off`, `offer` or `auto`."),
        ("ci: {quiet: soon}", "`ci.quiet`: must be a duration such as `90s`, `10m` or `1h`."),
        ("enabled: 1", "`enabled`: input should be a valid boolean."),
        ("instructions: 3", "`instructions`: input should be a valid string."),
        (
            "protected_paths: [../x]",
            "`protected_paths.0`: must be a path inside the repository, such as `deploy`",
        ),
        ("- a", "The file must hold `key: value` lines."),
        ("a: &x 1\nb: *x", "The file uses YAML anchors; write the values out."),
        ("[" * 1000, "The file is nested too deeply."),
        ("x" * (LARGEST + 1), "The file is larger than 16 KiB."),
        (b"\xff\xfe\xfa", "The file is not UTF-8 text."),
        ("\x00", "The file is not valid YAML."),
        (
            "mode: !!python/object:os.system x",
            "The file is not valid YAML: could not determine a constructor",
        ),
        ("a: [", "The file is not valid YAML: expected the node content"),
    ],
)
def test_a_file_that_cannot_be_used_says_what_to_change(text: str | bytes, said: str) -> None:
    with pytest.raises(ConfigRefused) as caught:
        parse_config(text)

    assert str(caught.value).startswith(said)


@given(st.text(st.sampled_from("abmode:[]{}-&*!|>'\"\n\t 1?,#%@`"), max_size=60) | st.binary(max_size=40))
def test_any_file_is_read_or_refused(text: str | bytes) -> None:
    """Protected paths can be added, never taken away, whatever a file says."""
    try:
        config = parse_config(text)
    except ConfigRefused:
        return
    assert set(PROTECTED_PATHS) <= set(protected_paths(Situation(file=config.wishes)))


@pytest.mark.parametrize("written", ["off", "false", "[]"])
def test_no_network_can_be_said_in_plain_words(written: str) -> None:
    """YAML's `off` is false; both mean none, which is not the same as no opinion."""
    assert parse_config(f"network: {written}").wishes.allowed_hosts == ()
    assert parse_config("").wishes.allowed_hosts is None


def test_a_devcontainer_gives_its_image_and_plain_variables_and_nothing_else() -> None:
    """What would act on the host has no effect, and is told; an image of the settings file comes first."""
    text = """{
        // for everybody
        "image": "python:3.13", "containerEnv": {"RAILS_ENV": "test", "HOST": "${localEnv:HOME}"},
        "runArgs": ["--privileged"],
    }"""
    read = with_devcontainer(RepositoryConfig(devcontainer=True), text, place=".devcontainer.json")
    named = with_devcontainer(parse_config("image: ruby:3"), text, place=".devcontainer.json")

    assert (read.wishes.image, dict(read.wishes.environment)) == ("python:3.13", {"RAILS_ENV": "test"})
    assert [line.split(":")[0] for line in read.ignored] == ["`runArgs`", "`containerEnv`"]
    assert named.wishes.image == "ruby:3"
    with pytest.raises(ConfigRefused, match=r"`\.devcontainer\.json`: The file is not JSON"):
        with_devcontainer(RepositoryConfig(), "{", place=".devcontainer.json")
