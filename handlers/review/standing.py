"""What became of earlier findings in a new push, and what is new. Posts nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from handlers.review.diff import added_lines, removed_lines, renames_in
from handlers.review.findings import Reviewed
from handlers.review.fingerprints import (
    AROUND,
    LEAST_ALIKE,
    Fingerprint,
    Page,
    Place,
    find_in,
    likeness,
    overlap,
    place_of,
    words_of,
)
from harness.findings import CheckJudgement, Finding, FindingJudged, Refused, Side

LEAST_ALIKE_ELSEWHERE: Final = 0.5
"""How alike the surroundings of lines must be that are found in another file."""

State = Literal["open", "fixed", "withdrawn", "dismissed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A finding of an earlier review, as stored."""

    id: str
    finding: Finding
    fingerprint: Fingerprint
    state: State = "open"
    by_judgement: bool = False
    """Fixed because the agent said so: its lines may stand as they stood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StillOpen:
    known: Known
    place: Place | None
    """None where the lines have changed and the agent says that the problem has not, or where the file is no
    text."""
    again: Finding | None = None
    """As the new review reports it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Still open, in other lines or in another file."""

    known: Known
    place: Place
    again: Finding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    known: Known
    by_judgement: bool
    """Else: its lines are gone or changed."""
    why: str = ""
    """The agent's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopened:
    """It was fixed, and is back."""

    known: Known
    place: Place
    again: Finding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """The agent takes it back."""

    known: Known
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """It was closed, and stays so."""

    known: Known
    again: Finding | None = None
    """Reported once more, and not posted: people or the agent itself have decided on it."""


Standing = StillOpen | Moved | Fixed | Reopened | Withdrawn | Unchanged


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    standings: tuple[Standing, ...]
    """One for each known finding, in its order."""
    new: tuple[Finding, ...]
    """What no known finding says."""


def match(
    known: Sequence[Known],
    found: Sequence[Finding],
    reviewed: Reviewed,
    *,
    judged: Sequence[FindingJudged] = (),
    renames: Mapping[str, str] | None = None,
    changed: Collection[str] | None = None,
) -> Matched:
    """What became of `known`, given what the new review `found` and `judged`.

    `renames` are new paths by those of the last review, as `git diff` between both heads tells them; renames
    since the base are known anyway. `changed` are the paths whose patch is another one than at the last
    review (`patch_ids.changed_since`): only there can lines have come from another file. None: all.
    """
    return _Matching(reviewed, judged, renames or {}, changed).matched(known, found)


def judgement_checker(known: Sequence[Known], *, disputed: Collection[str] = ()) -> CheckJudgement:
    """The check for `judge_finding` in a turn that was told of `known`.

    `disputed` are the ids on which somebody disagrees and the agent has not had its second word yet: only
    there can it hold a finding with new evidence, once.
    """
    states = {each.id: each.state for each in known}

    def check(judged: FindingJudged) -> Refused | None:
        state = states.get(judged.id)
        if state is None:
            ids = ", ".join(name for name, each in states.items() if each == "open") or "none"
            return Refused(f"There is no finding {judged.id!r}. Open ones are: {ids}.")
        if state != "open":
            return Refused(f"The finding is {state} already; report it again if it is back.")
        if judged.verdict == "new_evidence" and judged.id not in disputed:
            return Refused("Nobody waits for new evidence on it: say still_there.")
        return None

    return check


