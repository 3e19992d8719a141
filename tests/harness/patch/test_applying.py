"""Patches on files: where chunks are found, what survives, how operations add up, and all or nothing."""

import difflib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.patch import PatchRefused, apply, parse, plan
from sandbox.base import FileContent
from tests.harness.patch.memory_files import MemoryFiles


def patched(files: MemoryFiles, *lines: str) -> str:
    """Apply these lines in an envelope; the summary."""
    patch = parse("\n".join(["*** Begin Patch", *lines, "*** End Patch"]))
    return str(apply(plan(patch, files), files))


def updated(before: bytes, *lines: str) -> bytes:
    files = MemoryFiles({"f": before})
    patched(files, "*** Update File: f", *lines)
    return files.contents["f"]


def refusal(files: MemoryFiles, *lines: str) -> tuple[int, str]:
    """The line and message of a patch that must be refused, and must leave everything as it was."""
    before = files.contents
    with pytest.raises(PatchRefused) as refused:
        patched(files, *lines)
    assert files.contents == before
    assert files.applied == 0
    return refused.value.line, refused.value.message


def test_one_patch_adds_modifies_moves_and_deletes() -> None:
    """The summary names each file once, in the order added, modified, deleted."""
    files = MemoryFiles({"modify.txt": b"1\n2\n", "delete.txt": b"x\n", "old/name.txt": b"here\n"})
    summary = patched(
        files,
        "*** Add File: nested/new.txt",
        "+created",
        "*** Delete File: delete.txt",
        "*** Update File: modify.txt",
        "@@",
        "-2",
        "+two",
        "*** Update File: old/name.txt",
        "*** Move to: new/name.txt",
        "@@",
        "-here",
        "+there",
    )
    assert summary == (
        "Success. Updated the following files:\nA nested/new.txt\nM modify.txt\nM new/name.txt\nD delete.txt"
    )
    assert files.contents == {
        "nested/new.txt": b"created\n",
        "modify.txt": b"1\ntwo\n",
        "new/name.txt": b"there\n",
    }
    assert files.applied == 1


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ("def f():  \n", "def f():"),
        ("    def f():\n", "def f():"),
        ("say \u201chello\u201d \u2014 it\u2019s\u00a0fine\n", 'say "hello" - it\'s fine'),
        ("a - b\n", "a \u2013 b"),
    ],
)
def test_a_line_is_found_despite_white_space_and_typography(before: str, wanted: str) -> None:
    """A chunk that differs from the file in ways an eye forgives is still found."""
    assert updated(before.encode(), "@@", f"-{wanted}", "+new") == b"new\n"


def test_a_kept_line_stays_as_the_file_has_it() -> None:
    """A forgiving match never rewrites what the patch only names as surroundings."""
    assert updated(b"  caf\xc3\xa9 \xe2\x80\x94\t\nold\n", "@@", " caf\u00e9 -", "-old", "+new") == (
        b"  caf\xc3\xa9 \xe2\x80\x94\t\nnew\n"
    )


def test_an_exact_match_further_down_wins_over_a_forgiving_one_above() -> None:
    """Each level of comparison looks through the whole file before the next."""
    assert updated(b"  x\nx\n", "@@", "-x", "+y") == b"  x\ny\n"


def test_a_context_line_leads_to_the_right_one_of_equal_places() -> None:
    """`@@ def b():` skips the equal line of the function above."""
    before = b"def a():\n    return 1\n\ndef b():\n    return 1\n"
    assert updated(before, "@@ def b():", "-    return 1", "+    return 2") == (
        b"def a():\n    return 1\n\ndef b():\n    return 2\n"
    )


def test_chunks_go_down_the_file() -> None:
    """The second chunk is looked for below the first."""
    assert updated(b"x\nx\nx\n", "@@", "-x", "+1", "@@", "-x", "+2") == b"1\n2\nx\n"


def test_end_of_file_picks_the_last_of_equal_places() -> None:
    """`*** End of File` matches only where the lines end the file."""
    assert updated(b"x\ny\nx\n", "@@", "-x", "+last", "*** End of File") == b"x\ny\nlast\n"


def test_new_lines_alone_go_to_the_end_or_below_their_context() -> None:
    """A chunk without old lines appends; with a context line it inserts below that line."""
    assert updated(b"a\nb\n", "@@", "+c") == b"a\nb\nc\n"
    assert updated(b"a\nb\n", "@@ a", "+c") == b"a\nc\nb\n"
    assert updated(b"a\nb\n", "@@", "+end", "@@", "-a", "+A") == b"A\nb\nend\n"
    assert updated(b"", "@@", "+first") == b"first\n"


