"""What each kind of process cannot do without, told in one sentence."""

from pathlib import Path

import pytest

from app.role import Role
from app.settings import Settings, SettingsRefused
from app.wiring import required

MANY = "postgresql://darner@db/darner"


def settings(home: Path, **values: object) -> Settings:
    bare = {"_env_file": None, "github_token": "ghp_x", "webhook_secret": "s", "model": "m"}
    return Settings(home=home, **{**bare, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize("role", [Role(takes=False), Role(works=False)])
def test_sqlite_is_for_one_process_that_does_everything(tmp_path: Path, role: Role) -> None:
    """Another one would wait for ever for work that it cannot see, or make work that nobody does."""
    required(settings(tmp_path), Role())
    required(settings(tmp_path, database_url=MANY), role)

    with pytest.raises(SettingsRefused, match=r"DARNER_DATABASE_URL \(a PostgreSQL"):
        required(settings(tmp_path), role)


def test_nobody_is_asked_for_what_it_does_not_use(tmp_path: Path) -> None:
    """A worker takes no webhooks; an intake asks no model."""
    required(settings(tmp_path, database_url=MANY, webhook_secret=None), Role(takes=False))
    required(settings(tmp_path, database_url=MANY, model=""), Role(works=False))

    with pytest.raises(SettingsRefused, match="DARNER_MODEL"):
        required(settings(tmp_path, database_url=MANY, model=""), Role(takes=False))
    with pytest.raises(SettingsRefused, match="DARNER_WEBHOOK_SECRET"):
        required(settings(tmp_path, database_url=MANY, webhook_secret=None), Role(works=False))
