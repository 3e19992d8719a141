"""Rules and what they say of a command line. Pure: knows neither files nor tools.

A rule is about the first words of a command. Of all rules that match any command of a line the strictest
counts; a line is allowed only when each of its commands is and nothing of it is in the dark.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from harness.rules.commands import CommandLine, Simple, read_line
from harness.rules.words import Word
from harness.rules.wrappers import program_name


class Decision(StrEnum):
    ALLOW = "allow"
    ASK = "ask"
    FORBID = "forbid"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is decided of commands that begin with `pattern`."""

    pattern: tuple[tuple[str, ...], ...]
    """At each position the words that match."""
    decision: Decision
    justification: str = ""
    source: str = ""
    """Where a person finds it: file and line."""

    def __str__(self) -> str:
        words = (part[0] if len(part) == 1 else f"({'|'.join(part)})" for part in self.pattern)
        return f"{self.decision} {' '.join(words)}"


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules in force."""

    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Allowed:
    """Each command of the line is allowed by a rule."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Asks:
    """A person must say yes first."""

    rule: Rule
    command: str


@dataclass(frozen=True, slots=True)
class Forbidden:
    """It may not run."""

    rule: Rule
    command: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """It could not be compared with the rules at all."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """No rule speaks of it, or none of all of it."""

    why: str


Verdict = Allowed | Asks | Forbidden | Unreadable | Undecided


def judge(rules: Rules, line: str) -> Verdict:
    """What `rules` say of a bash command line."""
    if not rules.rules:
        return Undecided("there are no rules")
    read = read_line(line)
    if not read.is_read:
        return Unreadable()
    found = [(rule, command) for command in read.commands for rule in rules.rules if matches(rule, command)]
    for rule, command in found:
        if rule.decision is Decision.FORBID:
            return Forbidden(rule, spelled(command))
    for rule, command in found:
        if rule.decision is Decision.ASK:
            return Asks(rule, spelled(command))
    return _perhaps_allowed(read, tuple(rule for rule, _ in found), {id(command) for _, command in found})


def matches(rule: Rule, command: Simple) -> bool:
    """Whether the first words of `command` are the pattern's; of a program's path the last part counts."""
    if len(command.words) < len(rule.pattern):
        return False
    first, *rest = rule.pattern
    name = command.words[0]
    return (name in first or program_name(name) in first) and all(
        word in part for part, word in zip(rest, command.words[1:], strict=False)
    )


def spelled(command: Simple) -> str:
    """For people."""
    return " ".join(_spelled(command.words))


def _spelled(words: tuple[Word, ...]) -> Iterator[str]:
    for word in words:
        yield "…" if word is None else word


def _perhaps_allowed(read: CommandLine, rules: tuple[Rule, ...], allowed: set[int]) -> Verdict:
    if read.opaque is not None:
        return Undecided(read.opaque)
    for command in read.commands:
        if id(command) not in allowed and not command.is_wrapper:
            return Undecided(f"no rule speaks of {spelled(command)}")
    return Allowed(tuple(dict.fromkeys(rules))) if rules else Undecided("it holds no command")
