"""`.github/darner.yml`: wishes that narrow, told clearly when they cannot be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.config import LARGEST, ConfigRefused, parse_config
from handlers.view import RepositoryConfig
from sandbox.base import PROTECTED_PATHS, SandboxMode


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", b"", "{}"])
def test_an_empty_file_changes_nothing(text: str | bytes) -> None:
    assert parse_config(text) == RepositoryConfig()


def test_every_setting_narrows() -> None:
    text = """
        enabled: false
        mode: read-only
        protected_paths: [deploy/, ./keys/prod.yml, AGENTS.md]
        instructions: |
          Run `make test`.
    """

    assert parse_config(text) == RepositoryConfig(
        enabled=False,
        mode=SandboxMode.READ_ONLY,
        protected_paths=(*PROTECTED_PATHS, "deploy", "keys/prod.yml"),
        instructions="Run `make test`.",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modee: read-only", "`modee` is not a setting. Did you mean `mode`?"),
        (
            "xyz: 1",
            "`xyz` is not a setting. Known are `enabled`, `mode`, `protected_paths`, `instructions`.",
        ),
        ("mode: danger-full-access", "`mode`: must be `read-only` or `workspace-write`."),
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
    assert set(PROTECTED_PATHS) <= set(config.protected_paths)
