"""A finding as a model words it: taken as it is, repaired with a note, or refused with a reason."""

from dataclasses import replace

import pytest

from handlers.review.anchors import Anchored, OutOfDiff
from handlers.review.findings import Reviewed, checker
from handlers.review.suggestions import Suggestion, applied, suggest
from harness.findings import Finding, Refused, Taken
from tests.handlers.review.changes import Change, Repository, text

OLD = text(
    "import statistics",
    "",
    "def average(numbers):",
    "    total = 0",
    "    for number in numbers:",
    "        total += number",
    "    return total / len(numbers)",
    *(f"# {number}" for number in range(8, 41)),
)
NEW = OLD.replace(
    b"    total = 0\n    for number in numbers:\n        total += number\n", b"    total = sum(numbers)\n"
)
FINDING = Finding(
    path="src/calc.py",
    start_line=5,
    end_line=5,
    severity="P1",
    confidence=0.9,
    title="`average` divides by zero for an empty list",
    why="`average([])` raises ZeroDivisionError.",
)


@pytest.fixture
def reviewed(repository: Repository) -> Reviewed:
    """Lines 4 to 6 of calc.py became one; other files were removed, renamed, added, or left alone."""
    old = {
        "src/calc.py": OLD,
        "gone.py": text("a", "b"),
        "was.py": text(*"abcdefgh"),
        "README.md": text("hi"),
    }
    new = {"src/calc.py": NEW, "is.py": text(*"abcdefgH"), "new.py": text("x"), "README.md": text("hi")}
    return repository.reviewed(Change(old, new))


def taken(finding: Finding, reviewed: Reviewed) -> Taken:
    checked = checker(reviewed)(finding)
    assert isinstance(checked, Taken), checked
    return checked


def test_what_is_right_is_taken_as_it_is(reviewed: Reviewed) -> None:
    assert taken(FINDING, reviewed) == Taken(FINDING)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a/src/calc.py", "src/calc.py"),
        ("./src/calc.py", "src/calc.py"),
        ("b/./src/calc.py", None),
        ("calc.py", "src/calc.py"),
        ("/src/calc.py", "src/calc.py"),
        ("src\\calc.py", "src/calc.py"),
        ("calculator.py", None),
    ],
)
def test_paths(reviewed: Reviewed, written: str, read: str | None) -> None:
    checked = checker(reviewed)(replace(FINDING, path=written))

    if read is None:
        assert isinstance(checked, Refused)
        assert "There is no file" in checked.reason
        assert "src/calc.py" in checked.reason
    else:
        assert checked == Taken(replace(FINDING, path=read), (f"The path was read as {read}.",))


def test_a_renamed_file_is_known_by_both_names(reviewed: Reviewed) -> None:
    finding = replace(FINDING, path="was.py", start_line=8, end_line=8)

    assert taken(finding, reviewed).finding.path == "is.py"
    on_the_left = taken(replace(finding, side="LEFT"), reviewed).finding
    assert reviewed.anchor(on_the_left) == Anchored(path="is.py", side="LEFT", line=8)


def test_lines_that_are_swapped_or_run_over_the_end(reviewed: Reviewed) -> None:
    swapped = taken(replace(FINDING, start_line=5, end_line=4), reviewed)
    over = taken(replace(FINDING, path="new.py", start_line=1, end_line=9), reviewed)
    wide = taken(replace(FINDING, start_line=1, end_line=38), replace(reviewed, new_texts={}))
    beyond = checker(reviewed)(replace(FINDING, start_line=99, end_line=99))

    assert (swapped.finding.start_line, swapped.finding.end_line) == (4, 5)
    assert "First and last line were swapped." in swapped.notes
    assert (over.finding.end_line, "The file ends at line 1, and so do the lines." in over.notes) == (1, True)
    assert wide.finding.end_line == 38
    assert beyond == Refused("src/calc.py has 38 lines in its new version; there is no line 99.")


