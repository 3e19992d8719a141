"""Rules from TOML files, their examples tried out. Whatever is wrong is told with the file and the line.

[[prefix]]
pattern = ["git", ["push", "fetch"]]   # a list at a position: any of these
decision = "forbid"                    # or "ask", or "allow"
justification = "Darner pushes for you."
match = ["git push origin main"]       # must match, or the file is refused
not_match = ["git status"]             # must not
"""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from harness.rules.commands import read_line
from harness.rules.judging import Decision, Rule, Rules, matches

BUILTIN: Final = Path(__file__).with_name("default.toml")
_HEADER: Final = re.compile(r"^[ \t]*\[\[[ \t]*[\"']?prefix[\"']?[ \t]*\]\]", re.MULTILINE)

_Word = Annotated[str, StringConstraints(min_length=1)]
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Prefix(_Table):
    pattern: Annotated[list[_Word | Annotated[list[_Word], Field(min_length=1)]], Field(min_length=1)]
    decision: Annotated[Decision, Field(strict=False)]
    justification: _Text | None = None
    match: list[_Text] = []
    not_match: list[_Text] = []


class _File(_Table):
    builtin: bool = True
    """False: the rules that Darner brings are left out."""
    prefix: list[_Prefix] = []


class RulesRefused(Exception):
    """A file of rules cannot be used; the message names it, the line and what to change."""


def read_rules(place: Path | None, *, builtin: bool = True) -> Rules:
    """The rules of a file, or of all `*.toml` of a folder, and the built-in ones unless a file declines them.

    Raises `RulesRefused`.
    """
    try:
        files = [] if place is None else _files(place)
        read = [(path, *_read(path)) for path in files]
        if builtin and all(content.builtin for _, content, _ in read):
            read.insert(0, (BUILTIN, *_read(BUILTIN)))
    except OSError as error:
        raise RulesRefused(f"{error.filename}: the rules cannot be read: {error.strerror}") from error
    return Rules(tuple(rule for path, content, text in read for rule in _rules(path, content, text)))


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    found = sorted(place.glob("*.toml"))
    if not found:
        raise RulesRefused(f"{place}: there is no file of rules (*.toml) in this folder")
    return found


def _read(path: Path) -> tuple[_File, str]:
    try:
        text = path.read_bytes().decode()
        table = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RulesRefused(f"{path}: not a TOML file: {error}") from error
    try:
        return _File.model_validate(table), text
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        what = "is no word of a file of rules" if first["type"] == "extra_forbidden" else first["msg"]
        raise RulesRefused(_told(path, text, first["loc"], what)) from error


def _told(path: Path, text: str, where: Sequence[int | str], what: str) -> str:
    number = where[1] if len(where) > 1 and isinstance(where[1], int) else None
    if number is None:
        return f"{path}: {'.'.join(map(str, where))}: {what}"
    # Below a list's entry pydantic names the kinds that it tried, which say nothing to a person.
    return f"{_place(path, text, number)}: {'.'.join(map(str, where[2:3]))}: {what}"


def _rules(path: Path, content: _File, text: str) -> list[Rule]:
    rules = []
    for number, prefix in enumerate(content.prefix):
        rule = Rule(
            pattern=tuple((part,) if isinstance(part, str) else tuple(part) for part in prefix.pattern),
            decision=prefix.decision,
            justification=prefix.justification or "",
            source=_place(path, text, number),
        )
        _try_out(rule, prefix)
        rules.append(rule)
    return rules


def _place(path: Path, text: str, number: int) -> str:
    """Where the rule stands. TOML's reader tells no lines: the headers are counted, where that is certain."""
    headers = list(_HEADER.finditer(text))
    tables = tomllib.loads(text).get("prefix")
    if not isinstance(tables, list) or len(headers) != len(tables):
        return f"{path}, rule {number + 1}"
    return f"{path}:{text.count(chr(10), 0, headers[number].start()) + 1}"


def _try_out(rule: Rule, prefix: _Prefix) -> None:
    for example in prefix.match:
        if not _speaks_of(rule, example):
            raise RulesRefused(f"{rule.source}: the rule should match {example!r}, and does not")
    for example in prefix.not_match:
        if _speaks_of(rule, example):
            raise RulesRefused(f"{rule.source}: the rule should not match {example!r}, and does")


def _speaks_of(rule: Rule, line: str) -> bool:
    return any(matches(rule, command) for command in read_line(line).commands)
