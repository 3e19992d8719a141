"""What is posted of a review, where, and why not the rest."""

from dataclasses import replace

import pytest

from handlers.review.findings import Reviewed
from handlers.review.fingerprints import Place
from handlers.review.selection import Candidate, ForeignComment, Limits, Selection, select
from harness.findings import Finding, Severity
from tests.handlers.review.changes import Change, Repository, text

LINES = [f"value_{number} = {number}" for number in range(1, 101)]


@pytest.fixture
def reviewed(repository: Repository) -> Reviewed:
    """Lines 1 to 70 are new; another file is not touched."""
    old = {"a.py": text(*LINES[70:]), "same.py": text("x")}
    return repository.reviewed(Change(old, {"a.py": text(*LINES), "same.py": text("x")}))


def candidate(
    line: int, *, title: str = "", severity: Severity = "P1", confidence: float = 0.9, path: str = "a.py"
) -> Candidate:
    told = Finding(
        path=path,
        start_line=line,
        end_line=line,
        severity=severity,
        confidence=confidence,
        title=title or f"Value {line} is wrong",
        why="It fails.",
    )
    return Candidate(f"{path}-{line}", told)


def ids(selection: Selection) -> tuple[list[str], ...]:
    parts = (selection.inline, selection.quiet, selection.summarised, selection.dropped)
    return tuple([each.candidate.id for each in part] for part in parts)


def test_sixty_five_findings_at_once(reviewed: Reviewed) -> None:
    """Eight comments, the weightiest; the rest is in the summary, and nothing is lost."""
    severities: tuple[Severity, ...] = ("P2", "P1", "P0")
    found = [
        candidate(line, severity=severities[line % 3], confidence=0.5 + line / 200) for line in range(1, 66)
    ]

    selection = select(found, reviewed)

    assert len(selection.inline) == 8
    assert {each.candidate.finding.severity for each in selection.inline} == {"P0"}
    assert [each.anchored.line for each in selection.inline] == [65, 62, 59, 56, 53, 50, 47, 44]
    assert len(selection.summarised) == 57
    assert {each.reason for each in selection.summarised} == {"a review has at most 8 comments on lines"}
    assert set(selection.reasons()) == {each.id for each in found}


def test_each_finding_goes_where_it_can_be_read(reviewed: Reviewed) -> None:
    found = [
        candidate(5),
        candidate(6, severity="P3"),
        candidate(95),
        candidate(1, path="same.py"),
        candidate(7, confidence=0.1),
    ]

    selection = select(found, reviewed)

    assert ids(selection) == (["a.py-5"], ["a.py-6"], ["a.py-95", "same.py-1"], ["a.py-7"])
    assert selection.reasons() == {
        "a.py-5": "posted on its lines",
        "a.py-6": "an annotation of the check run, for its severity",
        "a.py-95": "in the summary, for the line is not in the diff",
        "same.py-1": "in the summary, for this change does not touch the file",
        "a.py-7": "not posted, for its confidence of 0.10 is below 0.30",
    }


def test_the_repository_chooses_how_much_is_said(reviewed: Reviewed) -> None:
    found = [candidate(1, severity="P0"), candidate(2, severity="P2"), candidate(3, severity="P3")]
    limits = Limits(inline=1, quiet=frozenset(("P2",)), least_confidence=0)

    assert ids(select(found, reviewed, limits=limits)) == (["a.py-1"], ["a.py-2"], ["a.py-3"], [])


def test_a_remark_on_a_removed_line_goes_to_the_summary(repository: Repository) -> None:
    """Annotations are on lines of the head."""
    reviewed = repository.reviewed(Change({"a.py": text("x", "y")}, {"a.py": text("y")}))
    given = candidate(1, severity="P3")

    selection = select([Candidate("gone", replace(given.finding, side="LEFT"))], reviewed)

    assert [each.reason for each in selection.summarised] == [
        "a check run cannot show remarks on removed lines"
    ]


def test_the_same_claim_at_several_lines_is_told_once(reviewed: Reviewed) -> None:
    title = "`value` is never used"
    found = [
        candidate(10, title=title, confidence=0.5),
        candidate(20, title="`Value` is never used."),
        candidate(95, title=title, confidence=0.4),
        candidate(30, title="`other` is never used"),
    ]

    selection = select(found, reviewed)

    assert ids(selection) == (["a.py-20", "a.py-30"], [], [], [])
    assert selection.inline[0].also == (Place("a.py", "RIGHT", 10, 10), Place("a.py", "RIGHT", 95, 95))
    assert selection.inline[0].merged == ("a.py-10", "a.py-95")
    assert selection.reasons()["a.py-10"] == "told with a.py-20, which says the same"


def test_what_is_reported_twice_is_told_once(reviewed: Reviewed) -> None:
    """In the same words, or by the same rule on the same lines; two rules on a line are two findings."""
    one = replace(candidate(5).finding, rule="zero-division")
    found = [
        Candidate("one", one),
        Candidate("same", one),
        Candidate("reworded", replace(one, title="Crashes for no input", confidence=0.8)),
        Candidate("other", replace(one, title="Loses precision", rule="precision", confidence=0.7)),
    ]

    first, second = select(found, reviewed).inline

    assert (first.candidate.id, first.merged, first.also) == ("one", ("same", "reworded"), ())
    assert second.candidate.id == "other"
    assert select([found[0], found[0]], reviewed).reasons() == {"one": "posted on its lines"}


def test_what_another_bot_has_said_is_not_said_again(reviewed: Reviewed) -> None:
    """A person's comment on the same lines says something else."""
    foreign = [
        ForeignComment("coderabbitai[bot]", True, Place("a.py", "RIGHT", 4, 6)),
        ForeignComment("octocat", False, Place("a.py", "RIGHT", 9, 9)),
        ForeignComment("coderabbitai[bot]", True, Place("a.py", "LEFT", 12, 12)),
    ]

    selection = select([candidate(5), candidate(9), candidate(12)], reviewed, foreign=foreign)

    assert ids(selection) == (["a.py-9", "a.py-12"], [], [], ["a.py-5"])
    assert selection.reasons()["a.py-5"] == (
        "not posted, for coderabbitai[bot] has already commented on these lines"
    )


def test_a_suggestion_comes_with_its_finding(reviewed: Reviewed) -> None:
    given = candidate(5)
    found = [
        Candidate("good", replace(given.finding, replacement="value_5 = 6")),
        Candidate("far", replace(given.finding, title="Far", start_line=68, end_line=99, replacement="x")),
    ]

    good, far = select(found, reviewed).inline

    assert good.suggestion == "```suggestion\nvalue_5 = 6\n```"
    assert (far.suggestion, far.anchored.is_exact) == ("", False)
