"""GitHub's REST API on the forge, one module for each of GitHub's areas; `OPERATIONS` lists all of it."""

from demo.forge.rest import apps, checks, issues, meta, pulls, reactions, repos, reviews, statuses, workflows
from demo.forge.rest.call import Operation

OPERATIONS: tuple[Operation, ...] = (
    *apps.OPERATIONS,
    *checks.OPERATIONS,
    *issues.OPERATIONS,
    *meta.OPERATIONS,
    *pulls.OPERATIONS,
    *reactions.OPERATIONS,
    *repos.OPERATIONS,
    *reviews.OPERATIONS,
    *statuses.OPERATIONS,
    *workflows.OPERATIONS,
)

__all__ = ("OPERATIONS",)
