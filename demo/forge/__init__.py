"""The local forge: a GitHub in one process, with real git, for trying and testing without an account.

`serve` runs it on loopback and hands out a `Forge`; `create_app` composes the parts into one application.
"""

from pathlib import Path
from typing import Final

from demo.forge.server import Forge, create_app, serve

__all__ = ("EXAMPLE", "Forge", "create_app", "serve")

EXAMPLE: Final = Path(__file__).parent.parent / "repository"
"""A small project with a real bug: what the demo's repository is made of."""
