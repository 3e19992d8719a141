"""What is posted of a review's findings, where, and why not the rest. Writes no sentence on GitHub."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from handlers.review.anchors import Anchored, OutOfDiff
from handlers.review.findings import Reviewed
from handlers.review.fingerprints import Place, overlap, place_of
from handlers.review.suggestions import Suggestion, suggest
from harness.findings import Finding, Severity

MOST_INLINE: Final = 8


@dataclass(frozen=True, slots=True)
class Candidate:
    id: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class ForeignComment:
    """What somebody else has written on lines of the pull request."""

    author: str
    is_bot: bool
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A repository's choice of how much is said, and how loudly."""

    inline: int = MOST_INLINE
    """Comments on lines in one review."""
    quiet: frozenset[Severity] = frozenset(("P3",))
    """Severities that become annotations of the check run instead of comments."""
    least_confidence: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Inline:
    """A comment on lines."""

    candidate: Candidate
    anchored: Anchored
    suggestion: str = ""
    """The block that may follow the text; empty: none applies exactly."""
    also: tuple[Place, ...] = ()
    """Where the same was found again."""
    merged: tuple[str, ...] = ()
    """The ids of those findings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """An annotation of the check run."""

    candidate: Candidate
    also: tuple[Place, ...] = ()
    merged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Summarised:
    """A line of the summary, with a permalink."""

    candidate: Candidate
    reason: str
    """In words that finish the sentence "it is not shown on its line, for …"."""
    also: tuple[Place, ...] = ()
    merged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    candidate: Candidate
    reason: str
    """In words that finish the sentence "it was not posted, for …"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Every candidate is in one of these, or merged into one that is; what weighs most stands first."""

    inline: tuple[Inline, ...]
    quiet: tuple[Quiet, ...]
    summarised: tuple[Summarised, ...]
    dropped: tuple[Dropped, ...]

    def reasons(self) -> Mapping[str, str]:
        """For `why`: by id, what became of each finding."""
        told = {each.candidate.id: "posted on its lines" for each in self.inline}
        told |= {each.candidate.id: "an annotation of the check run, for its severity" for each in self.quiet}
        told |= {each.candidate.id: f"in the summary, for {each.reason}" for each in self.summarised}
        told |= {each.candidate.id: f"not posted, for {each.reason}" for each in self.dropped}
        shown: tuple[Inline | Quiet | Summarised, ...] = (*self.inline, *self.quiet, *self.summarised)
        for one in shown:
            told |= dict.fromkeys(one.merged, f"told with {one.candidate.id}, which says the same")
        return told


def select(
    candidates: Sequence[Candidate],
    reviewed: Reviewed,
    *,
    foreign: Sequence[ForeignComment] = (),
    limits: Limits | None = None,
) -> Selection:
    """What becomes of each candidate. Equal ids are one finding, reported twice (`fingerprints.name_of`)."""
    limits = limits or Limits()
    dropped: list[Dropped] = []
    kept: list[Candidate] = []
    for candidate in sorted({each.id: each for each in candidates}.values(), key=_order):
        reason = _reason_to_drop(candidate, reviewed, foreign, limits)
        if reason:
            dropped.append(Dropped(candidate=candidate, reason=reason))
        else:
            kept.append(candidate)
    inline: list[Inline] = []
    quiet: list[Quiet] = []
    summarised: list[Summarised] = []
    for same in _merged(kept):
        first, *rest = same
        places = dict.fromkeys(place_of(each.finding) for each in same)
        also = tuple(place for place in places if not overlap(place, place_of(first.finding)))
        merged = tuple(each.id for each in rest)
        placed = reviewed.anchor(first.finding)
        is_quiet = first.finding.severity in limits.quiet
        if is_quiet and first.finding.side == "RIGHT":
            quiet.append(Quiet(candidate=first, also=also, merged=merged))
            continue
        reason = placed.reason if isinstance(placed, OutOfDiff) else ""
        if is_quiet and not reason:
            reason = "a check run cannot show remarks on removed lines"
        if not reason and len(inline) >= limits.inline:
            reason = f"a review has at most {limits.inline} comments on lines"
        if reason or isinstance(placed, OutOfDiff):
            summarised.append(Summarised(candidate=first, reason=reason, also=also, merged=merged))
            continue
        block = _suggestion(first.finding, placed, reviewed)
        inline.append(Inline(candidate=first, anchored=placed, suggestion=block, also=also, merged=merged))
    return Selection(
        inline=tuple(inline), quiet=tuple(quiet), summarised=tuple(summarised), dropped=tuple(dropped)
    )


def weight(finding: Finding) -> float:
    """Severity times confidence: what is shown first."""
    return _WEIGHTS[finding.severity] * finding.confidence


_WEIGHTS: Final[Mapping[Severity, int]] = {"P0": 8, "P1": 4, "P2": 2, "P3": 1}


def _order(candidate: Candidate) -> tuple[float, str, int, str]:
    return (-weight(candidate.finding), candidate.finding.path, candidate.finding.start_line, candidate.id)


def _reason_to_drop(
    candidate: Candidate, reviewed: Reviewed, foreign: Iterable[ForeignComment], limits: Limits
) -> str:
    finding = candidate.finding
    if finding.confidence < limits.least_confidence:
        return f"its confidence of {finding.confidence:.2f} is below {limits.least_confidence:.2f}"
    placed = reviewed.anchor(finding)
    for comment in foreign:
        if comment.is_bot and _is_there(comment.place, finding, placed):
            return f"{comment.author} has already commented on these lines"
    return ""


def _is_there(place: Place, finding: Finding, placed: Anchored | OutOfDiff) -> bool:
    if isinstance(placed, Anchored):
        return overlap(place, Place(placed.path, placed.side, placed.first_line, placed.line))
    return overlap(place, place_of(finding))


def _merged(candidates: Iterable[Candidate]) -> list[list[Candidate]]:
    """Candidates that say the same, or break one rule on the same lines; the weightiest of each first."""
    same: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in candidates:
        finding = candidate.finding
        there = (
            claim
            for claim, (first, *_) in same.items()
            if finding.rule
            and claim[0] == finding.rule.casefold()
            and overlap(place_of(first.finding), place_of(finding))
        )
        same.setdefault(next(there, _claim_of(finding)), []).append(candidate)
    return list(same.values())


def _claim_of(finding: Finding) -> tuple[str, str]:
    """Two findings with equal claims differ in their place only."""
    return finding.rule.casefold(), " ".join(re.findall(r"[^\W_]+|_", finding.title.casefold()))


def _suggestion(finding: Finding, placed: Anchored, reviewed: Reviewed) -> str:
    offered = suggest(finding, placed, reviewed.text(finding.path, finding.side))
    return offered.block if isinstance(offered, Suggestion) else ""
