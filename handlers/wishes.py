"""What the layers of a policy can say: the operator's ceiling, and the wishes of all below it. Data only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from handlers.budgets import Budgets
from handlers.ci.settings import CiMode
from handlers.review.settings import ReviewMode
from handlers.written import narrowest
from harness.approvals import Approvals
from sandbox.base import PROTECTED_PATHS, Limits, SandboxMode

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_NO_LIMITS: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What one layer says; None or empty where it has no opinion. It can narrow, and never widens."""

    mode: SandboxMode | None = None
    allowed_hosts: tuple[str, ...] | None = None
    """Of those that the layers above allow; `()` is no network."""
    protected_paths: tuple[str, ...] = ()
    """Added to those of the layers above."""
    limits: Mapping[str, float] = field(default_factory=lambda: _NO_LIMITS)
    """Fields of `sandbox.base.Limits`."""
    caches: tuple[str, ...] | None = None
    """Of those that the layers above share; `()` is none."""
    environment: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    image: str | None = None
    approvals: Approvals | None = None
    approvable_hosts: tuple[str, ...] | None = None
    """Of those that the operator lets people approve; `()` is none."""
    budgets: Budgets = field(default_factory=Budgets)
    """Only the operator's words about an owner or a repository have an opinion."""
    review: ReviewMode | None = None
    ci_repair: CiMode | None = None
    """These two likewise; a repository's own words stand in its `RepositoryConfig`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What the operator allows at most; with no settings at all, the defaults."""

    mode: SandboxMode = SandboxMode.WORKSPACE_WRITE
    admits_readers: bool = False
    """Whether people without write permission may start read-only turns."""
    limits: Limits = field(default_factory=Limits)
    protected_paths: tuple[str, ...] = PROTECTED_PATHS
    allowed_hosts: tuple[str, ...] = ()
    forks_reach_hosts: bool = False
    """Whether code of a fork may reach the allowed hosts, too."""
    caches: tuple[str, ...] = ()
    """Names below `~/.cache` that turns of one repository share."""
    environment: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Given to every command."""
    open_names: tuple[str, ...] = ()
    """Variables that a repository may set; a `*` at the end is any ending."""
    images: tuple[str, ...] = ()
    """Images that a repository may ask for, as `sandbox.images.is_allowed` reads them."""
    approvals: Approvals = Approvals.ON_REQUEST
    approvable_hosts: tuple[str, ...] = ()
    """What people with write permission may add to one turn's network, when it asks."""
    approval_seconds: float = 72 * 3600.0
    """How long a request waits for its answer."""
    scopes: Mapping[str, Wishes] = field(default_factory=lambda: MappingProxyType({}))
    """The operator's words about one `owner` or one `owner/name`, in lower case."""
    budgets: Budgets = field(default_factory=Budgets)
    currency: str = ""
    """Of the model's price; empty: no price is known, money cannot be counted."""
    review: ReviewMode = ReviewMode.AUTO
    review_runs_fork_code: bool = False
    """Whether a review of a fork's head may run commands in it; else it only reads."""
    ci_repair: CiMode = CiMode.AUTO
    """What may start by itself at most; a repository opts in."""

    def review_of(self, repository: str) -> ReviewMode:
        """What holds in `owner/name`, whatever its own file says."""
        return narrowest(self.review, *(wishes.review for wishes in self._about(repository)))

    def ci_repair_of(self, repository: str) -> CiMode:
        """What holds in `owner/name`, whatever its own file says."""
        return narrowest(self.ci_repair, *(wishes.ci_repair for wishes in self._about(repository)))

    def _about(self, repository: str) -> list[Wishes]:
        name = repository.lower()
        found = (self.scopes.get(scope) for scope in (name.partition("/")[0], name))
        return [wishes for wishes in found if wishes is not None]

    def budgets_of(self, repository: str) -> Budgets:
        """What holds in `owner/name`, or, for a local directory, in none."""
        budgets = self.budgets
        for wishes in self._about(repository):
            budgets = budgets.narrowed(wishes.budgets)
        return budgets
