"""What of a pull request is read, in which groups, and what is not: decided before the model is asked."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from itertools import accumulate
from pathlib import PurePosixPath
from typing import Final

from handlers.review.attributes import Mark
from handlers.review.diff import FileDiff

GROUP_TOKENS: Final = 20_000
"""What is read at once: about as much as a person keeps in mind, and a model as well."""
BYTES_PER_TOKEN: Final = 4
LEAST_PART: Final = 400
"""Tokens below which reading the beginning of a large file is worth nothing."""


OUT_OF_BUDGET: Final = "the budget of this review was used up"
SKIM_PARTS: Final = 4
"""A file whose diff is longer than this part of the budget is skimmed first: its beginning is read."""


class Rank(IntEnum):
    """What is read first. The last three kinds are not read at all."""

    SOURCE = 0
    CONFIGURATION = 1
    TEST = 2
    OTHER = 3
    PROSE = 4
    GENERATED = 5
    VENDORED = 6
    BINARY = 7


@dataclass(frozen=True, slots=True)
class Reading:
    """A file that is read, perhaps only the beginning of its diff."""

    path: str
    rank: Rank
    tokens: int
    """Of the lines that are read."""
    lines: int
    """Of the hunks, from the first one's first line on."""
    of_lines: int

    @property
    def is_whole(self) -> bool:
        return self.lines == self.of_lines


@dataclass(frozen=True, slots=True)
class Group:
    """Files that are read together: of one directory, tests with what they test."""

    name: str
    """The directory, or `.`."""
    readings: tuple[Reading, ...]

    @property
    def tokens(self) -> int:
        return sum(reading.tokens for reading in self.readings)


@dataclass(frozen=True, slots=True)
class Unread:
    path: str
    reason: str
    """In words that finish the sentence "it was not read, for …"."""


@dataclass(frozen=True, slots=True)
class ReadingPlan:
    groups: tuple[Group, ...]
    """In the order of reading: what weighs most first."""
    unread: tuple[Unread, ...]
    """Files and rests of files, for the summary."""

    @property
    def tokens(self) -> int:
        return sum(group.tokens for group in self.groups)


def plan_reading(
    files: Sequence[FileDiff], *, budget: int, marked: Mapping[str, Mark] | None = None
) -> ReadingPlan:
    """Groups of the change's files within `budget` tokens of diff.

    `marked` is what `.gitattributes` says of them, by path.
    """
    marked = marked or {}
    ranks = {file.path: rank_of(file, marked.get(file.path)) for file in files}
    unread = [
        Unread(file.path, _why(ranks[file.path], marked.get(file.path)))
        for file in files
        if ranks[file.path] in _SKIPPED
    ]
    wanted = sorted(
        (file for file in files if ranks[file.path] not in _SKIPPED),
        key=lambda file: _weight(file, ranks[file.path]),
    )
    taken = _shared_out(wanted, ranks, budget)
    readings: list[Reading] = []
    for file in wanted:
        reading = taken.get(file.path)
        if reading is None:
            unread.append(Unread(file.path, OUT_OF_BUDGET))
            continue
        readings.append(reading)
        if not reading.is_whole:
            told = f"only {reading.lines:,} of its diff's {reading.of_lines:,} lines fit this review's budget"
            unread.append(Unread(file.path, told))
    return ReadingPlan(tuple(_grouped(readings)), tuple(unread))


def left_over(unread: Iterable[Unread]) -> frozenset[str]:
    """The files of which nothing was read only because the budget was used up: a next review can read on."""
    return frozenset(each.path for each in unread if each.reason == OUT_OF_BUDGET)


