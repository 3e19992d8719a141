"""The local forge: a GitHub in one process, with real git, for trying and testing without an account.

`serve` runs it on loopback and hands out a `Forge`; `create_app` composes the parts into one application.
"""

from demo.forge.server import Forge, create_app, serve

__all__ = ("Forge", "create_app", "serve")
