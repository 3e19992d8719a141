"""When failed checks are repaired, and how far: what the operator allows, and what a repository wants."""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, StrictBool

from handlers.ci.attempts import ATTEMPTS, Limits
from handlers.ci.reports import NAMES
from handlers.ci.settled import QUIET
from handlers.written import Written, WrittenChoice, WrittenPatterns, seconds_written


class CiMode(StrEnum):
    """Each allows what stands before it."""

    OFF = "off"
    OFFER = "offer"
    """One comment says what would be tried, and what it may cost."""
    AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class CiSettings:
    """A repository's wishes."""

    mode: CiMode = CiMode.OFF
    """A repository that says nothing has not opted in."""
    checks: tuple[str, ...] = ()
    """Only checks whose names match one of these patterns; empty: all. See `repairs`."""
    ignored_checks: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    """Patterns of branches that are repaired without a pull request; empty: none."""
    rerun: bool = True
    """Whether failed jobs may be run again, once a head, where the code seems not to be at fault."""
    reports: tuple[str, ...] = NAMES
    """Patterns of the artifacts in which test reports are looked for, whatever their case; empty: none."""
    quiet: timedelta = QUIET
    limits: Limits = field(default_factory=Limits)

    def repairs(self, check: str, *, workflow: str = "") -> bool:
        """Whether a check of this name is looked after; as a job of `workflow` it is `workflow / check`, too.

        A workflow as a whole, such as one that could not start, has no `check`.
        """

        def is_named_by(patterns: tuple[str, ...]) -> bool:
            # `C*` is said of checks, not of all that the workflow `CI` has.
            of_workflows = tuple(pattern for pattern in patterns if "/" in pattern)
            is_in_workflow = bool(workflow) and _is_one_of(f"{workflow}/{check}", of_workflows)
            return is_in_workflow or _is_one_of(check or workflow, patterns)

        return (not self.checks or is_named_by(self.checks)) and not is_named_by(self.ignored_checks)

    def may_repair(self, check: str) -> bool:
        """`repairs`, where nobody has told of which workflow the check is."""
        names_workflows = any("/" in pattern for pattern in self.checks)
        return not _is_one_of(check, self.ignored_checks) and (
            names_workflows or not self.checks or _is_one_of(check, self.checks)
        )

    def repairs_branch(self, branch: str) -> bool:
        return _is_one_of(branch, self.branches)


def _is_one_of(name: str, patterns: tuple[str, ...]) -> bool:
    told = _SLASH.sub("/", name)
    return any(told == pattern or fnmatchcase(told, pattern) for pattern in map(_tight, patterns))


def _tight(pattern: str) -> str:
    return _SLASH.sub("/", pattern)


_SLASH: Final = re.compile(r"\s*/\s*")
"""GitHub shows `CI / test`; people write it with and without the spaces."""


def _reports(value: object) -> object:
    # YAML reads the words off and on as false and true.
    if value is False:
        return ()
    return NAMES if value is True else value


class WrittenCi(Written):
    """The section `ci` of `.github/darner.yml`."""

    mode: CiMode = CiMode.OFF
    checks: WrittenChoice = WrittenChoice()
    branches: WrittenPatterns = ()
    reports: Annotated[WrittenPatterns, BeforeValidator(_reports)] = NAMES
    rerun: StrictBool = True
    quiet: Annotated[float, BeforeValidator(seconds_written), Field(ge=0, le=3600)] = QUIET.total_seconds()
    attempts: Annotated[int, Field(strict=True, ge=1, le=10)] = ATTEMPTS
    money: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    time: Annotated[float, BeforeValidator(seconds_written), Field(gt=0)] | None = None

    @property
    def settings(self) -> CiSettings:
        return CiSettings(
            mode=self.mode,
            checks=self.checks.include,
            ignored_checks=self.checks.exclude,
            branches=self.branches,
            reports=self.reports,
            rerun=self.rerun,
            quiet=timedelta(seconds=self.quiet),
            limits=Limits(attempts=self.attempts, money=self.money, seconds=self.time),
        )
