"""Who may ask for what: the policy table as data. Decides; never asks GitHub."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from handlers.view import Bot, Permission, RepositoryConfig
from sandbox.base import SandboxMode

Standing = Literal["writer", "reader"]
STANDING: Final[dict[Permission, Standing]] = {
    "admin": "writer",
    "maintain": "writer",
    "write": "writer",
    "triage": "reader",
    "read": "reader",
    "none": "reader",
}


class Refusal(StrEnum):
    """Why a turn may not start."""

    NEEDS_WRITE = "needs_write"
    FORK_NEEDS_WRITE = "fork_needs_write"


@dataclass(frozen=True, slots=True)
class Rule:
    """What one kind of person may start on one kind of code."""

    grants: SandboxMode | Refusal
    grants_admitted: SandboxMode | Refusal
    """The same where the operator admits readers."""


_WRITE: Final = Rule(SandboxMode.WORKSPACE_WRITE, SandboxMode.WORKSPACE_WRITE)
TABLE: Final[dict[tuple[Standing, Literal["own", "fork"]], Rule]] = {
    ("writer", "own"): _WRITE,
    ("writer", "fork"): _WRITE,
    ("reader", "own"): Rule(Refusal.NEEDS_WRITE, SandboxMode.READ_ONLY),
    ("reader", "fork"): Rule(Refusal.FORK_NEEDS_WRITE, Refusal.FORK_NEEDS_WRITE),
}


def mode_for(
    permission: Permission, *, is_fork: bool, bot: Bot, config: RepositoryConfig
) -> SandboxMode | Refusal:
    """The mode of a turn that a person with `permission` asks for: only ever narrowed, or refused."""
    rule = TABLE[STANDING[permission], "fork" if is_fork else "own"]
    granted = rule.grants_admitted if bot.admits_readers else rule.grants
    if isinstance(granted, Refusal):
        return granted
    return _narrowest(granted, bot.ceiling, config.mode)


def _narrowest(*modes: SandboxMode) -> SandboxMode:
    if SandboxMode.READ_ONLY in modes:
        return SandboxMode.READ_ONLY
    return SandboxMode.WORKSPACE_WRITE
