"""What the bot says of a companion pull request: what it would mean, and what came of the leave for it."""

from collections.abc import Sequence
from typing import Final, Literal, assert_never

from handlers.amounts import counted
from handlers.comments_requests import span
from handlers.effects import StartTurn
from handlers.inline import inline_code
from handlers.scan import clean_line
from handlers.view import Landing

_MOST_NAMES: Final = 10


def offer(
    start: StartTurn,
    request: str,
    digest: str,
    *,
    files: int,
    touches: Sequence[str],
    is_shown: bool,
    files_url: str,
    mention: str,
    hours: float,
) -> str:
    """What is asked for, what it would bring with it, and how to answer.

    `is_shown`: a comment has shown all of the agent's change.
    """
    head = f"`{start.base_sha[:7]}`"
    said = (
        "A **companion pull request** would hold it: a draft from a branch of this repository, with the "
        f"contributor's commits up to {head} and one of mine on top ({counted(files, 'file')}). It is not "
        "made without a person's leave, for its branch is this repository's own:"
    )
    warning = (
        "> ⚠️ **This repository's CI runs the contributor's code there, and mine, with the secrets and "
        "rights that its workflows give to branches of its own.** Pull requests from forks do not get those. "
        f"Read the code first, in [Files changed]({files_url})."
    )
    how = (
        f"To have exactly this (`{digest}`, on {head}), write `@{mention} approve {request}` within "
        f"{span(hours)}, or `@{mention} deny {request}` to close it. A push to the head voids it."
    )
    unseen = "" if is_shown else " Of my change you have seen the beginning only, for it is too long."
    return "\n\n".join((said, warning + unseen + _touched(touches), how))


def _touched(touches: Sequence[str]) -> str:
    if not touches:
        return ""
    names = ", ".join(inline_code(path) for path in touches[:_MOST_NAMES])
    more = f" and {len(touches) - _MOST_NAMES} more" if len(touches) > _MOST_NAMES else ""
    return f" The contributor's own commits change what is protected here: {names}{more}."


def none_to_make(mention: str) -> str:
    return (
        "There is no result here that a companion pull request could hold: it is for what a turn on a pull "
        f"request from a fork has left. `@{mention} status` lists the turns."
    )


def changes_ci(start: StartTurn, touches: Sequence[str]) -> str:
    """Of commits that must not get a branch of the repository's own."""
    return (
        f"I open no companion of #{start.number}.{_touched(touches)} On a branch of this repository CI would "
        "run that with this repository's secrets. Take the patch by hand, on commits that you have read."
    )


def is_elsewhere(landing: Landing) -> str:
    """The result is on a branch already."""
    where = f"{landing.fork.full_name}:{landing.branch}" if landing.fork is not None else landing.branch
    return f"The result of turn `{landing.turn}` is on {inline_code(where)} already, at `{landing.sha[:7]}`."


def is_asked_for(request: str, mention: str) -> str:
    """Of a second wish for the same."""
    return (
        f"That is asked for already, as request `{request}`, in a comment above with what it means: "
        f"`@{mention} approve {request}` or `@{mention} deny {request}`."
    )


def refused(request: str, why: str, *, mention: str) -> str:
    return (
        f"Not opened: request `{request}` was approved, but {clean_line(why, limit=300)}. To have it on the "
        f"head as it is now, write `@{mention}` and what you want."
    )


def not_pushed(
    request: str,
    reason: Literal["head_moved", "denied", "branch_protected"],
    detail: str,
    *,
    branch: str,
    mention: str,
) -> str:
    """The forge did not take the branch."""
    said = f" It said: {inline_code(clean_line(detail, limit=300))}" if detail else ""
    match reason:
        case "head_moved":
            why = f"{inline_code(branch)} is there already, with something else on it"
        case "denied":
            why = f"GitHub did not let me push the branch.{said}"
        case "branch_protected":
            why = f"{inline_code(branch)} is protected.{said}"
        case _:
            assert_never(reason)
    again = f"`@{mention} companion` asks once more."
    return f"Not opened: request `{request}` was approved, but {why.removesuffix('.')}. {again}"


def opened(request: str, *, number: int, url: str, branch: str, sha: str, by: str) -> str:
    where = f"{inline_code(branch)} at `{sha[:7]}`"
    return (
        f"✅ **Companion pull request** · [#{number}]({url}), a draft · {where} · approved by "
        f"{clean_line(by, limit=60)} (request `{request}`)."
    )


def in_pull(start: StartTurn, author: str) -> str:
    """In the companion's own text."""
    name = clean_line(author, limit=60) or "the contributor"
    return (
        f"A companion of #{start.number} by {name}, which comes from a fork: {name}'s commits up to "
        f"`{start.base_sha[:7]}`, and one of mine on top. Merging it brings both."
    )
