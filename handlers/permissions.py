"""Who may ask for what: the table as data. Decides; never asks GitHub."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from sandbox.base import SandboxMode

Permission = Literal["none", "read", "triage", "write", "maintain", "admin"]
"""GitHub's `role_name`, custom roles mapped to their base."""
TriggerKind = Literal["mention", "review", "ci_fix"]
"""A person's words, or what Darner begins by itself: a review, the repair of a failed check."""
Code = Literal["own", "fork"]
"""Whose code a turn works on."""

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
    NOT_ON_FORKS = "not_on_forks"


@dataclass(frozen=True, slots=True)
class Rule:
    """The widest mode that one kind of asker may have on one kind of code."""

    grants: SandboxMode | Refusal
    grants_admitted: SandboxMode | Refusal
    """The same where the operator admits readers."""


def _always(grants: SandboxMode | Refusal) -> Rule:
    return Rule(grants, grants)


TABLE: Final[dict[tuple[Standing | Literal["review", "ci_fix"], Code], Rule]] = {
    # On code of its own a writer may have what the operator allows, whatever that is.
    ("writer", "own"): _always(SandboxMode.FULL_ACCESS),
    ("writer", "fork"): _always(SandboxMode.WORKSPACE_WRITE),
    ("reader", "own"): Rule(Refusal.NEEDS_WRITE, SandboxMode.READ_ONLY),
    ("reader", "fork"): _always(Refusal.FORK_NEEDS_WRITE),
    ("review", "own"): _always(SandboxMode.READ_ONLY),
    ("review", "fork"): _always(SandboxMode.READ_ONLY),
    ("ci_fix", "own"): _always(SandboxMode.WORKSPACE_WRITE),
    ("ci_fix", "fork"): _always(Refusal.NOT_ON_FORKS),
}


def granted(
    trigger: TriggerKind, permission: Permission, code: Code, *, admits_readers: bool
) -> SandboxMode | Refusal:
    """The widest mode that the table has for a turn, before anybody narrows it; or why there is none."""
    asker = STANDING[permission] if trigger == "mention" else trigger
    rule = TABLE[asker, code]
    return rule.grants_admitted if admits_readers else rule.grants
