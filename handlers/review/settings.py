"""When pull requests are reviewed, and how: what the operator allows, and what a repository wants of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Final

from pydantic import Field, StrictBool, StringConstraints

from handlers.globs import is_among
from handlers.review.selection import MOST_INLINE, Limits
from handlers.written import Written, WrittenChoice, WrittenPattern, WrittenPatterns
from harness.findings import Severity

LARGEST_FILES: Final = 300
LARGEST_LINES: Final = 20_000
"""Added and removed. A larger pull request is reviewed only when somebody asks."""


class ReviewMode(StrEnum):
    """Each allows what stands before it."""

    OFF = "off"
    ON_DEMAND = "on-demand"
    """When somebody writes `review`."""
    AUTO = "auto"
    """Unasked: when a pull request is opened, becomes ready, or gets new commits."""


@dataclass(frozen=True, slots=True)
class PathRule:
    """What is said to the reviewer about some paths."""

    paths: tuple[str, ...]
    say: str = ""
    at_most: Severity | None = None
    """No finding there is told as graver than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSettings:
    """A repository's wishes."""

    mode: ReviewMode = ReviewMode.ON_DEMAND
    """A repository that says nothing has not opted in."""
    drafts: bool = False
    include: tuple[str, ...] = ()
    """Only files among these; empty: all."""
    exclude: tuple[str, ...] = ()
    ignored_authors: tuple[str, ...] = ()
    """Logins, as patterns: `*[bot]`."""
    required_labels: tuple[str, ...] = ()
    """One of them must be there; empty: none needs to."""
    ignored_labels: tuple[str, ...] = ()
    ignored_titles: tuple[str, ...] = ()
    """Patterns: `WIP*`, in any case."""
    most_files: int = LARGEST_FILES
    most_lines: int = LARGEST_LINES
    limits: Limits = field(default_factory=Limits)
    blocking: Severity | None = None
    """An open finding of this severity or a graver one makes the check run fail; None: none does."""
    rules: tuple[PathRule, ...] = ()

    def reviews(self, path: str) -> bool:
        """Whether a file of this path is looked at."""
        is_in = not self.include or is_among(path, self.include)
        return is_in and not is_among(path, self.exclude)

    def rules_for(self, paths: Sequence[str]) -> tuple[PathRule, ...]:
        """Those about any of the paths."""
        return tuple(rule for rule in self.rules if any(is_among(path, rule.paths) for path in paths))

    def at_most(self, path: str) -> Severity | None:
        """The gravest that a finding there may be; None: any."""
        named = [rule.at_most for rule in self.rules if rule.at_most and is_among(path, rule.paths)]
        return max(named, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A pull request that may be reviewed unasked."""

    author: str
    title: str
    labels: tuple[str, ...]
    is_draft: bool
    is_open: bool = True


def why_not_unasked(candidate: Candidate, settings: ReviewSettings, mode: ReviewMode) -> str | None:
    """Why it is not reviewed by itself, as a sentence; None when it is. `mode` is what holds after all."""
    if mode is ReviewMode.OFF:
        return "Reviews are off here."
    if mode is ReviewMode.ON_DEMAND:
        return "Reviews are made on demand here: somebody has to ask for one."
    if not candidate.is_open:
        return "The pull request is closed."
    if candidate.is_draft and not settings.drafts:
        return "The pull request is a draft."
    if _is_one_of(candidate.author, settings.ignored_authors):
        return f"`review.authors.ignore` names {candidate.author}."
    if _is_one_of(candidate.title, settings.ignored_titles):
        return "`review.titles.ignore` matches the title."
    if ignored := next((name for name in candidate.labels if name in settings.ignored_labels), None):
        return f"`review.labels.ignore` names the label {ignored}."
    if settings.required_labels and not set(candidate.labels) & set(settings.required_labels):
        return f"It has none of the labels that `review.labels.require` names: {_listed(settings)}."
    return None


def why_too_large(files: int, lines: int, settings: ReviewSettings) -> str | None:
    """Why a pull request of this size is not reviewed unasked; None when it is."""
    if files > settings.most_files:
        return f"It changes {files} files; unasked, at most {settings.most_files} are reviewed."
    if lines > settings.most_lines:
        return f"It changes {lines} lines; unasked, at most {settings.most_lines} are reviewed."
    return None


def _is_one_of(text: str, patterns: tuple[str, ...]) -> bool:
    # A bot's login ends in brackets, which a pattern would read as a choice of characters.
    folded = text.casefold().replace("[", "(").replace("]", ")")
    return any(
        fnmatchcase(folded, pattern.casefold().replace("[", "(").replace("]", ")")) for pattern in patterns
    )


def _listed(settings: ReviewSettings) -> str:
    return ", ".join(settings.required_labels)


class _Ignored(Written):
    ignore: WrittenPatterns = ()


class _Labels(Written):
    require: WrittenPatterns = ()
    ignore: WrittenPatterns = ()


class _Largest(Written):
    files: Annotated[int, Field(strict=True, ge=1, le=3000)] = LARGEST_FILES
    lines: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = LARGEST_LINES


class _Rule(Written):
    paths: Annotated[tuple[WrittenPattern, ...], Field(min_length=1, max_length=100)]
    say: Annotated[str, StringConstraints(strict=True, max_length=2000)] = ""
    at_most: Severity | None = None


class WrittenReview(Written):
    """The section `review` of `.github/darner.yml`."""

    mode: ReviewMode = ReviewMode.ON_DEMAND
    drafts: StrictBool = False
    paths: WrittenChoice = WrittenChoice()
    authors: _Ignored = _Ignored()
    labels: _Labels = _Labels()
    titles: _Ignored = _Ignored()
    largest: _Largest = _Largest()
    inline: Annotated[int, Field(strict=True, ge=0, le=30)] = MOST_INLINE
    annotations: tuple[Severity, ...] = ("P3",)
    confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Limits().least_confidence
    blocking: Severity | None = None
    rules: Annotated[tuple[_Rule, ...], Field(max_length=50)] = ()

    @property
    def settings(self) -> ReviewSettings:
        return ReviewSettings(
            mode=self.mode,
            drafts=self.drafts,
            include=self.paths.include,
            exclude=self.paths.exclude,
            ignored_authors=self.authors.ignore,
            required_labels=self.labels.require,
            ignored_labels=self.labels.ignore,
            ignored_titles=self.titles.ignore,
            most_files=self.largest.files,
            most_lines=self.largest.lines,
            limits=Limits(
                inline=self.inline,
                quiet=frozenset(self.annotations),
                least_confidence=self.confidence,
            ),
            blocking=self.blocking,
            rules=tuple(PathRule(rule.paths, rule.say.strip(), rule.at_most) for rule in self.rules),
        )
