"""What the operator's file may say about one organisation or one repository: it only narrows."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, StringConstraints

from app.budget_settings import ScopedBudgets
from handlers.ci.settings import CiMode
from handlers.review.settings import ReviewMode
from handlers.wishes import Wishes
from handlers.written import Written, WrittenHost, WrittenLimits, WrittenPath
from harness.approvals import Approvals
from sandbox.base import SandboxMode
from sandbox.egress.rules import parse_host

_OWNER: Final = re.compile(r"[a-z0-9](?:-?[a-z0-9])*")
_REPOSITORY: Final = re.compile(rf"{_OWNER.pattern}/[a-z0-9._-]+")


def _owner(text: str) -> str:
    name = text.lower()
    if not _OWNER.fullmatch(name):
        raise ValueError("must be the login of an organisation or a person, such as `acme`")
    return name


def _repository(text: str) -> str:
    name = text.lower()
    if not _REPOSITORY.fullmatch(name):
        raise ValueError('must be written as [repository."OWNER/NAME"]')
    return name


OwnerName = Annotated[str, AfterValidator(_owner)]
RepositoryName = Annotated[str, AfterValidator(_repository)]
CacheName = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
VariableName = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
VariablePattern = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}\*?$")]
VariableValue = Annotated[str, StringConstraints(strict=True, max_length=10_000, pattern=r"^[^\x00]*$")]
OperatorsHost = Annotated[
    str,
    StringConstraints(strict=True, max_length=300),
    AfterValidator(lambda text: str(parse_host(text, private=True))),
]
"""A rule of the allow-list; it may open a private network."""


class Scope(Written):
    """One `[organisation.NAME]` or `[repository."OWNER/NAME"]`."""

    sandbox_mode: Literal["read-only", "workspace-write"] | None = None
    sandbox_limits: WrittenLimits = WrittenLimits()
    sandbox_image: str | None = None
    allowed_hosts: tuple[WrittenHost, ...] | None = None
    caches: tuple[CacheName, ...] | None = None
    protected_paths: tuple[WrittenPath, ...] = ()
    approvals: Approvals | None = None
    approvable_hosts: tuple[WrittenHost, ...] | None = None
    budget: ScopedBudgets = ScopedBudgets()
    review: ReviewMode | None = None
    ci_repair: CiMode | None = None

    @property
    def wishes(self) -> Wishes:
        return Wishes(
            mode=SandboxMode(self.sandbox_mode) if self.sandbox_mode else None,
            allowed_hosts=self.allowed_hosts,
            protected_paths=self.protected_paths,
            limits=self.sandbox_limits.by_field,
            caches=self.caches,
            image=self.sandbox_image,
            approvals=self.approvals,
            approvable_hosts=self.approvable_hosts,
            budgets=self.budget.budgets,
            review=self.review,
            ci_repair=self.ci_repair,
        )
