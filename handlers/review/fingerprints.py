"""The identity of findings in a text: found again after any rebase, and never found in other code.

A finding is known by the lines it stands on and by their surroundings, both without white space: neither line
numbers nor indentation nor commits count, so rebases and force-pushes change nothing. Lines that a file holds
more than once are told apart by their surroundings, each of them with all of its twins in view; where that
leaves a doubt, the finding is not found: telling it again is better than telling it of other code.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from pydantic import TypeAdapter

from harness.findings import Finding, Side

AROUND: Final = 8
"""Lines on either side of the anchored ones that count as their surroundings."""
MOST_TWINS: Final = 40
LEAST_ALIKE: Final = 0.4
"""How alike surroundings must be where lines alone do not tell, from 0 to 1."""
LEAST_MOVED: Final = 0.15
"""The same for lines that both texts hold once."""
MARGIN: Final = 0.05
"""How much more alike than any other a place must be, where places have come or gone."""
TELLING_LENGTH: Final = 20
"""Characters from which on lines that both texts hold once need no surroundings."""
_SCOPES: Final = 3
_SAME: Final = 1 - 1e-9
"""How alike the same surroundings are, rounding aside: they leave no doubt, unless they are there twice."""
_SCOPE_SHARE: Final = 0.4


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around some lines: a digest for each line that has words in it."""

    before: tuple[str, ...]
    """Nearest first, as in `after`."""
    after: tuple[str, ...]
    scopes: tuple[str, ...]
    """The lines above that are indented less, innermost first: the function, the class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Stored with a finding. Holds no code, only digests."""

    path: str
    side: Side
    lines: tuple[str, ...]
    """The anchored lines that are not blank."""
    length: int
    """Characters in them that are not white space."""
    lead: int
    """Lines from the finding's first line to the first of `lines`: the blank ones above."""
    trail: int
    """Lines from the last of `lines` to the finding's last line."""
    around: Surroundings
    twins: tuple[Surroundings, ...] = ()
    """The surroundings of the file's other places with the same lines, in order."""
    rank: int = 0
    """How many of the twins stand above."""
    words: tuple[str, ...] = ()
    """Of the title, sorted."""
    rule: str = ""


FingerprintAdapter: Final[TypeAdapter[Fingerprint]] = TypeAdapter(Fingerprint)


@dataclass(frozen=True, slots=True)
class Place:
    """Lines of one side of a file, from 1, both included."""

    path: str
    side: Side
    start_line: int
    end_line: int


def place_of(finding: Finding) -> Place:
    return Place(finding.path, finding.side, finding.start_line, finding.end_line)


def overlap(one: Place, other: Place) -> bool:
    """Whether both have a line in common."""
    return (
        (one.path, one.side) == (other.path, other.side)
        and one.start_line <= other.end_line
        and other.start_line <= one.end_line
    )


def fingerprint(finding: Finding, text: str | None) -> Fingerprint:
    """The finding's identity in `text`, the side of the file that its lines count in.

    A finding on blank lines is known by the next line that is not. In a file that is no text it has no lines,
    and cannot be looked for.
    """
    page = Page(text or "")
    first, count = page.span(finding.start_line, finding.end_line)
    lines = tuple(page.digests[first : first + count])
    twins = [place for place in page.places(lines) if place != first][:MOST_TWINS]
    return Fingerprint(
        path=finding.path,
        side=finding.side,
        lines=lines,
        length=sum(page.lengths[first : first + count]),
        lead=page.numbers[first] - finding.start_line if count else 0,
        trail=finding.end_line - page.numbers[first + count - 1] if count else 0,
        around=page.around(first, count),
        twins=tuple(page.around(place, count) for place in twins),
        rank=sum(1 for place in twins if place < first),
        words=words_of(finding.title),
        rule=" ".join(words_of(finding.rule)),
    )


