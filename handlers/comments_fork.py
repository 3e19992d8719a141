"""What the bot says of a result that belongs into a fork: as suggestions, or as a patch."""

from dataclasses import dataclass
from typing import Final, Literal, assert_never
from urllib.parse import urlsplit

from handlers.amounts import counted
from handlers.effects import PushResult, StartTurn
from handlers.fork_suggestions import ProposedSuggestion
from handlers.inline import inline_code
from handlers.scan import clean_line

APPLY: Final = "Saved as `darner.patch` beside the head's files, `git apply --index darner.patch` takes it."


BEGINNING: Final = 8_000
"""Characters of a patch that is too long to be shown whole: to look at, it cannot be applied."""


@dataclass(frozen=True, slots=True)
class Suggested:
    """All of the result stands on the lines of the pull request."""

    count: int
    notes: tuple[str, ...] = ()
    """Why it is not delivered in a better way, a sentence each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patched:
    """The result is in the final comment."""

    notes: tuple[str, ...] = ()
    """As of `Suggested`."""
    is_whole: bool = True
    """False: it is too long for a comment, which shows its beginning."""
    companion: str = ""
    """What is asked with it, where a companion pull request may be had by leave."""


def suggestion(each: ProposedSuggestion, at: int, count: int, turn: str) -> str:
    """The comment on the lines that one suggestion replaces; `at` is from 1."""
    part = "The whole change" if count == 1 else f"Part {at} of {count}"
    return f"{each.block}\n\n<sub>{part} · turn `{turn}`</sub>"


def review_body(start: StartTurn, count: int) -> str:
    """Above the suggestions."""
    asked = f"[asked for]({start.trigger.url}) by {clean_line(start.requester.login, limit=60)}"
    what = counted(count, "suggestion")
    return f"The result of turn `{start.turn_id}`, {asked}, as {what}. {_HOW[count == 1]}"


def where(suggested: Suggested, start: StartTurn) -> str:
    """In the final comment."""
    link = f"[Files changed]({files_url(start)})"
    what, them = counted(suggested.count, "suggestion"), "it" if suggested.count == 1 else "them"
    said = f"The head belongs to a fork, so the result is {what}: accept {them} in {link}."
    return "\n\n".join((*suggested.notes, f"{said} {_HOW[suggested.count == 1]}"))


def patch(patched: Patched, details: str, *, mention: str) -> str:
    """In the final comment, around the patch."""
    if not patched.is_whole:
        here = _BEGINNING if patched.notes else f"{_CANNOT} {_BEGINNING}"
        # What is asked stands before what may be cut.
        return "\n\n".join(filter(None, (*patched.notes, here, patched.companion, details)))
    here = "Here is the change as a patch."
    if not patched.notes:
        here = "The head belongs to a fork, where I cannot push; here is the change as a patch."
    return "\n\n".join((*patched.notes, f"{here} {APPLY}", details, how_to_ask(mention)))


def push_refused(
    push: PushResult,
    reason: Literal["head_moved", "denied", "branch_protected", "unavailable"],
    detail: str,
) -> str:
    """Why the result is not on the fork's branch."""
    name = inline_code(f"{push.fork.full_name}:{push.branch}" if push.fork is not None else push.branch)
    said = f" GitHub said: {inline_code(clean_line(detail, limit=300))}" if detail else ""
    match reason:
        case "head_moved":
            return f"{name} was changed by someone else in the meantime, so I left it alone."
        case "denied":
            return f"The fork did not take my push to {name}.{said}"
        case "branch_protected":
            return f"{name} is protected, so I left it alone.{said}"
        case "unavailable":
            return f"I could not push to {name}.{said}"
        case _:
            assert_never(reason)


def how_to_ask(mention: str) -> str:
    """Below a patch that is shown whole."""
    return (
        f"To have it as a draft pull request of this repository instead, write `@{mention} companion`: I "
        "tell first what that means."
    )


def has_moved(sha: str) -> str:
    return f"The head was pushed to while I worked; this is for `{sha[:7]}`, what I worked on."


def suggestions_refused(why: str) -> str:
    return f"GitHub took no suggestions on these lines. It said: {clean_line(why, limit=300)}"


_CANNOT: Final = "The head belongs to a fork, where I cannot push."
_BEGINNING: Final = "The change is too long for a comment, which shows its beginning."
_HOW: Final = {
    True: "*Commit suggestion* takes it; whoever may push to the fork's branch can.",
    False: (
        "They are one change: *Add suggestion to batch* on each, then *Commit suggestions* takes them "
        "together; whoever may push to the fork's branch can."
    ),
}


def files_url(start: StartTurn) -> str:
    """Where the pull request's change is read."""
    url = urlsplit(start.trigger.url)
    return f"{url.scheme}://{url.netloc}/{start.repository}/pull/{start.number}/files"
