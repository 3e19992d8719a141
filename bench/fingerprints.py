"""Whether findings keep their identity over generated rebases, and whether one is found in other code.

Each line of a generated file carries a number that follows it through all changes, so that it is known where
the anchored lines really are. The files are hard on purpose: they repeat whole lines and whole statements.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bench.figure import Figure
from handlers.review.diff import FileDiff
from handlers.review.findings import Reviewed
from handlers.review.fingerprints import Place, fingerprint
from handlers.review.standing import Fixed, Known, Moved, StillOpen, match
from harness.findings import Finding

REBASES: Final = 200
FINDINGS: Final = 5
"""In each rebase."""
KEPT_TARGET: Final = 0.95


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    """The same as long as it is the same line of code, wherever it stands and however it is indented."""
    text: str


Source = list[Line]


@dataclass(frozen=True, slots=True)
class Rebased:
    files: dict[str, Source]
    renames: dict[str, str]


class Author:
    """Writes files and changes them, by dice that always fall the same way."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self._next = 0

    def line(self, text: str) -> Line:
        self._next += 1
        return Line(self._next, text)

    def file(self) -> Source:
        lines = [self.line("import os"), self.line("import sys"), self.line("")]
        for _ in range(self.dice.randint(4, 9)):
            lines += self.function(is_method=False)
        for _ in range(self.dice.randint(0, 2)):
            lines.append(self.line(f"class {self.dice.choice(_NOUNS).title()}{self.dice.randint(1, 99)}:"))
            for _ in range(self.dice.randint(2, 4)):
                lines += [
                    Line(each.number, f"    {each.text}" if each.text else "") for each in self.function()
                ]
        return lines

    def function(self, *, is_method: bool = True) -> Source:
        first = "self, " if is_method else ""
        name = f"{self.dice.choice(_VERBS)}_{self.dice.choice(_NOUNS)}"
        if not is_method:
            name += f"_{self.dice.randint(1, 99)}"
        lines = [self.line(f"def {name}({first}{self.dice.choice(_NOUNS)}):")]
        for _ in range(self.dice.randint(3, 9)):
            lines += self.statement()
        return [*lines, self.line(f"    return {self.dice.choice(_NOUNS)}"), self.line("")]

    def statement(self) -> Source:
        one, other = self.dice.choice(_NOUNS), self.dice.choice(_NOUNS)
        kinds = (
            (f"    {one} = {self.dice.choice(_VERBS)}({other})",),
            (f"    if not {one}:", "        return None"),
            (f"    for {one} in {other}:", f"        {self.dice.choice(_VERBS)}({one})"),
            (f"    if {one} is None:", f"        raise ValueError({other!r})"),
            (f"    {one}.append({other})",),
        )
        return [self.line(text) for text in self.dice.choice(kinds)]


_NOUNS: Final = ("items", "total", "path", "user", "row", "count", "name", "value", "node", "queue")
_VERBS: Final = ("load", "parse", "merge", "check", "write", "close")


def _functions(lines: Source) -> list[tuple[int, int]]:
    """Begin and end of each function, ends exclusive."""
    begins = [at for at, line in enumerate(lines) if line.text.lstrip().startswith("def ")]
    heads = [at for at, line in enumerate(lines) if line.text.startswith("class ")]
    ends = sorted((*begins, *heads, len(lines)))
    return [(begin, next(end for end in ends if end > begin)) for begin in begins]


def _end_of_function(lines: Source, at: int) -> int:
    """Where the function of this line ends, exclusive: findings speak of one."""
    return next((end for begin, end in _functions(lines) if begin <= at < end), at + 1)


def insert(author: Author, lines: Source) -> Source:
    """New functions and statements between the old ones."""
    lines = list(lines)
    for _ in range(author.dice.randint(1, 3)):
        begin, end = author.dice.choice(_functions(lines))
        at = author.dice.randint(begin + 1, end - 1)
        while at > begin + 1 and lines[at - 1].text.rstrip().endswith(":"):
            at -= 1
        lines[at:at] = author.statement()
    if author.dice.random() < 0.5:
        tops = [each for each in _functions(lines) if not lines[each[0]].text.startswith(" ")]
        at = author.dice.choice(tops)[0]
        lines[at:at] = author.function(is_method=False)
    return lines


def move(author: Author, lines: Source) -> Source:
    """A function goes to another place."""
    tops = [each for each in _functions(lines) if not lines[each[0]].text.startswith(" ")]
    begin, end = author.dice.choice(tops)
    taken, rest = lines[begin:end], [*lines[:begin], *lines[end:]]
    targets = [each for each in _functions(rest) if not rest[each[0]].text.startswith(" ")]
    at = author.dice.choice(targets)[0] if targets else len(rest)
    return [*rest[:at], *taken, *rest[at:]]


def reindent(author: Author, lines: Source) -> Source:
    """A function's body goes below a condition."""
    begin, end = author.dice.choice(_functions(lines))
    indent = lines[begin].text[: -len(lines[begin].text.lstrip())] + "    "
    body = [Line(each.number, f"    {each.text}" if each.text else "") for each in lines[begin + 1 : end]]
    condition = author.line(f"{indent}if {author.dice.choice(_NOUNS)}:")
    return [*lines[: begin + 1], condition, *body, *lines[end:]]


