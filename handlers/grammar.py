"""What the words after a mention ask for. Knows the commands, not who may give them."""

import difflib
from dataclasses import dataclass
from typing import Final, Literal

CommandWord = Literal["help", "review", "stop", "retry", "status"]
COMMAND_WORDS: Final[tuple[CommandWord, ...]] = ("help", "review", "stop", "retry", "status")


@dataclass(frozen=True, slots=True)
class Request:
    """Free text: work to be done."""

    text: str


@dataclass(frozen=True, slots=True)
class Help:
    pass


@dataclass(frozen=True, slots=True)
class Review:
    pass


@dataclass(frozen=True, slots=True)
class Stop:
    pass


@dataclass(frozen=True, slots=True)
class Retry:
    pass


@dataclass(frozen=True, slots=True)
class Status:
    pass


@dataclass(frozen=True, slots=True)
class DidYouMean:
    """A lone word that is nearly a command."""

    word: str
    suggestion: CommandWord


@dataclass(frozen=True, slots=True)
class Empty:
    """The bot was named and nothing said."""


Command = Request | Help | Review | Stop | Retry | Status | DidYouMean | Empty


def parse_command(text: str) -> Command:
    """A command stands alone (politeness aside); everything else is a request in free words."""
    words = text.split()
    if not words:
        return Empty()
    first = words[0].strip(_PUNCTUATION).casefold()
    if any(word.strip(_PUNCTUATION).casefold() not in _POLITENESS for word in words[1:]):
        return Request(text.strip())
    if first in _COMMANDS:
        return _COMMANDS[first]
    near = _nearest(first)
    if near is not None and len(words) == 1:
        return DidYouMean(words[0].strip(_PUNCTUATION), near)
    return Request(text.strip())


_PUNCTUATION: Final = ".,!?:;/`*\"'"
_POLITENESS: Final = frozenset({"please", "pls", "now", "thanks", "thank", "you", ""})
_LONGEST_TYPO: Final = 12
_COMMANDS: Final[dict[str, Command]] = {
    "help": Help(),
    "review": Review(),
    "stop": Stop(),
    "retry": Retry(),
    "status": Status(),
}


def _nearest(word: str) -> CommandWord | None:
    if not 3 <= len(word) <= _LONGEST_TYPO or not word.isalpha():
        return None
    near = difflib.get_close_matches(word, COMMAND_WORDS, n=1, cutoff=0.75)
    return next((command for command in COMMAND_WORDS if near == [command]), None)