def _shared_out(wanted: Sequence[FileDiff], ranks: Mapping[str, Rank], budget: int) -> Mapping[str, Reading]:
    """What of each file is read, by path.

    A file that would take a large share of the budget is skimmed at first, so that no other one goes unseen
    for it; it gets more once all of its tier have had their turn. Code, its configuration and its tests come
    before everything else.
    """
    taken: dict[str, Reading] = {}
    left = budget
    skim = max(budget // SKIM_PARTS, LEAST_PART)
    code = [file for file in wanted if ranks[file.path] <= Rank.TEST]
    rest = [file for file in wanted if ranks[file.path] > Rank.TEST]
    for tier in (code, rest):
        for most in (skim, budget):
            for file in tier:
                before = taken.get(file.path)
                if before is not None and before.is_whole:
                    continue
                used = 0 if before is None else before.tokens
                reading = _within(file, ranks[file.path], min(used + left, most))
                if reading is not None and reading.tokens > used:
                    taken[file.path] = reading
                    left -= reading.tokens - used
    return taken


def rank_of(file: FileDiff, mark: Mark | None = None) -> Rank:
    """What kind of file it is, by its name and by what `.gitattributes` says."""
    path = file.path
    if file.is_binary:
        return Rank.BINARY
    if mark == "vendored":
        return Rank.VENDORED
    if mark in ("generated", "no diff"):
        return Rank.GENERATED
    if mark is None:
        if any(part in _VENDORED for part in PurePosixPath(path).parts[:-1]):
            return Rank.VENDORED
        if is_generated(path) or _is_minified(file):
            return Rank.GENERATED
    if is_test(path):
        return Rank.TEST
    return _BY_SUFFIX.get(PurePosixPath(path).suffix.casefold(), _rank_by_name(path))


def is_generated(path: str) -> bool:
    """Lock files, compiled and generated sources, snapshots.

    A short table in the spirit of https://github.com/github-linguist/linguist/blob/main/lib/linguist/generated.rb
    """
    name = PurePosixPath(path).name
    return name in _LOCKS or any(fnmatchcase(name, pattern) for pattern in _GENERATED)


def is_test(path: str) -> bool:
    """Whether the path is named as tests are in the usual languages."""
    pure = PurePosixPath(path)
    return _TEST_NAME.search(pure.name) is not None or any(part in _TEST_PLACES for part in pure.parts[:-1])


def subject_of(path: str) -> str:
    """What file and test are both named after: `money` for `money.ts` and `money.test.ts`."""
    stem = PurePosixPath(path).name.partition(".")[0]
    return re.sub(r"^(?:test_|tests_)|(?:_test|_spec|-test|-spec|Tests?|Spec|IT)$", "", stem).casefold()


def _why(rank: Rank, mark: Mark | None) -> str:
    return _SKIPPED[rank] if mark is None or rank is Rank.BINARY else _SAID[mark]


_SAID: Final[Mapping[Mark, str]] = {
    "generated": "it is generated, as `.gitattributes` says",
    "vendored": "it is somebody else's code, as `.gitattributes` says",
    "no diff": "`.gitattributes` lets no diff of it be shown",
}
_SKIPPED: Final = {
    Rank.GENERATED: "it is generated",
    Rank.VENDORED: "it is somebody else's code",
    Rank.BINARY: "it is binary",
}
_LOCKS: Final = frozenset(
    (
        "Cargo.lock",
        "Gemfile.lock",
        "Pipfile.lock",
        "bun.lock",
        "bun.lockb",
        "composer.lock",
        "flake.lock",
        "go.sum",
        "gradle.lockfile",
        "mix.lock",
        "npm-shrinkwrap.json",
        "package-lock.json",
        "pdm.lock",
        "pnpm-lock.yaml",
        "poetry.lock",
        "pubspec.lock",
        "uv.lock",
        "yarn.lock",
    )
)
_GENERATED: Final = (
    "*.min.js",
    "*.min.css",
    "*.map",
    "*_pb2.py",
    "*_pb2.pyi",
    "*_pb2_grpc.py",
    "*.pb.go",
    "*.pb.cc",
    "*.pb.h",
    "*_generated.go",
    "zz_generated.*",
    "*.g.dart",
    "*.freezed.dart",
    "*.designer.cs",
    "*.Designer.cs",
    "*.snap",
    "*.lock",
    "*.svg",
)
_VENDORED: Final = frozenset(
    ("vendor", "node_modules", "third_party", "third-party", "bower_components", "Godeps", "Pods")
)
_TEST_PLACES: Final = frozenset(("test", "tests", "__tests__", "spec", "specs", "testdata", "e2e"))
_TEST_NAME: Final = re.compile(
    r"^(?:test_|tests_|conftest\.py$)|(?:[._-](?:test|spec)s?|(?<=[a-z0-9])(?:Tests?|Spec|IT))\.[^.]+$"
)
_BY_SUFFIX: Final[Mapping[str, Rank]] = {
    **dict.fromkeys((".md", ".rst", ".txt", ".adoc"), Rank.PROSE),
    **dict.fromkeys(
        (".yml", ".yaml", ".toml", ".ini", ".cfg", ".tf", ".sql", ".dockerfile", ".gradle", ".bzl", ".nix"),
        Rank.CONFIGURATION,
    ),
    **dict.fromkeys((".json", ".xml", ".csv", ".tsv", ".html", ".css", ".scss", ".less"), Rank.OTHER),
}
_CONFIGURATIONS: Final = frozenset(("Dockerfile", "Makefile", "CODEOWNERS", "Jenkinsfile", "Procfile"))
_LONGEST_LINE: Final = 1_000


def _rank_by_name(path: str) -> Rank:
    pure = PurePosixPath(path)
    if pure.name in _CONFIGURATIONS or pure.name.startswith("."):
        return Rank.CONFIGURATION
    return Rank.SOURCE if pure.suffix else Rank.OTHER


def _is_minified(file: FileDiff) -> bool:
    """Most of what was added stands in lines that nobody wrote by hand."""
    added = [len(line) for hunk in file.hunks for line in hunk.lines if line.startswith("+")]
    return 2 * sum(length for length in added if length > _LONGEST_LINE) > sum(added)


_RISKY: Final = re.compile(
    r"auth|login|session|token|secret|crypt|password|permission|payment|billing|migration|security|sandbox",
    re.IGNORECASE,
)


def _weight(file: FileDiff, rank: Rank) -> tuple[int, bool, int, str]:
    """Sorts what is read first to the front: by kind, by risk, and smaller changes before larger ones."""
    return (rank, _RISKY.search(file.path) is None, file.changed_lines, file.path)


def _within(file: FileDiff, rank: Rank, left: int) -> Reading | None:
    """As many of the diff's first lines as fit; None if that is not worth while."""
    costs = [len(line) + 1 for hunk in file.hunks for line in hunk.lines]
    head = len(file.path) + 40 * (len(file.hunks) + 1)
    whole = (head + sum(costs)) // BYTES_PER_TOKEN
    if whole <= left:
        return Reading(file.path, rank, whole, len(costs), len(costs))
    if left < LEAST_PART:
        return None
    ends = [*accumulate(costs, initial=head)]
    taken = bisect_right(ends, left * BYTES_PER_TOKEN) - 1
    return Reading(file.path, rank, ends[taken] // BYTES_PER_TOKEN, taken, len(costs)) if taken > 0 else None


def _grouped(readings: Sequence[Reading]) -> list[Group]:
    """Readings by directory, with tests at what they test; large directories in several groups.

    `readings` and groups are in the order of reading.
    """
    homes: dict[str, str] = {}
    for reading in readings:
        if reading.rank is not Rank.TEST:
            homes.setdefault(subject_of(reading.path), str(PurePosixPath(reading.path).parent))
    rooms: dict[str, list[Reading]] = {}
    for reading in readings:
        own = str(PurePosixPath(reading.path).parent)
        is_test_here = reading.rank is Rank.TEST
        home = homes.get(subject_of(reading.path), own) if is_test_here else own
        rooms.setdefault(home, []).append(reading)
    groups = [Group(name, part) for name, inside in rooms.items() for part in _parts(_beside(inside))]
    return sorted(groups, key=lambda group: min(each.rank for each in group.readings))


def _beside(readings: Iterable[Reading]) -> list[Reading]:
    """Each test behind the file that it is for."""
    first: dict[str, int] = {}
    readings = list(readings)
    for at, reading in enumerate(readings):
        first.setdefault(subject_of(reading.path), at)
    return sorted(readings, key=lambda reading: (first[subject_of(reading.path)], reading.rank))


def _parts(readings: Sequence[Reading]) -> list[tuple[Reading, ...]]:
    parts: list[list[Reading]] = [[]]
    used = 0
    for reading in readings:
        if parts[-1] and used + reading.tokens > GROUP_TOKENS:
            parts.append([])
            used = 0
        parts[-1].append(reading)
        used += reading.tokens
    return [tuple(part) for part in parts]
