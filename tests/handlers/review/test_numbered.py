"""What a review's model reads of a file's change."""

from handlers.review.diff import parse_diff
from handlers.review.numbered import shown
from handlers.review.plan import plan_reading
from tests.handlers.review.changes import Change, Repository, text


def test_each_line_has_the_numbers_that_a_finding_names_it_by(repository: Repository) -> None:
    lines = [f"line {number}" for number in range(1, 12)]
    old, new = text(*lines), text(*lines[:5], "six", "six and a half", *lines[6:10], "x" * 600)
    (file,) = parse_diff(repository.diff(Change({"a b.py": old}, {"a b.py": new})))

    assert shown(file) == (
        "=== a b.py · modified\n"
        "@@ -3,9 +3,10 @@\n"
        "     3      3   line 3\n"
        "     4      4   line 4\n"
        "     5      5   line 5\n"
        "     6        - line 6\n"
        "            6 + six\n"
        "            7 + six and a half\n"
        "     7      8   line 7\n"
        "     8      9   line 8\n"
        "     9     10   line 9\n"
        "    10     11   line 10\n"
        "    11        - line 11\n"
        f"           12 + {'x' * 500} [100 more characters]"
    )


def test_a_diff_that_is_not_read_to_its_end_says_so(repository: Repository) -> None:
    old = {"logo.png": b"\0old", "was.py": b"same\n"}
    new = {"logo.png": b"\0new", "long.txt": text(*map(str, range(5000))), "now.py": b"same\n"}
    binary, long, renamed = parse_diff(repository.diff(Change(old, new)))
    reading = plan_reading([binary, long], budget=500).groups[0].readings[0]

    told = shown(long, reading).split("\n")

    assert len(told) == reading.lines + 3
    assert told[-1] == f"[{5000 - reading.lines:,} more lines of this diff are not shown]"
    assert shown(binary) == "=== logo.png · modified · binary"
    assert shown(renamed) == "=== now.py · renamed from was.py"