def test_an_empty_last_line_of_a_chunk_may_be_only_a_gap() -> None:
    """Blank lines between a chunk and the next header do not have to be in the file."""
    files = MemoryFiles({"f": b"a\nb\n", "g": b"x\n"})
    patched(files, "*** Update File: f", "@@", "-b", "+B", "", "", "*** Delete File: g")
    assert files.contents == {"f": b"a\nB\n"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a\r\nb\r\nc\r\n", b"a\r\nB\r\nnew\r\nc\r\n"),
        (b"a\rb\rc\r", b"a\rB\rnew\rc\r"),
        (b"a\nb\nc", b"a\nB\nnew\nc"),
        (b"a\r\nb\nc\r\n", b"a\r\nB\r\nnew\r\nc\r\n"),
        (b"a\nb\r\nc\n\n", b"a\nB\nnew\nc\n\n"),
        (b"\xef\xbb\xbfa\nb\nc\n", b"\xef\xbb\xbfa\nB\nnew\nc\n"),
        (b"a\xff\nb\nc\xe9\n", b"a\xff\nB\nnew\nc\xe9\n"),
    ],
)
def test_line_endings_and_strange_bytes_survive(before: bytes, after: bytes) -> None:
    """New lines end as most lines of the file do; no byte that the patch does not name is changed."""
    assert updated(before, "@@", "-b", "+B", "+new") == after


def test_the_first_line_is_found_behind_a_byte_order_mark() -> None:
    """The mark is no part of the line, and stays."""
    assert updated(b"\xef\xbb\xbfa\nb\n", "@@", "-a", "+A") == b"\xef\xbb\xbfA\nb\n"


def test_a_missing_final_newline_stays_missing_until_the_patch_adds_an_empty_line() -> None:
    """Whether a file ends with a line ending is the file's business."""
    assert updated(b"a\nb", "@@", "-b", "+c") == b"a\nc"
    assert updated(b"a\nb", "@@", "+c") == b"a\nb\nc"
    assert updated(b"a\nb", "@@", " b", "+") == b"a\nb\n"


def test_the_executable_mode_stays_on_update_overwrite_and_move() -> None:
    """A script is still a script after the patch; a file deleted and added anew is a new file."""
    script = FileContent(b"#!/bin/sh\nold\n", executable=True)
    files = MemoryFiles({"update": script, "overwrite": script, "move": script, "anew": script})
    patched(
        files,
        *("*** Update File: update", "@@", "-old", "+new"),
        *("*** Add File: overwrite", "+new"),
        *("*** Update File: move", "*** Move to: bin/moved", "@@", "-old", "+new"),
        *("*** Delete File: anew", "*** Add File: anew", "+new"),
    )
    assert files.executables == {"update", "overwrite", "bin/moved"}


def test_operations_on_one_file_add_up_in_order() -> None:
    """Each operation sees what those before it made."""
    files = MemoryFiles({"a": b"1\n", "b": b"1\n", "c": b"1\n"})
    summary = patched(
        files,
        *("*** Update File: a", "@@", "-1", "+2", "*** Update File: ./a", "@@", "-2", "+3"),
        *("*** Add File: new", "+1", "*** Update File: new", "@@", "-1", "+2"),
        *("*** Delete File: b", "*** Add File: b", "+again"),
        *("*** Add File: brief", "+x", "*** Delete File: brief"),
        *("*** Update File: /workspace/c", "*** Move to: d", "*** Update File: d", "@@", "-1", "+4"),
    )
    assert summary == "Success. Updated the following files:\nA new\nA b\nM a\nM d"
    assert files.contents == {"a": b"3\n", "new": b"2\n", "b": b"again\n", "d": b"4\n"}


def test_a_move_onto_a_file_overwrites_it_and_onto_itself_is_an_update() -> None:
    """A move leaves one file, under the new name."""
    files = MemoryFiles({"from": b"1\n", "to": b"2\n", "self": b"1\n"})
    patched(
        files,
        *("*** Update File: from", "*** Move to: to", "@@", "-1", "+3"),
        *("*** Update File: self", "*** Move to: self", "@@", "-1", "+3"),
    )
    assert files.contents == {"to": b"3\n", "self": b"3\n"}


