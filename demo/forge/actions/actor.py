"""Who acts, and what the forge lets them do; every action begins by asking here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from demo.forge.refusals import (
    Refused,
    authentication_required,
    lacks_role,
    not_accessible,
    not_found,
)
from demo.forge.state import ROLES, Access, Repository, Role, State, User, Viewer

Needs = tuple[Mapping[str, Access], ...]

# What an action asks of an installation token, alternatives in order: the table of operations says the same.
CONTENTS_WRITE: Needs = ({"contents": "write"},)
ISSUES_WRITE: Needs = ({"issues": "write"},)
PULLS_WRITE: Needs = ({"pull_requests": "write"},)
CONVERSATION_WRITE: Needs = ({"issues": "write"}, {"pull_requests": "write"})
CHECKS_WRITE: Needs = ({"checks": "write"},)
ACTIONS_WRITE: Needs = ({"actions": "write"},)
STATUSES_WRITE: Needs = ({"statuses": "write"},)
ADMINISTRATION_WRITE: Needs = ({"administration": "write"},)
PUSH_ACCESS = "Must have push access to repository"
ADMIN_RIGHTS = "Must have admin rights to Repository."


@dataclass(frozen=True, slots=True)
class Actor:
    """A viewer who is about to do something."""

    state: State
    viewer: Viewer

    @property
    def user(self) -> User:
        """The account that the deed is attributed to."""
        if self.viewer.user is None:
            raise authentication_required()
        return self.viewer.user

    def role(self, repo: Repository) -> Role:
        return self.state.role_of(self.viewer.user, repo)

    def may(self, repo: Repository, *, needs: Needs, role: Role) -> bool:
        if self.viewer.installation is None:
            return ROLES.index(self.role(repo)) >= ROLES.index(role)
        return self.state.grants(self.viewer, repo) and granted(self.viewer, needs)

    def require(
        self, repo: Repository, *, needs: Needs, role: Role = "read", otherwise: str = ADMIN_RIGHTS
    ) -> None:
        """Refuse as GitHub would: unseen is 404, seen but not allowed is 403."""
        if self.viewer.user is None:
            raise authentication_required()
        if not self.state.may_see(self.viewer, repo):
            raise not_found()
        if repo.archived:
            raise Refused(403, "Repository was archived so is read-only.")
        if self.may(repo, needs=needs, role=role):
            return
        if self.viewer.installation is not None:
            raise not_accessible()
        raise lacks_role(otherwise)


def granted(viewer: Viewer, needs: Needs) -> bool:
    """Whether the token's permissions satisfy one of the alternatives."""
    have = viewer.permissions or {}
    return not needs or any(
        all(_covers(have.get(name), access) for name, access in alternative.items()) for alternative in needs
    )


def _covers(have: Access | None, wanted: Access) -> bool:
    order = ("read", "write", "admin")
    return have is not None and order.index(have) >= order.index(wanted)