def edit(author: Author, lines: Source) -> Source:
    """A few lines become other lines."""
    lines = list(lines)
    for _ in range(author.dice.randint(1, 4)):
        at = author.dice.randrange(len(lines))
        if lines[at].text.strip():
            indent = lines[at].text[: -len(lines[at].text.lstrip())]
            new = author.line(f"{indent}log({author.dice.choice(_NOUNS)!r}, {author.dice.randint(0, 999)})")
            is_head = lines[at].text.endswith(":")
            lines[at] = lines[at] if is_head else new
    return lines


def delete(author: Author, lines: Source) -> Source:
    """A function or some lines go."""
    begin, end = author.dice.choice(_functions(lines))
    if author.dice.random() < 0.5 and end - begin > 4:
        begin = author.dice.randint(begin + 1, end - 3)
        end = begin + author.dice.randint(1, 2)
    return [*lines[:begin], *lines[end:]]


OPERATIONS: Final[Sequence[Callable[[Author, Source], Source]]] = (insert, move, reindent, edit, delete)


def rebased(author: Author, files: dict[str, Source]) -> Rebased:
    """Two to five changes, and now and then a new name."""
    changed: dict[str, Source] = {}
    renames: dict[str, str] = {}
    for path, lines in files.items():
        for operation in author.dice.choices(OPERATIONS, k=author.dice.randint(2, 5)):
            if len(_functions(lines)) > 1:
                lines = operation(author, lines)
        if author.dice.random() < 0.25:
            renames[path] = f"moved/{path}"
        changed[renames.get(path, path)] = lines
    return Rebased(changed, renames)


@dataclass(slots=True)
class Tally:
    standing: int = 0
    """Findings whose lines are still there."""
    kept: int = 0
    gone: int = 0
    false: int = 0
    """Matches of other lines than the finding's."""


def text_of(lines: Source) -> str:
    return "".join(f"{line.text}\n" for line in lines)


def play(seed: int, tally: Tally) -> None:
    """One rebase: findings on a generated change, and what is said of them after it."""
    author = Author(seed)
    files = {f"part{number}.py": author.file() for number in range(2)}
    anchored: dict[str, list[int]] = {}
    known: list[Known] = []
    for number in range(FINDINGS):
        path = author.dice.choice(sorted(files))
        lines = files[path]
        at = author.dice.choice([at for at, line in enumerate(lines) if line.text.strip()])
        last = min(at + author.dice.choice((1, 1, 1, 2, 3)), _end_of_function(lines, at))
        finding = Finding(
            path=path,
            start_line=at + 1,
            end_line=last,
            severity="P1",
            confidence=0.9,
            title="A claim",
            why="Because.",
        )
        name = f"f{number}"
        anchored[name] = [line.number for line in lines[at:last] if line.text.strip()]
        known.append(Known(id=name, finding=finding, fingerprint=fingerprint(finding, text_of(lines))))
    after = rebased(author, files)
    reviewed = Reviewed(
        files={path: FileDiff(path=path, old_path=path, kind="modified") for path in after.files},
        new_texts={path: text_of(lines) for path, lines in after.files.items()},
        old_texts={},
    )
    matched = match(known, (), reviewed, renames=after.renames)
    for standing in matched.standings:
        place = standing.place if isinstance(standing, StillOpen | Moved) else None
        if place is None and not isinstance(standing, Fixed):
            raise TypeError(f"an open finding cannot be {standing}")
        _count(tally, anchored[standing.known.id], place, after)


def _count(tally: Tally, anchored: list[int], place: Place | None, after: Rebased) -> None:
    is_standing = any(_holds(lines, anchored) for lines in after.files.values())
    tally.standing += is_standing
    tally.gone += not is_standing
    if place is None:
        return
    lines = after.files[place.path][place.start_line - 1 : place.end_line]
    is_right = [line.number for line in lines if line.text.strip()] == anchored
    tally.kept += is_right
    tally.false += not is_right


def _holds(lines: Source, anchored: list[int]) -> bool:
    """Whether the anchored lines stand there, one below the other."""
    numbers = [line.number for line in lines if line.text.strip()]
    return any(
        numbers[at : at + len(anchored)] == anchored
        for at, number in enumerate(numbers)
        if number == anchored[0]
    )


async def measure() -> list[Figure]:
    """All figures of this file."""
    tally = Tally()
    for seed in range(REBASES):
        await asyncio.to_thread(play, seed, tally)
    kept = tally.kept / tally.standing
    false = tally.false / (tally.standing + tally.gone)
    told = f"{tally.standing} findings whose lines are there, {tally.gone} whose lines are gone"
    return [
        Figure("fingerprints.kept", kept, "share", target=">= 0.95", ok=kept >= KEPT_TARGET, note=told),
        Figure("fingerprints.false", false, "share", target="0", ok=tally.false == 0, note=told),
    ]
