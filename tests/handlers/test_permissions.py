"""The policy table: who may start what on whose code."""

from dataclasses import replace

import pytest

from handlers.permissions import Refusal, mode_for
from handlers.view import Permission, RepositoryConfig
from sandbox.base import SandboxMode
from tests.handlers.people import DARNER

READ, WRITE = SandboxMode.READ_ONLY, SandboxMode.WORKSPACE_WRITE
ADMITTING = replace(DARNER, admits_readers=True)


@pytest.mark.parametrize(
    ("permission", "is_fork", "strict", "admitting"),
    [
        ("admin", False, WRITE, WRITE),
        ("maintain", False, WRITE, WRITE),
        ("write", False, WRITE, WRITE),
        ("triage", False, Refusal.NEEDS_WRITE, READ),
        ("read", False, Refusal.NEEDS_WRITE, READ),
        ("none", False, Refusal.NEEDS_WRITE, READ),
        ("admin", True, WRITE, WRITE),
        ("write", True, WRITE, WRITE),
        ("triage", True, Refusal.FORK_NEEDS_WRITE, Refusal.FORK_NEEDS_WRITE),
        ("read", True, Refusal.FORK_NEEDS_WRITE, Refusal.FORK_NEEDS_WRITE),
        ("none", True, Refusal.FORK_NEEDS_WRITE, Refusal.FORK_NEEDS_WRITE),
    ],
)
def test_the_table(
    *, permission: Permission, is_fork: bool, strict: SandboxMode | Refusal, admitting: SandboxMode | Refusal
) -> None:
    config = RepositoryConfig()

    assert mode_for(permission, is_fork=is_fork, bot=DARNER, config=config) == strict
    assert mode_for(permission, is_fork=is_fork, bot=ADMITTING, config=config) == admitting


def test_operator_and_repository_narrow_and_never_widen() -> None:
    ceiling = replace(DARNER, ceiling=READ)
    narrow = RepositoryConfig(mode=READ)

    assert mode_for("admin", is_fork=False, bot=ceiling, config=RepositoryConfig()) is READ
    assert mode_for("admin", is_fork=False, bot=DARNER, config=narrow) is READ
    assert mode_for("read", is_fork=False, bot=ADMITTING, config=RepositoryConfig(mode=WRITE)) is READ
