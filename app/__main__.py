"""The program `darner`: one line registers each verb. Does no work itself."""

from typing import Final

import typer

from app.cli.doctor import doctor
from app.cli.patch import patch
from app.cli.sandbox import sandbox

cli: Final = typer.Typer(
    name="darner",
    help="A coding agent that lives in GitHub, and on your machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli.command("patch")(patch)
# What follows the command's name belongs to the command: `darner sandbox ls -l` needs no `--`.
cli.command("sandbox", context_settings={"allow_interspersed_args": False})(sandbox)
cli.command("doctor")(doctor)


def main() -> None:
    cli()


if __name__ == "__main__":
    main()