def name_of(mark: Fingerprint) -> str:
    """A short name for a new finding, for people and for `judge_finding`; stored from then on."""
    parts = (mark.path, mark.side, *mark.lines, "", *mark.around.before, "", *mark.around.after, *mark.words)
    told = "\0".join((*parts, str(mark.rank), mark.rule))
    return blake2b(told.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def words_of(text: str) -> tuple[str, ...]:
    """The words that tell one problem from another, sorted."""
    return tuple(sorted({word for word in _WORD.findall(text.casefold()) if word not in _EMPTY_WORDS}))


_WORD: Final = re.compile(r"[^\W_]{3,}")
_EMPTY_WORDS: Final = frozenset(
    ("the", "and", "for", "are", "not", "but", "can", "may", "with", "when", "that", "this", "from", "into")
)


class Page:
    """A text as fingerprints see it: its lines that are not blank, without their white space."""

    def __init__(self, text: str) -> None:
        self.numbers: list[int] = []
        """Line numbers, from 1; all other lists are parallel to this one."""
        self.digests: list[str] = []
        self.lengths: list[int] = []
        self._parents: list[int | None] = []
        """Index of the nearest line above that has words and is indented less."""
        self._tells: list[bool] = []
        self._found: dict[str, list[int]] = {}
        open_scopes: list[tuple[int, int]] = []  # indentation and index, outermost first
        for number, line in enumerate(text.split("\n"), start=1):
            dense = "".join(line.split())
            if not dense:
                continue
            digest = blake2b(dense.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
            self._found.setdefault(digest, []).append(len(self.numbers))
            self.numbers.append(number)
            self.digests.append(digest)
            self.lengths.append(len(dense))
            indent = _indentation(line)
            tells = _WORDY.search(dense) is not None
            # A brace on a line of its own ends no scope: in C it begins one.
            while tells and open_scopes and open_scopes[-1][0] >= indent:
                open_scopes.pop()
            parents = (index for outer, index in reversed(open_scopes) if outer < indent)
            self._parents.append(next(parents, None))
            self._tells.append(tells)
            if tells:
                open_scopes.append((indent, len(self.numbers) - 1))

    def span(self, start_line: int, end_line: int) -> tuple[int, int]:
        """Index of the first line with content in these lines (else behind, else above), and how many."""
        first, behind = bisect_left(self.numbers, start_line), bisect_right(self.numbers, end_line)
        if first < behind or not self.numbers:
            return first, behind - first
        return min(first, len(self.numbers) - 1), 1

    def places(self, lines: Sequence[str]) -> list[int]:
        """Indices where these lines stand one below the other."""
        if not lines:
            return []
        wanted = list(lines)
        return [at for at in self._found.get(wanted[0], []) if self.digests[at : at + len(wanted)] == wanted]

    def around(self, first: int, count: int, *, reach: int = AROUND) -> Surroundings:
        """The surroundings of `count` lines from index `first` on."""
        return Surroundings(
            self._telling(range(first - 1, -1, -1), reach),
            self._telling(range(first + count, len(self.digests)), reach),
            tuple(self._scopes(first)) if count else (),
        )

    def _telling(self, indices: Iterable[int], most: int) -> tuple[str, ...]:
        told: list[str] = []
        for at in indices:
            if self._tells[at]:
                told.append(self.digests[at])
            if len(told) == most:
                break
        return tuple(told)

    def _scopes(self, first: int) -> list[str]:
        scopes: list[str] = []
        parent = self._parents[first]
        while parent is not None and len(scopes) < _SCOPES:
            scopes.append(self.digests[parent])
            parent = self._parents[parent]
        return scopes


_WORDY: Final = re.compile(r"[^\W_]{2}")


def _indentation(line: str) -> int:
    return len(line.expandtabs(8)) - len(line.expandtabs(8).lstrip())


def find_in(page: Page, known: Fingerprint) -> int | None:
    """Index of the place in `page` that is the finding's; None where it is gone, or cannot be told apart."""
    count = len(known.lines)
    places = page.places(known.lines)
    if not places:
        return None
    seen = {place: page.around(place, count, reach=2 * AROUND) for place in places}
    is_cut = max(len(places), len(known.twins) + 1) > MOST_TWINS
    if len(places) > MOST_TWINS:
        best = sorted(places, key=lambda place: -likeness(known.around, seen[place]))[: MOST_TWINS + 1]
        places = sorted(best)
    if len(places) == 1 and not known.twins:
        is_telling = known.length >= TELLING_LENGTH
        only = places[0]
        return only if is_telling or likeness(known.around, seen[only]) >= LEAST_MOVED else None
    # Each place goes to whichever of the old ones it is most like; to own and twins at once, to neither.
    rivals = [*known.twins[: known.rank], known.around, *known.twins[known.rank :]]
    scores = {
        (old, new): likeness(around, seen[place])
        for old, around in enumerate(rivals)
        for new, place in enumerate(places)
    }
    found = _own_place(scores, known.rank, same_count=len(rivals) == len(places) and not is_cut)
    if found is None or scores[known.rank, found] < LEAST_ALIKE:
        return None
    return places[found]


def _own_place(scores: Mapping[tuple[int, int], float], own: int, *, same_count: bool) -> int | None:
    """The new place that falls to `own` when the most alike pairs are joined first.

    As good as equal ones keep their order if no place has come or gone; else nobody can tell, and it is None.
    """
    rivals = {old for old, _ in scores}
    free = {new for _, new in scores}
    for (old, new), score in sorted(
        scores.items(), key=lambda each: (-each[1], abs(each[0][0] - each[0][1]))
    ):
        if old not in rivals or new not in free:
            continue
        if old == own:
            margin = MARGIN if score < _SAME else 1 - _SAME
            is_doubtful = any(
                abs(other - score) <= margin
                and (rival == own) != (place == new)
                and rival in rivals
                and place in free
                for (rival, place), other in scores.items()
            )
            return None if is_doubtful and not same_count else new
        rivals.remove(old)
        free.remove(new)
    return None


def likeness(known: Surroundings, seen: Surroundings) -> float:
    """How much of the known surroundings is there, in its order, from 0 to 1; near lines count most."""
    around = (_share(known.before, seen.before) + _share(known.after, seen.after)) / 2
    scope = _share(known.scopes, seen.scopes)
    return (1 - _SCOPE_SHARE) * around + _SCOPE_SHARE * scope


def _share(known: Sequence[str], seen: Sequence[str]) -> float:
    if not known:
        # At the edge of a file: what has come in there speaks neither for the place nor against it.
        return 0.5 if seen else 1.0
    found = total = 0.0
    position = 0
    for distance, line in enumerate(known):
        weight = 1 / (1 + distance)
        total += weight
        if line in seen[position:]:
            found += weight
            position = seen.index(line, position) + 1
    return found / total
