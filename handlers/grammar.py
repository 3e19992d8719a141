"""What the words after a mention ask for. Knows the commands, not who may give them."""

import difflib
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, get_args

CommandWord = Literal[
    "help",
    "review",
    "stop",
    "pause",
    "resume",
    "retry",
    "status",
    "fork",
    "undo",
    "companion",
    "approve",
    "deny",
    "budget",
    "compact",
    "why",
    "policy",
    "forget",
]
COMMAND_WORDS: Final[tuple[CommandWord, ...]] = get_args(CommandWord)


@dataclass(frozen=True, slots=True)
class Request:
    """Free text: work to be done."""

    text: str


@dataclass(frozen=True, slots=True)
class Help:
    pass


@dataclass(frozen=True, slots=True)
class Review:
    is_full: bool = False
    """Read everything once more, not only what changed since the last review."""


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
class Pause:
    pass


@dataclass(frozen=True, slots=True)
class Resume:
    pass


@dataclass(frozen=True, slots=True)
class Fork:
    """A second attempt from the end of a turn, on a branch of its own."""

    turn: str | None = None
    """Id; None: the last one that has ended."""
    text: str = ""
    """What to do this time, in free words."""


@dataclass(frozen=True, slots=True)
class Undo:
    """Take back what a turn has pushed."""

    turn: str | None = None
    """Id; None: the last one that has pushed."""


@dataclass(frozen=True, slots=True)
class Companion:
    """Ask people for leave to open a companion pull request of a fork's result."""

    turn: str | None = None
    """Id; None: the last one that has ended."""


@dataclass(frozen=True, slots=True)
class Approve:
    request: str | None = None
    """Id; None: the only open one."""


@dataclass(frozen=True, slots=True)
class Deny:
    request: str | None = None
    """Id; None: the only open one."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Budget:
    """What all turns of the thread may cost together from now on; nothing said: tell how it stands."""

    micros: int | None = None
    """Millionths of the price table's currency."""
    tokens: int | None = None
    is_lifted: bool = False
    """No amount any more, in either unit."""


@dataclass(frozen=True, slots=True)
class Compact:
    pass


@dataclass(frozen=True, slots=True)
class Why:
    named: str | None = None
    """A turn, a request or a delivery; None: the last decision."""


@dataclass(frozen=True, slots=True)
class ShowPolicy:
    pass


@dataclass(frozen=True, slots=True)
class Forget:
    pass


@dataclass(frozen=True, slots=True)
class DidYouMean:
    """A lone word that is nearly a command."""

    word: str
    suggestion: CommandWord


@dataclass(frozen=True, slots=True)
class Unclear:
    """A command with something to it that it does not take: neither guessed at, nor made a turn of."""

    word: Literal["approve", "budget"]


@dataclass(frozen=True, slots=True)
class Empty:
    """The bot was named and nothing said."""


Lone = Help | Review | Stop | Pause | Resume | Retry | Status | Compact | ShowPolicy | Forget
"""Commands without arguments."""
Command = (
    Request | Lone | Fork | Undo | Companion | Approve | Deny | Budget | Why | DidYouMean | Unclear | Empty
)


def parse_command(text: str) -> Command:
    """A command stands alone or before its argument (politeness aside); all else is a request."""
    words = text.split()
    if not words:
        return Empty()
    first = words[0].strip(_PUNCTUATION).casefold()
    said = [word for word in words[1:] if word.strip(_PUNCTUATION).casefold() not in _POLITENESS]
    if (command := _with_argument(first, text, words, said)) is not None:
        return command
    if said:
        return Request(text.strip())
    if first in _LONE:
        return _LONE[first]
    near = _nearest(first)
    if near is not None and len(words) == 1:
        return DidYouMean(words[0].strip(_PUNCTUATION), near)
    return Request(text.strip())


