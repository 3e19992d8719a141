"""Findings over several pushes: open, moved, fixed, back again; never told twice, never of other code."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bench.fingerprints import Tally, play
from handlers.review.findings import Reviewed
from handlers.review.fingerprints import FingerprintAdapter, Place, fingerprint, name_of
from handlers.review.standing import (
    Fixed,
    Known,
    Moved,
    Reopened,
    Standing,
    StillOpen,
    Unchanged,
    Withdrawn,
    judgement_checker,
    match,
)
from harness.findings import Finding, FindingJudged, JudgementVerdict, Refused, Side
from tests.handlers.review.changes import Change, Repository, Tree, text

BASE: Tree = {"calc.py": text("import math", "", "# the end")}
FIRST = text(
    "import math",
    "",
    "def average(numbers):",
    "    total = sum(numbers)",
    "    return total / len(numbers)",
    "",
    "def largest(numbers):",
    "    if not numbers:",
    "        return None",
    "    return sorted(numbers)[-1]",
    "",
    "def smallest(numbers):",
    "    if not numbers:",
    "        return None",
    "    return sorted(numbers)[0]",
    "",
    "# the end",
)


def finding(start: int, end: int = 0, *, title: str = "Divides by zero", path: str = "calc.py") -> Finding:
    return Finding(
        path=path,
        start_line=start,
        end_line=end or start,
        severity="P1",
        confidence=0.9,
        title=title,
        why="`average([])`.",
    )


class Pull:
    """A pull request's pushes, as the engine sees them."""

    def __init__(self, repository: Repository, base: Tree = BASE) -> None:
        self._repository = repository
        self._base = base

    def push(self, new: Tree) -> Reviewed:
        return self._repository.reviewed(Change(self._base, new))


@pytest.fixture
def pull(repository: Repository) -> Pull:
    return Pull(repository)


def known(found: Finding, reviewed: Reviewed, name: str = "f1") -> Known:
    """As the store holds it: through JSON."""
    mark = fingerprint(found, reviewed.text(found.path, found.side))
    stored = FingerprintAdapter.dump_json(mark)
    return Known(id=name, finding=found, fingerprint=FingerprintAdapter.validate_json(stored))


def at(line: int, end: int = 0, *, path: str = "calc.py", side: Side = "RIGHT") -> Place:
    return Place(path, side, line, end or line)


def test_three_pushes(pull: Pull) -> None:
    """One finding moves, one is fixed and comes back, a new one joins; none is told twice."""
    first = pull.push({"calc.py": FIRST})
    zero = known(finding(5), first, "zero")
    slow = known(finding(10, title="Sorts to find one"), first, "slow")

    # The second push: lines above, and `largest` is mended.
    moved = FIRST.replace(b"import math\n", b"import math\nimport os\n")
    mended = moved.replace(b"sorted(numbers)[-1]", b"max(numbers)")
    second = pull.push({"calc.py": mended})
    again = finding(6, title="Division by zero for no numbers")
    unused = finding(2, title="Unused import")
    matched = match([zero, slow], [again, unused], second)

    assert matched.standings == (
        Moved(known=zero, place=at(6), again=again),
        Fixed(known=slow, by_judgement=False),
    )
    assert matched.new == (unused,)

    # The third: the mending is taken back, the division goes.
    third = pull.push({"calc.py": moved.replace(b"total / len(numbers)", b"math.fsum(numbers)")})
    matched = match([zero, replace(slow, state="fixed")], [], third)

    assert matched.standings == (
        Fixed(known=zero, by_judgement=False),
        Reopened(known=replace(slow, state="fixed"), place=at(11)),
    )


def test_a_force_push_with_the_same_patch_changes_nothing(repository: Repository) -> None:
    """The base has new lines above and another file; all findings are where they were in the code."""
    first = Pull(repository).push({"calc.py": FIRST})
    all_known = [known(finding(line), first, str(line)) for line in (5, 9, 10, 14, 15)]

    top = text(*(f"# licence {number}" for number in range(20)))
    base = {"calc.py": top + BASE["calc.py"], "other.py": b"x\n"}
    rebased = Pull(repository, base).push({**base, "calc.py": top + FIRST})
    matched = match(all_known, [], rebased)

    assert [type(standing) for standing in matched.standings] == [Moved] * 5
    assert places(matched.standings) == [at(25), at(29), at(30), at(34), at(35)]
    same = match(all_known, [], first)
    assert [type(standing) for standing in same.standings] == [StillOpen] * 5


def places(standings: Sequence[Standing]) -> list[Place | None]:
    return [each.place for each in standings if isinstance(each, StillOpen | Moved | Reopened)]


