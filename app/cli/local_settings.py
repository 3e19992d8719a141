"""Settings for verbs that work on a directory: never from that directory, which a turn could have written."""

from pathlib import Path
from typing import Any, Final

import typer

from app.settings import EnvironmentSettings, Settings, load_settings

FILES: Final = (".env", "darner.toml")
NAMES: Final = (b"DARNER_", b"OPENAI_")


def settings_beside(directory: Path, **overrides: Any) -> Settings:
    """As `load_settings`, but deaf to settings files of `directory`: they could send the key elsewhere.

    A turn may write in the directory, and so could a stranger whose repository it is.
    """
    here = Path.cwd()
    if not here.is_relative_to(directory.resolve()):
        return load_settings(**overrides)
    for name in FILES:
        if _sets_something(here / name):
            typer.echo(
                f"darner: {name} is not read here: a turn works on {directory.resolve()} and may change it. "
                "Set environment variables, or run from another directory with --repo.",
                err=True,
            )
    return load_settings(EnvironmentSettings, **overrides)


def _sets_something(file: Path) -> bool:
    if not file.is_file():
        return False
    return file.name == "darner.toml" or any(name in file.read_bytes() for name in NAMES)
