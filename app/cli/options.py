"""Options that several verbs share, with one wording each."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class DriverName(StrEnum):
    """What `--driver` takes."""

    AUTO = "auto"
    BUBBLEWRAP = "bubblewrap"
    DOCKER = "docker"


Repo = Annotated[
    Path,
    typer.Option(
        "--repo",
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="The directory to work on.",
        show_default=".",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
