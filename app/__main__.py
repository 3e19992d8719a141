"""The program `darner`: one line registers each verb. Does no work itself."""

import io
import sys
from typing import Final

import typer

from app.cli.patch import patch

cli: Final = typer.Typer(
    name="darner",
    help="A coding agent that lives in GitHub, and on your machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli.command("patch")(patch)


@cli.callback()
def darner() -> None:
    """Makes the name of a verb necessary, also while there is only one."""


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of files may hold bytes that are no text: they are shown escaped, not a crash.
            stream.reconfigure(errors="backslashreplace")
    cli()


if __name__ == "__main__":
    main()