def test_sides(reviewed: Reviewed) -> None:
    """A deleted file has old lines only, a new one none; a line that stays counts as a new one."""
    deleted = taken(replace(FINDING, path="gone.py", start_line=1, end_line=1), reviewed)
    added = taken(replace(FINDING, path="new.py", side="LEFT", start_line=1, end_line=1), reviewed)
    context = taken(replace(FINDING, side="LEFT", start_line=7, end_line=7), reviewed)
    removed = taken(replace(FINDING, side="LEFT", start_line=6, end_line=6), reviewed)

    assert (deleted.finding.side, added.finding.side) == ("LEFT", "RIGHT")
    assert (context.finding.side, context.finding.start_line) == ("RIGHT", 5)
    assert (removed.finding.side, removed.notes) == ("LEFT", ())
    assert reviewed.anchor(removed.finding) == Anchored(path="src/calc.py", side="LEFT", line=6)


def test_a_title_of_several_sentences_keeps_its_first(reviewed: Reviewed) -> None:
    said = f"The list may be empty. {'And so on. ' * 20}"
    cut = taken(replace(FINDING, title=said), reviewed)
    endless = taken(replace(FINDING, title="word " * 60), reviewed)

    assert cut.finding.title == "The list may be empty"
    assert cut.finding.why.startswith("And so on. And so on.")
    assert cut.finding.why.endswith(FINDING.why)
    assert len(endless.finding.title) <= 120
    assert isinstance(checker(reviewed)(replace(FINDING, why="  ")), Refused)


def test_what_lies_outside_of_the_diff_is_taken_and_said(reviewed: Reviewed) -> None:
    far = taken(replace(FINDING, start_line=30, end_line=30), reviewed)
    other = taken(replace(FINDING, path="README.md", start_line=1, end_line=1), reviewed)

    reason = "It goes to the summary and not on a line, for the line is not in the diff."
    assert far.notes == (f"{reason} The nearest line of the diff is 7.",)
    assert isinstance(reviewed.anchor(other.finding), OutOfDiff)
    assert "this change does not touch the file" in other.notes[0]


def offered(finding: Finding, reviewed: Reviewed) -> str:
    placed = reviewed.anchor(finding)
    assert isinstance(placed, Anchored)
    suggestion = suggest(finding, placed, reviewed.text(finding.path, finding.side))
    if not isinstance(suggestion, Suggestion):
        return suggestion.reason
    after = applied(reviewed.new_texts[finding.path], placed, f"Words.\n\n{suggestion.block}\n\nMore.")
    assert after is not None
    return after


def test_a_suggestion_is_what_the_button_makes_of_it(reviewed: Reviewed) -> None:
    told = replace(FINDING, replacement="if not numbers:\n    return 0\nreturn total / len(numbers)\n")
    finding = taken(told, reviewed)

    assert finding.notes == ("The replacement was indented like the lines that it replaces.",)
    here_document = replace(FINDING, replacement='    return """\nx\n"""\n')
    assert taken(here_document, reviewed) == Taken(here_document)
    after = offered(finding.finding, reviewed)
    assert "    if not numbers:\n        return 0\n    return total / len(numbers)\n# 8\n" in after
    assert offered(replace(FINDING, replacement=""), reviewed) == reviewed.new_texts["src/calc.py"].replace(
        "    return total / len(numbers)\n", ""
    )
    assert "    # ```` and ~~~\n# 8\n" in offered(
        replace(FINDING, replacement="    # ```` and ~~~"), reviewed
    )


ALTERED = "it would not leave the comment as it is"
BESIDE = "the comment cannot stand on all of the lines that it replaces"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"replacement": "    return total / len(numbers)"}, "it changes nothing"),
        ({"replacement": "x\n" * 30}, "it is longer than 20 lines"),
        ({"replacement": "    return 0\r\n"}, "the lines end with carriage returns"),
        ({"replacement": "/merge"}, ALTERED),
        ({"replacement": "    x = 'ghp_abcdefghijklmnopqrstuvwxyz0123456789'"}, ALTERED),
        ({"replacement": "x", "start_line": 5, "end_line": 20}, BESIDE),
        ({"replacement": "x", "side": "LEFT", "start_line": 6, "end_line": 6}, "the lines are deleted ones"),
    ],
)
def test_no_button_where_it_would_do_something_else(
    reviewed: Reviewed, change: dict[str, str | int], reason: str
) -> None:
    assert offered(replace(FINDING, **change), reviewed) == reason  # type: ignore[arg-type]