def test_equal_lines_are_two_findings(pull: Pull) -> None:
    """`return None` stands twice. When one goes, the other one is not taken for it."""
    first = pull.push({"calc.py": FIRST})
    upper, lower = known(finding(9), first, "upper"), known(finding(14), first, "lower")
    assert name_of(upper.fingerprint) != name_of(lower.fingerprint)

    without_upper = FIRST.replace(
        b"    if not numbers:\n        return None\n    return sorted(numbers)[-1]",
        b"    return max(numbers)",
    )
    matched = match([upper, lower], [], pull.push({"calc.py": without_upper}))
    assert matched.standings == (Fixed(known=upper, by_judgement=False), Moved(known=lower, place=at(12)))

    swapped = text(
        *FIRST.decode().split("\n")[:6], *FIRST.decode().split("\n")[11:16], *FIRST.decode().split("\n")[6:11]
    )
    matched = match([upper, lower], [], pull.push({"calc.py": swapped}))
    assert places(matched.standings) == [at(14), at(9)]


def test_code_that_goes_to_another_file_or_name_is_followed(pull: Pull) -> None:
    first = pull.push({"calc.py": FIRST})
    zero = known(finding(5), first)
    lines = FIRST.decode().split("\n")

    elsewhere = {"calc.py": text(*lines[:2], *lines[6:16]), "mean.py": text("# means", *lines[2:6])}
    assert match([zero], [], pull.push(elsewhere)).standings == (
        Moved(known=zero, place=at(4, path="mean.py")),
    )
    renamed = pull.push({"maths.py": FIRST})
    assert match([zero], [], renamed, renames={"calc.py": "maths.py"}).standings == (
        Moved(known=zero, place=at(5, path="maths.py")),
    )
    assert match([zero], [], pull.push({"calc.py": BASE["calc.py"]})).standings == (
        Fixed(known=zero, by_judgement=False),
    )


def test_reindented_code_is_the_same_code(pull: Pull) -> None:
    zero = known(finding(4, 5), pull.push({"calc.py": FIRST}))
    lines = FIRST.decode().split("\n")
    inside = pull.push({"calc.py": text("class Statistics:", *(f"    {line}" for line in lines[2:6]))})

    assert match([zero], [], inside).standings == (Moved(known=zero, place=at(3, 4)),)


def test_code_in_braces_has_scopes_too(pull: Pull) -> None:
    """The same lines in two functions of C, which change places."""
    functions = [
        [
            "int first(int *list)",
            "{",
            "    if (!list)",
            "    {",
            "        return -1;",
            "    }",
            "    return *list;",
            "}",
        ],
        [
            "int last(int *list)",
            "{",
            "    if (!list)",
            "    {",
            "        return -1;",
            "    }",
            "    return *list;",
            "}",
        ],
    ]
    before = pull.push({"list.c": text(*functions[0], *functions[1])})
    after = pull.push({"list.c": text(*functions[1], "", *functions[0], "", "int more;")})
    both = [known(finding(line, path="list.c"), before, str(line)) for line in (5, 13)]

    assert places(match(both, [], after).standings) == [at(14, path="list.c"), at(5, path="list.c")]


def test_thousands_of_equal_lines_take_no_time(pull: Pull) -> None:
    """And nothing is claimed of a line that cannot be told from the others."""
    one = known(finding(9_000), pull.push({"calc.py": b"    return None\n" * 20_000}))
    matched = match([one], [], pull.push({"calc.py": b"    return None\n" * 20_001}))

    assert matched.standings == (Fixed(known=one, by_judgement=False),)


def test_one_of_hundreds_of_equal_lines_is_found_where_nothing_changed(pull: Pull) -> None:
    lines = [line for number in range(300) for line in (f"def part{number}():", "    return None")]
    first = pull.push({"calc.py": text(*lines)})
    one = known(finding(402), first)

    assert match([one], [], first).standings == (StillOpen(known=one, place=at(402)),)
    later = pull.push({"calc.py": text("import os", *lines[:-2])})
    assert match([one], [], later).standings == (Moved(known=one, place=at(403)),)


def test_a_finding_on_a_deleted_line(repository: Repository) -> None:
    """Open as long as the change takes the line away."""
    base = {"calc.py": FIRST}
    without = {"calc.py": FIRST.replace(b"    if not numbers:\n        return None\n", b"", 1)}
    pull = Pull(repository, base)
    first = pull.push(without)
    gone = known(replace(finding(8, 9, title="The guard is needed"), side="LEFT"), first)

    still = match([gone], [], first).standings
    back = match([gone], [], pull.push({"calc.py": FIRST + b"# more\n"})).standings

    assert still == (StillOpen(known=gone, place=at(8, 9, side="LEFT")),)
    assert back == (Fixed(known=gone, by_judgement=False),)


