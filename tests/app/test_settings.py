"""Settings: what is empty is unset, and what is wrong is said by name, never with a secret's value."""

from pathlib import Path

import pytest

from app.settings import SettingsRefused, load_settings


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_variable_set_to_nothing_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing CI secret arrives as an empty string; it is no App and no token."""
    for name in (
        "GITHUB_APP_ID",
        "GITHUB_APP_KEY",
        "GITHUB_TOKEN",
        "WEBHOOK_SECRET",
        "MAX_TURNS",
        "GITHUB_URL",
    ):
        monkeypatch.setenv(f"DARNER_{name}", "")

    settings = load_settings()

    assert (settings.github_app_id, settings.github_token, settings.webhook_secrets) == (None, None, ())
    assert (settings.max_turns, settings.api_url) == (4, "https://api.github.com")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("GITHUB_URL", "github.example.com", "https://HOST"),
        ("GITHUB_URL", "https://me:hunter22@github.example.com", "no credentials"),
        ("DATABASE_URL", "mysql://me:hunter22@host/db", "postgresql://USER"),
        ("PORT", "70000", "DARNER_PORT"),
        ("MAX_TURNS", "0", "DARNER_MAX_TURNS"),
        ("ALLOWED_BOTS", "renovate", "DARNER_ALLOWED_BOTS"),
    ],
)
def test_a_wrong_value_is_named_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    """The message leads to the setting; a password in it goes nowhere."""
    monkeypatch.setenv(f"DARNER_{name}", value)

    with pytest.raises(SettingsRefused) as refused:
        load_settings()

    assert told in str(refused.value)
    assert f"DARNER_{name}" in str(refused.value)
    assert "hunter22" not in str(refused.value)


def test_a_key_on_one_line_is_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a variable holds one line only, its line ends are written as two characters."""
    monkeypatch.setenv("DARNER_GITHUB_APP_ID", "7")
    monkeypatch.setenv("DARNER_GITHUB_APP_KEY", r"-----BEGIN KEY-----\nabc\n-----END KEY-----")

    assert load_settings().app_key_pem == "-----BEGIN KEY-----\nabc\n-----END KEY-----"


def test_a_broken_file_is_one_sentence(tmp_path: Path) -> None:
    """A slip in `darner.toml` is told as such, not as a crash."""
    (tmp_path / "darner.toml").write_text("port = \n")

    with pytest.raises(SettingsRefused, match=r"darner\.toml"):
        load_settings()


def test_the_databases_password_is_a_secret() -> None:
    """It must not leave the house in any text."""
    settings = load_settings(database_url="postgresql://me:hunter22%21@host/db")

    assert settings.secrets == ("hunter22!",)
