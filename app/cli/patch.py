"""`darner patch`: applies an `apply_patch` envelope to a directory, all or nothing. Never runs a command."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.cli.complaint import complain
from app.cli.options import Repo


def patch(
    file: Annotated[
        Path | None,
        typer.Argument(
            exists=True, dir_okay=False, allow_dash=True, help="The patch; standard input without."
        ),
    ] = None,
    *,
    repo: Repo = Path(),
) -> None:
    """Apply a patch (`*** Begin Patch` … `*** End Patch`) to a directory: all of its hunks, or none.

    Exits with 0 and a summary, or with 1, the reason with the line of the patch, and an unchanged directory.
    """
    from harness.patch import PatchRefused, apply, parse, plan
    from sandbox.base import Policy, SandboxMode, SandboxUnavailable
    from sandbox.files import CheckoutFiles

    files = CheckoutFiles(repo.resolve(), Policy(SandboxMode.WORKSPACE_WRITE))
    try:
        summary = apply(plan(parse(_text(file)), files), files)
    except (PatchRefused, SandboxUnavailable) as refusal:
        raise complain(f"Nothing was changed. {_sentence(str(refusal))}", status=1) from None
    typer.echo(str(summary))


def _text(file: Path | None) -> str:
    """Bytes that are no UTF-8 are kept, as the files of the directory may hold the same ones."""
    if file is not None and str(file) != "-":
        data = file.read_bytes()
    else:
        if sys.stdin.isatty():
            typer.echo("Reading the patch from standard input; end it with Ctrl-D.", err=True)
        data = sys.stdin.buffer.read()
    return data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
