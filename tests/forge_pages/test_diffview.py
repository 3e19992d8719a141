"""The rows of a diff say on which line of which side every piece of text stands."""

import difflib

from hypothesis import given
from hypothesis import strategies as st

from demo.forge.pages.diffview import Row, rows

LINES = st.lists(st.sampled_from(["one", "two", "", "@@ three", "+four", "-five"]), max_size=14)


def test_rows_of_a_patch() -> None:
    """Each row has its kind, its numbers and its text without the sign."""
    patch = "@@ -4,3 +4,3 @@ def total():\n     a\n-    b\n+    c\n\\ No newline at end of file"
    assert rows(patch) == [
        Row(kind="hunk", text="@@ -4,3 +4,3 @@ def total():"),
        Row(kind="context", old=4, new=4, text="    a"),
        Row(kind="removed", old=5, text="    b"),
        Row(kind="added", new=5, text="    c"),
        Row(kind="note", text="No newline at end of file"),
    ]


def test_no_patch_no_rows() -> None:
    """A binary file has nothing to show."""
    assert rows(None) == []


@given(LINES, LINES)
def test_rows_hold_both_files(before: list[str], after: list[str]) -> None:
    """Whatever changed, the rows of each side stand where that side's file has them."""
    patch = "\n".join(list(difflib.unified_diff(before, after, lineterm=""))[2:])
    for row in rows(patch):
        if row.old is not None:
            assert before[row.old - 1] == row.text
        if row.new is not None:
            assert after[row.new - 1] == row.text