_PUNCTUATION: Final = ".,!?:;/`*\"'"
_POLITENESS: Final = frozenset({"please", "pls", "now", "thanks", "thank", "you", ""})
_LONGEST_TYPO: Final = 12
_LONE: Final[dict[str, Lone]] = {
    "help": Help(),
    "review": Review(),
    "stop": Stop(),
    "pause": Pause(),
    "resume": Resume(),
    "retry": Retry(),
    "status": Status(),
    "compact": Compact(),
    "policy": ShowPolicy(),
    "forget": Forget(),
}
_ID: Final = re.compile(r"[0-9a-f]{8,12}")
"""Of a turn (12) or a request (8): nothing that people say by itself."""
_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
"""Of a delivery."""
_AMOUNT: Final = re.compile(
    r"(?P<sign>[$€£]?)(?P<number>\d{1,12}(?:[.,]\d{1,6})?|\d{1,3}(?:,\d{3})+(?:\.\d{1,6})?)"
    r"(?P<scale>[km]?)(?P<after>[$€£]?)",
    re.IGNORECASE,
)
_THOUSANDS: Final = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
"""As Darner itself writes large numbers."""
_NUMBER: Final = re.compile(r"[-+]?[$€£]?[.,]?\d")
_MONEY_WORDS: Final = frozenset(
    {"usd", "eur", "gbp", "dollar", "dollars", "euro", "euros", "money", "$", "€", "£"}
)


def _with_argument(first: str, text: str, words: list[str], said: list[str]) -> Command | None:
    """The commands that take something; None when the words are not one of them."""
    found = _ID.fullmatch(said[0].strip(_PUNCTUATION).casefold()) if said else None
    named = found.group() if found is not None else None
    is_alone = not said or (named is not None and len(said) == 1)
    rest = text.split(maxsplit=2)[2].strip() if len(words) > 2 and words[1:2] == said[:1] else ""
    match first:
        case "approve" if is_alone:
            return Approve(named)
        case "approve" if named is not None:
            # On a condition, perhaps: what is approved is what was asked, or nothing.
            return Unclear("approve")
        case "deny" | "reject" if named is not None or not said:
            return Deny(named, rest if named else "")
        case "fork" if named is not None or not said:
            return Fork(named, rest if named else "")
        case "undo" if is_alone:
            return Undo(named)
        case "companion" if is_alone:
            return Companion(named)
        case "review" if [word.strip(_PUNCTUATION).casefold() for word in said] == ["full"]:
            return Review(is_full=True)
        case "why" if is_alone:
            return Why(named)
        case "why" if len(said) == 1 and _GUID.fullmatch(said[0].strip(_PUNCTUATION)):
            return Why(said[0].strip(_PUNCTUATION))
        case "budget":
            return _budget(said)
        case _:
            return None


def _budget(said: list[str]) -> Budget | Unclear | None:
    """`5`, `$2.50`, `3 EUR` are money; `200k`, `1.5m`, `50,000 tokens` are tokens; `none` is no budget."""
    if not said:
        return Budget()
    if len(said) == 1 and said[0].strip(_PUNCTUATION).casefold() in {"none", "off"}:
        return Budget(is_lifted=True)
    unit = said[1].strip(_PUNCTUATION).casefold() if len(said) == 2 else ""
    in_tokens = unit in {"token", "tokens"}
    if len(said) > 2 or (unit and not in_tokens and unit not in _MONEY_WORDS):
        return None
    found = _AMOUNT.fullmatch(said[0].rstrip(".!"))
    if found is None:
        return Unclear("budget") if _NUMBER.match(said[0]) else None
    sign, number = found["sign"] or found["after"], found["number"]
    in_tokens = in_tokens or bool(found["scale"] and not unit)
    if sign or not in_tokens:
        # 1,500 is a thousand and a half or one and a half, by where one comes from; 1,500.00 is not.
        is_either = _THOUSANDS.fullmatch(number) and number.count(",") == 1 and "." not in number
        if found["scale"] or in_tokens or is_either:
            return Unclear("budget")
        return Budget(micros=int(_number(number) * 1_000_000))
    return Budget(tokens=int(_number(number) * {"": 1, "k": 1000, "m": 1_000_000}[found["scale"].lower()]))


def _number(text: str) -> Decimal:
    """A comma before three digits stands between thousands, else before decimals."""
    return Decimal(text.replace(",", "" if _THOUSANDS.fullmatch(text) else "."))


def _nearest(word: str) -> CommandWord | None:
    if not 3 <= len(word) <= _LONGEST_TYPO or not word.isalpha():
        return None
    near = difflib.get_close_matches(word, COMMAND_WORDS, n=1, cutoff=0.75)
    return next((command for command in COMMAND_WORDS if near == [command]), None)
