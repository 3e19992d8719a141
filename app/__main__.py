"""The program `darner`: one line registers each verb. Does no work itself."""

import io
import sys
from typing import Final

import typer

from app.cli.demo.command import demo
from app.cli.doctor import doctor
from app.cli.exec import exec_
from app.cli.forge import forge
from app.cli.patch import patch
from app.cli.policy import policy
from app.cli.rules import rules
from app.cli.sandbox import sandbox
from app.cli.serve import serve, worker
from app.cli.threads import threads
from app.cli.why import why

cli: Final = typer.Typer(
    name="darner",
    help="A coding agent that lives in GitHub, and on your machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli.command("serve")(serve)
cli.command("worker")(worker)
cli.command("why")(why)
cli.command("demo")(demo)
cli.command("forge")(forge)
cli.command("exec")(exec_)
cli.command("patch")(patch)
# From its first word on the line is the command's: `darner sandbox ls -l` works without `--`.
cli.command("sandbox", context_settings={"allow_interspersed_args": False})(sandbox)
cli.command("doctor")(doctor)
cli.command("policy")(policy)
cli.add_typer(rules, name="rules")
cli.add_typer(threads)


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of files may hold bytes that are no text: they are shown escaped, not a crash.
            stream.reconfigure(errors="backslashreplace")
    cli()


if __name__ == "__main__":
    main()
