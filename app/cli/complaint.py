"""How a verb says that it cannot go on: one sentence on standard error, and an exit status."""

from typing import Final

import typer

REFUSED: Final = 3
"""The exit status where no turn may run, or this one may not."""


def complain(message: str, *, status: int = 2) -> typer.Exit:
    """The exit to raise, after the sentence has been said."""
    typer.echo(f"darner: {message}", err=True)
    return typer.Exit(status)
