"""GitHub's REST API on the forge, one module for each of GitHub's areas; `OPERATIONS` lists all of it."""

from demo.forge.rest import apps, issues, meta, pulls, reactions, repos
from demo.forge.rest.call import Operation

OPERATIONS: tuple[Operation, ...] = (
    *apps.OPERATIONS,
    *issues.OPERATIONS,
    *meta.OPERATIONS,
    *pulls.OPERATIONS,
    *reactions.OPERATIONS,
    *repos.OPERATIONS,
)

__all__ = ("OPERATIONS",)