@pytest.mark.parametrize(
    ("lines", "line", "message"),
    [
        ((), 1, "No files were modified."),
        (("*** Delete File: none",), 2, "cannot delete none: there is no such file."),
        (("*** Delete File: dir",), 2, "dir: is a directory"),
        (("*** Update File: none", "@@", "-a"), 2, "cannot update none: there is no such file."),
        (("*** Add File: ../out", "+a"), 2, "../out: '..' has no place in the path of a patch"),
        (("*** Add File: /etc/passwd", "+a"), 2, "/etc/passwd: leads outside the checkout"),
        (("*** Update File: f", "*** Move to: /f", "@@", "-two"), 2, "/f: leads outside the checkout"),
        (
            ("*** Delete File: f", "*** Update File: f", "@@", "-two"),
            3,
            "cannot update f: line 2 of this patch removed it.",
        ),
        (
            ("*** Delete File: f", "*** Delete File: f"),
            3,
            "cannot delete f: line 2 of this patch removed it already.",
        ),
        (
            ("*** Update File: f", "@@ nowhere", "-two"),
            3,
            "Failed to find context 'nowhere' in f.",
        ),
        (
            ("*** Update File: f", "@@", "-four", "@@ two", "+x"),
            5,
            (
                "Failed to find context 'two' in f below line 4. It is line 2; chunks must follow the "
                "order of the file."
            ),
        ),
        (("*** Update File: f", "@@", "-missing"), 3, "Failed to find expected lines in f:\nmissing"),
        (
            ("*** Update File: f", "@@", "-four", "@@", "-two"),
            5,
            (
                "Failed to find expected lines in f below line 4:\ntwo\n"
                "They are at line 2; chunks must follow the order of the file."
            ),
        ),
        (
            ("*** Update File: f", "@@", " two", "*** End of File"),
            3,
            (
                "Failed to find expected lines in f:\ntwo\nThey are at line 2, but are not the last lines "
                "of the file."
            ),
        ),
        (
            ("*** Update File: f", "@@", " two", " three", "-five"),
            3,
            (
                "Failed to find expected lines in f:\ntwo\nthree\nfive\n"
                "The first 2 of them match at line 2, but then the file has:\nfour"
            ),
        ),
        (
            ("*** Update File: f", "@@", " four", "-five"),
            3,
            (
                "Failed to find expected lines in f:\nfour\nfive\n"
                "The first of them matches at line 4, where the file ends."
            ),
        ),
    ],
)
def test_a_patch_that_does_not_fit_changes_nothing_and_says_where(
    lines: Sequence[str], line: int, message: str
) -> None:
    """All hunks or none: the refusal names the hunk's line, what was not found, and what is there instead."""
    files = MemoryFiles({"f": b"one\ntwo\nthree\nfour\n", "dir/g": b""})
    assert refusal(files, *lines) == (line, message)


def test_a_late_failure_undoes_the_hunks_before_it() -> None:
    """Codex leaves the first file behind here; nobody wants half a patch."""
    files = MemoryFiles({})
    assert refusal(files, "*** Add File: created", "+x", "*** Update File: none", "@@", "-a") == (
        4,
        "cannot update none: there is no such file.",
    )


LINE = st.text(st.sampled_from("ab \t\u2014\u00e9\x0c"), max_size=3)
ENDINGS = st.sampled_from(["\n", "\r\n"])


@settings(deadline=None)  # A busy machine is no failure.
@given(
    before=st.lists(st.integers(0, 5), max_size=25),
    after=st.lists(st.integers(0, 5), max_size=25),
    ending=ENDINGS,
    has_final=st.booleans(),
)
def test_the_difference_of_two_files_makes_one_of_the_other(
    *, before: list[int], after: list[int], ending: str, has_final: bool
) -> None:
    """For any two files, the patch of their difference (with its surroundings) gives exactly the second."""
    old, new = [f"line {n}" for n in before], [f"line {n}" for n in after]
    chunks = [
        line
        for group in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_grouped_opcodes(len(old))
        for line in chunk_of(group, old, new)
    ]
    if not chunks:
        return
    has_final = has_final or not old

    def data(lines: list[str]) -> bytes:
        text = "".join(line + ending for line in lines)
        return (text if has_final else text.removesuffix(ending)).encode()

    expected = data(new)
    if ending.encode() not in data(old):
        expected = expected.replace(b"\r\n", b"\n")
    assert updated(data(old), *chunks) == expected


def chunk_of(group: Sequence[tuple[str, int, int, int, int]], old: list[str], new: list[str]) -> list[str]:
    lines = ["@@"]
    for tag, old_start, old_end, new_start, new_end in group:
        if tag == "equal":
            lines += [f" {line}" for line in old[old_start:old_end]]
            continue
        lines += [f"-{line}" for line in old[old_start:old_end]]
        lines += [f"+{line}" for line in new[new_start:new_end]]
    return lines


@settings(deadline=None)  # A busy machine is no failure.
@given(data=st.binary(max_size=200), position=st.integers(0, 20), text=LINE)
def test_bytes_around_an_insertion_survive(*, data: bytes, position: int, text: str) -> None:
    """Inserting below a unique line keeps every other byte, whatever the file holds."""
    lines = data.replace(b"\r", b"").split(b"\n")
    position = min(position, len(lines))
    lines.insert(position, b"<the place>")
    inserted = [*lines[: position + 1], text.encode(), *lines[position + 1 :]]
    assert updated(b"\n".join(lines), "@@", " <the place>", f"+{text}") == b"\n".join(inserted)


@settings(deadline=None)  # A busy machine is no failure.
@given(
    good=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    bad=st.sampled_from(["*** Delete File: none", "*** Update File: a\n@@\n-none", "*** Add File: ../x\n+"]),
    position=st.integers(0, 4),
)
def test_one_bad_hunk_anywhere_leaves_everything_unchanged(
    *, good: list[int], bad: str, position: int
) -> None:
    """Wherever it stands, a hunk that fails takes the whole patch with it."""
    hunks = [f"*** Add File: new-{number}\n+{number}" for number in good]
    hunks.insert(min(position, len(hunks)), bad)
    refusal(MemoryFiles({"a": b"1\n"}), *"\n".join(hunks).split("\n"))
