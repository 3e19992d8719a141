"""The delivery ladder: how a turn's result on a fork's pull request gets to people. Decides; does nothing."""

from dataclasses import dataclass
from typing import Final

from handlers.effects import ForkHead
from handlers.fork_suggestions import ProposedSuggestion

LONGEST_PATCH: Final = 30_000
"""Characters of a patch that a comment shows whole."""
CI_PATHS: Final = (".github/workflows", ".github/actions")
"""What runs with the repository's secrets: commits that change these get no branch of its own."""
UNREAD: Final = "(not all of it could be read)"
"""Stands among the paths that a head changes for those that are not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkFacts:
    """What the choice hangs on, as it is when something is to be delivered."""

    deliver: tuple[str, ...]
    """The files that may go out: what is protected or weakens the checks is not among them."""
    is_open: bool
    """Whether the pull request is: a suggestion on a closed one cannot be accepted."""
    has_moved: bool
    """Whether the head is no longer what the turn worked on: suggestions would be outdated at once."""
    fork: ForkHead | None = None
    """Where it may be pushed to."""
    is_second_attempt: bool = False
    """It stands beside another turn's result, and must not go on top of that."""
    was_pushed: bool = False
    """A push was tried, and did not get there."""
    suggestions: tuple[ProposedSuggestion, ...] = ()
    were_refused: bool = False
    """The forge has taken none of the suggestions."""
    patch_length: int = 0
    """Characters."""
    may_ask_people: bool = False
    """Whether a person can be asked for leave to open a companion, on this head."""


@dataclass(frozen=True, slots=True)
class ToFork:
    """One commit on the fork's branch, as on the branch of any pull request."""

    fork: ForkHead


@dataclass(frozen=True, slots=True)
class AsSuggestions:
    """All of the change as suggestions on the lines of the pull request, in one review."""

    suggestions: tuple[ProposedSuggestion, ...]


@dataclass(frozen=True, slots=True)
class AsPatch:
    """In the final comment, with the command that applies it."""


@dataclass(frozen=True, slots=True)
class AskForCompanion:
    """A patch that no comment holds: a person is asked for leave to open a companion pull request."""


Rung = ToFork | AsSuggestions | AsPatch | AskForCompanion


def rung_of(facts: ForkFacts) -> Rung:
    """The highest rung that holds; one that was tried and did not is not tried again."""
    if facts.fork is not None and facts.is_open and not (facts.was_pushed or facts.is_second_attempt):
        return ToFork(facts.fork)
    fits = {each.path for each in facts.suggestions} == set(facts.deliver)
    if facts.suggestions and fits and facts.is_open and not (facts.has_moved or facts.were_refused):
        return AsSuggestions(facts.suggestions)
    if facts.patch_length > LONGEST_PATCH and facts.may_ask_people:
        return AskForCompanion()
    return AsPatch()
