"""Reading `git diff`: every file and line of it, whatever is in names and lines."""

import pytest
from hypothesis import HealthCheck, given, settings

from handlers.review.diff import DiffUnreadable, FileDiff, decoded, numbered, parse_diff
from tests.handlers.review.changes import Change, Repository, changes, text

DICE = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def patched(old: str, file: FileDiff) -> str:
    """The old text with the file's hunks applied, as `git apply` does."""
    lines = old.split("\n")
    new: list[str] = []
    at = 0
    for hunk in file.hunks:
        begin = hunk.old_start - (hunk.old_lines > 0)
        new += lines[at:begin]
        new += [line for _, number, line in numbered(hunk) if number is not None]
        at = begin + hunk.old_lines
        if hunk.new_is_unterminated:
            return "\n".join(new)
        if hunk.old_is_unterminated:
            return "".join(f"{line}\n" for line in new)
    return "\n".join([*new, *lines[at:]])


@DICE
@given(change=changes())
def test_the_hunks_turn_the_old_files_into_the_new_ones(repository: Repository, change: Change) -> None:
    files = parse_diff(repository.diff(change))

    for file in files:
        old = decoded(change.old.get(file.old_path, b"")) if file.kind != "added" else ""
        new = decoded(change.new.get(file.path, b"")) if file.kind != "deleted" else ""
        assert patched(old, file) == new, file
    untouched = {path for path in change.new if change.old.get(path) == change.new[path]}
    told = {file.path for file in files if file.kind != "deleted"}
    assert told == set(change.new) - untouched


def test_a_file_of_thirty_thousand_lines(repository: Repository) -> None:
    """Form feeds, carriage returns and line separators are part of a line."""
    lines = [f"line {number}\f\r \u2028" for number in range(30_000)]
    old = text(*lines)
    lines[29_990] = "changed"
    (file,) = parse_diff(repository.diff(Change({"long.txt": old}, {"long.txt": text(*lines)})))

    (hunk,) = file.hunks
    assert (hunk.new_start, hunk.new_lines, file.changed_lines) == (29_988, 7, 2)
    assert "+changed" in hunk.lines


def test_what_has_no_lines(repository: Repository) -> None:
    change = Change({"a.bin": b"\0one", "old name": b"same\n"}, {"a.bin": b"\0two", "new name": b"same\n"})

    binary, renamed = parse_diff(repository.diff(change))
    (as_patch, _) = parse_diff(repository.diff(change, "--binary"))

    assert (binary.path, binary.is_binary, binary.kind, binary.hunks) == ("a.bin", True, "modified", ())
    assert (binary.old_blob, as_patch.is_binary) == (as_patch.old_blob, True)
    assert (renamed.path, renamed.old_path, renamed.kind) == ("new name", "old name", "renamed")


def test_a_file_that_becomes_a_link_is_one_file_without_lines() -> None:
    """git tells it as a deletion and an addition; of a comment on it nobody knows the side."""
    told = (
        "diff --git a/x b/x\ndeleted file mode 100644\nindex 1111111..0000000\n--- a/x\n+++ /dev/null\n"
        "@@ -1 +0,0 @@\n-text\ndiff --git a/x b/x\nnew file mode 120000\nindex 0000000..2222222\n"
        "--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+target\n\\ No newline at end of file\n"
    )

    (file,) = parse_diff(told)

    assert (file.kind, file.hunks, file.old_mode, file.new_mode) == ("type_changed", (), "100644", "120000")
    assert (file.old_blob, file.new_blob) == ("1111111", "2222222")


@pytest.mark.parametrize(
    "told",
    [
        "diff --cc a\nindex 1,2..3\n--- a/a\n+++ b/a\n@@@ -1,1 -1,1 +1,1 @@@\n",
        "something else",
        "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n one\n",
        "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n one\n*two\n",
        "diff --git a/x b/x\nsurprise\n",
    ],
)
def test_what_is_no_diff_of_two_trees_is_refused(told: str) -> None:
    with pytest.raises(DiffUnreadable):
        parse_diff(told)
