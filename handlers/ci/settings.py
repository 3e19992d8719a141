"""When failed checks are repaired, and how far: what the operator allows, and what a repository wants."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StringConstraints

from handlers.ci.attempts import ATTEMPTS, Limits
from handlers.ci.reports import NAMES
from handlers.ci.settled import QUIET
from handlers.written import seconds_written


class CiMode(StrEnum):
    """Each allows what stands before it."""

    OFF = "off"
    OFFER = "offer"
    """One comment says what would be tried, and what it may cost."""
    AUTO = "auto"


_MODES: Final = tuple(CiMode)


def narrowest(*modes: CiMode | None) -> CiMode:
    """Of those that have an opinion; with none, nothing: repairing is opted into."""
    return min((mode for mode in modes if mode is not None), key=_MODES.index, default=CiMode.OFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class CiSettings:
    """A repository's wishes."""

    mode: CiMode = CiMode.OFF
    """A repository that says nothing has not opted in."""
    checks: tuple[str, ...] = ()
    """Only checks whose names match one of these patterns; empty: all."""
    ignored_checks: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    """Patterns of branches that are repaired without a pull request; empty: none."""
    rerun: bool = True
    """Whether failed jobs may be run again, once a head, where the code seems not to be at fault."""
    reports: tuple[str, ...] = NAMES
    """Patterns of the artifacts in which test reports are looked for, whatever their case; empty: none."""
    quiet: timedelta = QUIET
    limits: Limits = field(default_factory=Limits)

    def repairs(self, check: str) -> bool:
        """Whether a check of this name is looked after."""
        is_in = not self.checks or _is_one_of(check, self.checks)
        return is_in and not _is_one_of(check, self.ignored_checks)

    def repairs_branch(self, branch: str) -> bool:
        return _is_one_of(branch, self.branches)


def _is_one_of(name: str, patterns: tuple[str, ...]) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


_Pattern = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)]
_Patterns = Annotated[tuple[_Pattern, ...], Field(max_length=100)]


def _reports(value: object) -> object:
    # YAML reads the words off and on as false and true.
    if value is False:
        return ()
    return NAMES if value is True else value


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Checks(_Written):
    include: _Patterns = ()
    exclude: _Patterns = ()


class WrittenCi(_Written):
    """The section `ci` of `.github/darner.yml`."""

    mode: CiMode = CiMode.OFF
    checks: _Checks = _Checks()
    branches: _Patterns = ()
    reports: Annotated[_Patterns, BeforeValidator(_reports)] = NAMES
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
            limits=Limits(attempts=self.attempts, dollars=self.money, seconds=self.time),
        )
