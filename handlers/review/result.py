"""What a review's turn has come to, as data: made beside the diff, decided on without it."""

from dataclasses import dataclass, field, replace
from typing import Final, Literal, assert_never

from handlers.review.findings import Reviewed
from handlers.review.fingerprints import Fingerprint, Place, fingerprint
from handlers.review.plan import Unread
from handlers.review.selection import Selection
from handlers.review.standing import Fixed, Moved, Reopened, Standing, StillOpen, Unchanged, Withdrawn
from harness.findings import Finding

NOTHING: Final = Selection(inline=(), quiet=(), summarised=(), dropped=())

Becoming = Literal["open", "moved", "reopened", "fixed", "withdrawn", "unchanged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Became:
    """What became of one earlier finding."""

    id: str
    what: Becoming
    finding: Finding
    """As it is now: its lines are those of the reviewed head."""
    fingerprint: Fingerprint
    why: str = ""
    """The agent's words, where it judged."""
    by_judgement: bool = False
    holds: bool = False
    """Somebody disagrees, and the agent has shown that it holds: its second and last word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewResult:
    """All of a review that anything is decided by afterwards."""

    verdict: Literal["reviewed", "unchanged", "too_large", "judged"]
    """`unchanged`: nothing was read, for every patch is known. `judged`: only what somebody disagrees on."""
    patches: dict[str, str] = field(default_factory=dict)
    """Patch ids by path, of the whole change."""
    files_read: int = 0
    unread: tuple[Unread, ...] = ()
    selection: Selection = field(default_factory=lambda: NOTHING)
    """Of what no earlier finding says."""
    fingerprints: dict[str, Fingerprint] = field(default_factory=dict)
    """Of everything in `selection`, by id."""
    became: tuple[Became, ...] = ()
    note: str = ""
    """Why nothing was read, or that it was cut short."""


def became(standing: Standing, reviewed: Reviewed) -> Became:
    known = standing.known
    match standing:
        case StillOpen(place=place, again=again):
            return _at(standing, place, again, reviewed, "open")
        case Moved(place=place, again=again):
            return _at(standing, place, again, reviewed, "moved")
        case Reopened(place=place, again=again):
            return _at(standing, place, again, reviewed, "reopened")
        case Fixed(by_judgement=by_judgement, why=why):
            return Became(
                id=known.id,
                what="fixed",
                finding=known.finding,
                fingerprint=known.fingerprint,
                why=why,
                by_judgement=by_judgement,
            )
        case Withdrawn(why=why):
            return Became(
                id=known.id, what="withdrawn", finding=known.finding, fingerprint=known.fingerprint, why=why
            )
        case Unchanged():
            return Became(id=known.id, what="unchanged", finding=known.finding, fingerprint=known.fingerprint)
        case _:
            assert_never(standing)


def _at(
    standing: StillOpen | Moved | Reopened,
    place: Place | None,
    again: Finding | None,
    reviewed: Reviewed,
    what: Becoming,
) -> Became:
    """Its identity is taken anew from where it stands: the next push is compared with this one."""
    known = standing.known
    finding, mark = known.finding, known.fingerprint
    if place is not None:
        finding = replace(
            finding,
            path=place.path,
            side=place.side,
            start_line=place.start_line,
            end_line=place.end_line,
            # What was proposed was for other lines.
            replacement=again.replacement if again is not None else finding.replacement,
        )
        text = reviewed.text(place.path, place.side)
        if text is not None:
            mark = fingerprint(finding, text)
    return Became(id=known.id, what=what, finding=finding, fingerprint=mark)
