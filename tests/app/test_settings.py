"""Settings that would put the service's own secrets within reach are refused."""

from pathlib import Path

import pytest

from app.settings import EnvironmentSettings, Settings, SettingsRefused, load_settings


def settings(**values: object) -> Settings:
    return load_settings(EnvironmentSettings, **values)


@pytest.mark.parametrize(
    "values",
    [
        {"home": Path("/usr/local/darner"), "sandbox_read_only": ()},
        {"home": Path("/opt/darner/data"), "sandbox_read_only": "/srv/tools:/opt"},
        {"home": Path("/opt/tools/../darner"), "sandbox_read_only": "/opt/darner"},
        {
            "home": Path("/srv/darner"),
            "sandbox_read_only": "/opt",
            "github_app_id": 1,
            "github_app_key": "/opt/darner/key.pem",
        },
    ],
)
def test_a_turn_is_never_shown_what_is_the_services_own(values: dict[str, object]) -> None:
    """Directories shown inside the sandbox hold neither the database nor the App's key."""
    with pytest.raises(SettingsRefused, match="which every turn can read; move one of them"):
        settings(**values)


def test_tool_chains_beside_the_services_own_are_fine() -> None:
    assert settings(home=Path("/opt/darner"), sandbox_read_only="/opt/python").sandbox_read_only == (
        Path("/opt/python"),
    )


def test_passwords_in_addresses_are_secrets() -> None:
    """What a log line or a comment must not hold includes the database's password."""
    found = settings(
        database_url="postgresql://darner:correct-horse@db.example/darner",
    ).secrets

    assert "correct-horse" in found