class _Matching:
    """One comparison; keeps each text that it has looked into."""

    def __init__(
        self,
        reviewed: Reviewed,
        judged: Sequence[FindingJudged],
        renames: Mapping[str, str],
        changed: Collection[str] | None,
    ) -> None:
        self._reviewed = reviewed
        self._judged = {each.id: each for each in judged}
        self._renames = {**renames_in(tuple(reviewed.files.values())), **renames}
        self._changed = changed
        self._pages: dict[tuple[str, Side], Page] = {}

    def matched(self, known: Sequence[Known], found: Sequence[Finding]) -> Matched:
        places = {each.id: self._place_of(each) for each in known}
        again = self._reported_again(known, found, places)
        said = {number for number, _ in again.values()}
        return Matched(
            standings=tuple(
                self._standing(each, places[each.id], again[each.id][1] if each.id in again else None)
                for each in known
            ),
            new=tuple(finding for number, finding in enumerate(found) if number not in said),
        )

    def _standing(self, known: Known, place: Place | None, again: Finding | None) -> Standing:
        if again is not None:
            place = place_of(again)
        if known.state in ("withdrawn", "dismissed"):
            return Unchanged(known=known, again=again)
        if known.state == "fixed":
            if place is None or (known.by_judgement and again is None):
                return Unchanged(known=known)
            return Reopened(known=known, place=place, again=again)
        judged = self._judged.get(known.id)
        if judged is not None and judged.verdict == "withdrawn":
            return Withdrawn(known=known, why=judged.why)
        if judged is not None and judged.verdict == "fixed" and again is None:
            return Fixed(known=known, by_judgement=True, why=judged.why)
        if place is None:
            if self._is_unseen(known) or (judged is not None and judged.verdict != "fixed"):
                return StillOpen(known=known, place=None)
            return Fixed(known=known, by_judgement=False)
        if place in (place_of(known.finding), _trimmed(known)):
            return StillOpen(known=known, place=place, again=again)
        return Moved(known=known, place=place, again=again)

    def _is_unseen(self, known: Known) -> bool:
        """Whether nobody can say that its lines are gone: they never could be read, or cannot be any more."""
        mark = known.fingerprint
        path = self._renames.get(mark.path, mark.path)
        if not mark.lines:
            return self._is_there(path)
        texts = self._reviewed.new_texts
        return mark.side == "RIGHT" and path in texts and texts.get(path) is None

    def _is_there(self, path: str) -> bool:
        file = self._reviewed.files.get(path)
        return path in self._reviewed.new_texts if file is None else file.kind != "deleted"

    def _place_of(self, known: Known) -> Place | None:
        """Where the finding's lines are now."""
        mark = known.fingerprint
        path = self._renames.get(mark.path, mark.path)
        page = self._page(path, mark.side)
        at = find_in(page, mark)
        if at is not None:
            place = _place_at(page, at, mark, path)
            return place if mark.side == "RIGHT" or self._is_removed(page, at, mark, path) else None
        return self._elsewhere(mark, path) if mark.side == "RIGHT" and not mark.twins else None

    def _is_removed(self, page: Page, at: int, mark: Fingerprint, path: str) -> bool:
        """Whether the change still takes these old lines away."""
        file = self._reviewed.files.get(path)
        return file is not None and removed_lines(file).issuperset(page.numbers[at : at + len(mark.lines)])

    def _elsewhere(self, mark: Fingerprint, path: str) -> Place | None:
        """The one place in another file where the change has put the lines, with what stood around them."""
        found: list[Place] = []
        for other, file in self._reviewed.files.items():
            if other == path or (self._changed is not None and other not in self._changed):
                continue
            page = self._page(other, "RIGHT")
            for at in page.places(mark.lines):
                numbers = page.numbers[at : at + len(mark.lines)]
                around = page.around(at, len(mark.lines), reach=2 * AROUND)
                if (
                    likeness(mark.around, around) >= LEAST_ALIKE_ELSEWHERE
                    and added_lines(file).issuperset(numbers)
                ):  # fmt: skip
                    found.append(_place_at(page, at, mark, other))
        return found[0] if len(found) == 1 else None

    def _page(self, path: str, side: Side) -> Page:
        if (path, side) not in self._pages:
            self._pages[path, side] = Page(self._reviewed.text(path, side) or "")
        return self._pages[path, side]

    def _reported_again(
        self, known: Sequence[Known], found: Sequence[Finding], places: Mapping[str, Place | None]
    ) -> Mapping[str, tuple[int, Finding]]:
        """By the id of a known finding, the new one that says the same; the most alike pairs first."""
        pairs = [
            (alike, -at, -number, each.id)
            for at, each in enumerate(known)
            for number, finding in enumerate(found)
            if (alike := self._is_again(each, places[each.id], finding)) is not None
        ]
        again: dict[str, tuple[int, Finding]] = {}
        said: set[int] = set()
        for _, _, number, name in sorted(pairs, reverse=True):
            if name not in again and -number not in said:
                again[name] = (-number, found[-number])
                said.add(-number)
        return again

    def _is_again(self, known: Known, place: Place | None, finding: Finding) -> float | None:
        """How alike the words are, if the finding is on the known one's lines or what became of them."""
        mark = known.fingerprint
        alike, is_same_rule = _words_alike(mark, finding)
        if place is not None:
            is_other = bool(mark.rule) and bool(finding.rule) and not is_same_rule and alike < OTHER_PROBLEM
            return None if is_other or not overlap(place, place_of(finding)) else alike + is_same_rule
        path = self._renames.get(mark.path, mark.path)
        if (finding.path, finding.side) != (path, mark.side) or not (is_same_rule or alike >= SAME_PROBLEM):
            return None
        page = self._page(path, mark.side)
        around = page.around(*page.span(finding.start_line, finding.end_line), reach=2 * AROUND)
        is_near = likeness(mark.around, around) >= LEAST_ALIKE
        return alike + is_same_rule if is_near else None


OTHER_PROBLEM: Final = 0.2
"""Share of common words below which two findings on the same lines with two rules are two."""
SAME_PROBLEM: Final = 0.5
"""Share of common words from which on a finding on changed lines is the one that was there."""


def _words_alike(mark: Fingerprint, finding: Finding) -> tuple[float, bool]:
    """The share of common words of both titles, and whether both are of one rule."""
    words = set(words_of(finding.title))
    union = words.union(mark.words)
    rule = " ".join(words_of(finding.rule))
    return len(words.intersection(mark.words)) / len(union) if union else 0.0, bool(
        rule
    ) and rule == mark.rule


def _trimmed(known: Known) -> Place:
    """The finding's place without the blank lines at its ends."""
    mark, finding = known.fingerprint, known.finding
    start, end = finding.start_line + mark.lead, finding.end_line - mark.trail
    return Place(finding.path, finding.side, start, end)


def _place_at(page: Page, at: int, mark: Fingerprint, path: str) -> Place:
    last = page.numbers[at + len(mark.lines) - 1]
    return Place(path, mark.side, page.numbers[at], last)