def test_what_people_or_the_agent_decided_stays(pull: Pull) -> None:
    """Closed findings are not posted again; a judgement outweighs lines that did not change."""
    first = pull.push({"calc.py": FIRST})
    zero = known(finding(5), first)
    again = finding(5, title="Divides by zero when empty")

    for state in ("dismissed", "withdrawn"):
        closed = replace(zero, state=state)
        assert match([closed], [again], first).standings == (Unchanged(known=closed, again=again),)
        assert match([closed], [again], first).new == ()
    judged = FindingJudged(id="f1", verdict="fixed", why="Callers check now.")
    assert match([zero], [], first, judged=[judged]).standings == (
        Fixed(known=zero, by_judgement=True, why="Callers check now."),
    )
    elsewhere = replace(zero, state="fixed", by_judgement=True)
    assert match([elsewhere], [], first).standings == (Unchanged(known=elsewhere),)
    assert match([elsewhere], [again], first).standings == (
        Reopened(known=elsewhere, place=at(5), again=again),
    )
    taken_back = FindingJudged(id="f1", verdict="withdrawn", why="It cannot be empty.")
    assert match([zero], [], first, judged=[taken_back]).standings == (
        Withdrawn(known=zero, why="It cannot be empty."),
    )


def test_changed_lines_with_the_same_problem_keep_the_finding(pull: Pull) -> None:
    """The line was edited, and the review tells the same of it, or the agent says so."""
    zero = known(finding(5), pull.push({"calc.py": FIRST}))
    edited = pull.push({"calc.py": FIRST.replace(b"total / len(numbers)", b"total / float(len(numbers))")})
    again = finding(5, title="Still divides by zero")
    other = finding(5, title="Floats lose precision")

    assert match([zero], [again], edited).standings == (StillOpen(known=zero, place=at(5), again=again),)
    assert match([zero], [other], edited).new == (other,)
    judged = FindingJudged(id="f1", verdict="still_there", why="`len` is 0.")
    assert match([zero], [], edited, judged=[judged]).standings == (StillOpen(known=zero, place=None),)


def test_two_rules_on_one_line_are_two_findings(pull: Pull) -> None:
    first = pull.push({"calc.py": FIRST})
    zero = known(replace(finding(5), rule="zero-division"), first)
    other = replace(finding(5, title="Loses precision for large floats"), rule="precision")
    same = replace(finding(5, title="Empty input crashes this"), rule="zero-division")

    assert match([zero], [other], first).new == (other,)
    assert match([zero], [same], first).new == ()


def test_only_open_findings_are_judged_and_new_evidence_is_for_a_dispute(pull: Pull) -> None:
    first = pull.push({"calc.py": FIRST})
    zero, slow = known(finding(5), first, "zero"), known(finding(10), first, "slow")
    check = judgement_checker([zero, replace(slow, state="dismissed")], disputed=())

    def judged(name: str, verdict: JudgementVerdict) -> Refused | None:
        return check(FindingJudged(id=name, verdict=verdict, why="So it is."))

    assert judged("zero", "still_there") is None
    assert judged("nil", "fixed") == Refused("There is no finding 'nil'. Open ones are: zero.")
    assert judged("slow", "fixed") == Refused(
        "The finding is dismissed already; report it again if it is back."
    )
    assert judged("zero", "new_evidence") == Refused("Nobody waits for new evidence on it: say still_there.")
    again = judgement_checker([zero], disputed=["zero"])
    assert again(FindingJudged(id="zero", verdict="new_evidence", why="`main` calls it.")) is None


def test_a_binary_file_keeps_its_finding_until_it_goes(repository: Repository) -> None:
    pull = Pull(repository, {"logo.png": b"\0old"})
    first = pull.push({"logo.png": b"\0new"})
    large = known(finding(1, title="Ten times as large", path="logo.png"), first)

    assert match([large], [], first).standings == (StillOpen(known=large, place=None),)
    assert match([large], [], pull.push({})).standings == (Fixed(known=large, by_judgement=False),)


class Paths(dict[str, str]):
    """The texts of a commit whose `calc.py` is there, and too large to be read."""

    def __contains__(self, path: object) -> bool:
        return path == "calc.py" or super().__contains__(path)


def test_what_cannot_be_read_any_more_is_not_fixed(pull: Pull) -> None:
    """A file padded until nobody reads it, or made binary, has its lines all the same; deleted it has not."""
    zero = known(finding(5), pull.push({"calc.py": FIRST}))
    padded = replace(pull.push({"calc.py": FIRST}), new_texts=Paths())

    assert match([zero], [], padded).standings == (StillOpen(known=zero, place=None),)
    assert match([zero], [], pull.push({})).standings == (Fixed(known=zero, by_judgement=False),)


def test_generated_rebases() -> None:
    """A small part of the bench: all findings are kept, none is found in other code."""
    tally = Tally()
    for seed in range(25):
        play(seed, tally)

    assert (tally.kept, tally.false) == (tally.standing, 0)
    assert tally.gone > 0
