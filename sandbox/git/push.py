"""What can become of a push, and how git's words about it are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sandbox.git import GitFailed

_DETAIL: Final = 2000


@dataclass(frozen=True, slots=True)
class Pushed:
    """The branch is at the commit, now or already."""


@dataclass(frozen=True, slots=True)
class HeadMoved:
    """The branch is not where it was expected; nothing was written. `current` is None when it is gone."""

    current: str | None


@dataclass(frozen=True, slots=True)
class Denied:
    """The forge would not take it, for a reason that trying again does not change."""

    detail: str


@dataclass(frozen=True, slots=True)
class BranchProtected:
    """A rule on the branch forbids the push."""

    detail: str


PushOutcome = Pushed | HeadMoved | Denied | BranchProtected


def refusal_of_access(arguments: Sequence[str], exit_status: int, stderr: str) -> Denied:
    """The forge said no before looking at the branch; anything but a clear no is raised."""
    denied = (
        "returned error: 401",
        "returned error: 403",
        "returned error: 404",
        "Authentication failed",
        "could not read Username",
        "could not read Password",
        "Repository not found",
        "' not found",
    )
    if any(sign in stderr for sign in denied):
        return Denied(_detail(stderr))
    raise GitFailed(arguments, exit_status, stderr)


def refusal_of_update(rejection: str, stderr: str) -> Denied | BranchProtected:
    detail = _detail(f"{stderr}\n{rejection}")
    # GitHub's codes for a protected branch and for a rule set:
    # https://docs.github.com/repositories/configuring-branches-and-merges-in-your-repository
    if any(sign in detail for sign in ("GH006", "GH013", "protected branch", "rule violations")):
        return BranchProtected(detail)
    return Denied(detail)


def _detail(text: str) -> str:
    said = [
        " ".join(line.removeprefix("remote:").split())
        for line in text.splitlines()
        if line.startswith(("remote:", "fatal:", "!"))
    ]
    return "\n".join(line for line in said if line)[:_DETAIL]
