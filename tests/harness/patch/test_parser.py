"""The text of a patch: the whole grammar, what is forgiven, and what is refused with which line."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.patch import (
    AddFile,
    Chunk,
    DeleteFile,
    Operation,
    Patch,
    PatchLine,
    PatchRefused,
    UpdateFile,
    parse,
)


def kept(text: str) -> PatchLine:
    return PatchLine(" ", text)


def removed(text: str) -> PatchLine:
    return PatchLine("-", text)


def added(text: str) -> PatchLine:
    return PatchLine("+", text)


def test_every_element_of_the_grammar_is_understood() -> None:
    """One envelope may add, delete, update and move, with contexts, several chunks and an end of file."""
    text = """\
*** Begin Patch
*** Environment ID: box-1
*** Add File: a.txt
+one
+
*** Add File: empty.txt
*** Delete File: b.txt
*** Update File: c.txt
*** Move to: d/c.txt
@@ class C:
 kept
-old
+new
@@
-last
*** End of File
*** Update File: e.txt
@@
+more
*** End Patch
"""
    assert parse(text) == Patch(
        line=1,
        environment_id="box-1",
        operations=(
            AddFile(3, "a.txt", ("one", "")),
            AddFile(6, "empty.txt", ()),
            DeleteFile(7, "b.txt"),
            UpdateFile(
                8,
                "c.txt",
                (
                    Chunk(10, "class C:", (kept("kept"), removed("old"), added("new"))),
                    Chunk(14, None, (removed("last"),), at_end=True),
                ),
                move_to="d/c.txt",
            ),
            UpdateFile(17, "e.txt", (Chunk(18, None, (added("more"),)),)),
        ),
    )


@pytest.mark.parametrize(
    "text",
    [
        "  *** Begin Patch \n\t*** Update File:  a.txt  \n@@\n-x\n *** End Patch",
        "\n\n*** Begin Patch\n*** Update File: a.txt\n@@\n-x\n*** End Patch\n\n  \n",
        "*** Begin Patch\r\n*** Update File: a.txt\r\n@@\r\n-x\r\n*** End Patch\r\n",
        "<<EOF\n*** Begin Patch\n*** Update File: a.txt\n@@\n-x\n*** End Patch\nEOF\n",
        "<<'EOF'\n*** Begin Patch\n*** Update File: a.txt\n@@\n-x\n*** End Patch\nEOF",
        '<<"EOF"\n*** Begin Patch\n*** Update File: a.txt\n@@\n-x\n*** End Patch\nEOF\n',
        "apply_patch <<'PATCH'\n*** Begin Patch\n*** Update File: a.txt\n@@\n-x\n*** End Patch\nPATCH\n",
        "*** Begin Patch\n*** Update File: a.txt\n-x\n*** End Patch",
        "*** Begin Patch\n\n*** Update File: a.txt\n\n@@   \n-x\n*** End Patch",
    ],
)
def test_padding_carriage_returns_heredocs_and_a_missing_first_marker_are_forgiven(text: str) -> None:
    """What models write around a patch does not change what it means."""
    (operation,) = parse(text).operations
    assert isinstance(operation, UpdateFile)
    assert (operation.path, [chunk.lines for chunk in operation.chunks]) == ("a.txt", [(removed("x"),)])


def test_a_blank_line_in_a_chunk_is_an_empty_kept_line() -> None:
    """Editors strip the single space of an empty kept line; the patch still reads as meant."""
    patch = parse("*** Begin Patch\n*** Update File: a\n@@\n x\n\n-y\n*** End Patch")
    assert patch.operations == (UpdateFile(2, "a", (Chunk(3, None, (kept("x"), kept(""), removed("y"))),)),)


def test_blank_lines_after_an_end_of_file_and_between_operations_mean_nothing() -> None:
    """Gaps between the parts of a patch are for the eye."""
    update = "*** Begin Patch\n*** Update File: a\n@@\n-x\n*** End of File"
    assert parse(f"{update}\n\n\n*** Delete File: b\n\n*** End Patch").operations == (
        UpdateFile(2, "a", (Chunk(3, None, (removed("x"),), at_end=True),)),
        DeleteFile(8, "b"),
    )


def test_an_envelope_without_operations_can_be_read() -> None:
    """That it changes nothing is found when it is planned, not when it is read."""
    assert parse("*** Begin Patch\n*** End Patch") == Patch(1, ())


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "the patch is empty; it begins with '*** Begin Patch'."),
        ("hello", 1, "the first line of the patch must be '*** Begin Patch'."),
        ("*** Begin Patch", 1, "the last line of the patch must be '*** End Patch'."),
        ("*** Begin Patch\n*** Delete File: a", 2, "the last line of the patch must be '*** End Patch'."),
        (
            "*** Begin Patch\n*** Frobnicate File: a\n*** End Patch",
            2,
            (
                "'*** Frobnicate File: a' is not a valid hunk header. Valid hunk headers: "
                "'*** Add File: {path}', '*** Delete File: {path}', '*** Update File: {path}'."
            ),
        ),
        ("*** Begin Patch\n*** Add File:  \n+x\n*** End Patch", 2, "'*** Add File:' names no file."),
        (
            "*** Begin Patch\n*** Delete File: a\0b\n*** End Patch",
            2,
            "'*** Delete File:' names a path with a NUL character.",
        ),
        (
            "*** Begin Patch\n*** Environment ID:\n*** Delete File: a\n*** End Patch",
            2,
            "'*** Environment ID:' names no environment.",
        ),
        (
            "*** Begin Patch\n*** Environment ID: a\n*** Environment ID: b\n*** End Patch",
            3,
            "'*** Environment ID:' may stand once, right after '*** Begin Patch'.",
        ),
        ("*** Begin Patch\n*** Update File: a\n*** End Patch", 2, "the update of 'a' is empty."),
        (
            "*** Begin Patch\n*** Update File: a\n@@\n*** End Patch",
            3,
            "the chunk has no lines; write one '@@' line for each chunk.",
        ),
        (
            "*** Begin Patch\n*** Update File: a\n@@ class A\n@@ def f\n-x\n*** End Patch",
            3,
            "the chunk has no lines; write one '@@' line for each chunk.",
        ),
        (
            "*** Begin Patch\n*** Update File: a\n@@\n*** End of File\n*** End Patch",
            3,
            "the chunk has no lines; write one '@@' line for each chunk.",
        ),
        (
            "*** Begin Patch\n*** Update File: a\n@@\n-x\nfoo\n*** End Patch",
            5,
            "'foo': each line of a chunk begins with ' ' (kept), '-' (removed) or '+' (added).",
        ),
        (
            "*** Begin Patch\n*** Update File: a\n@@x\n-x\n*** End Patch",
            3,
            "'@@x': a space must follow '@@'.",
        ),
        (
            "*** Begin Patch\n*** Update File: a\n@@\n-x\n*** End of File\n-y\n*** End Patch",
            6,
            "a chunk begins with '@@' or '@@ <a line above the place>', not with '-y'.",
        ),
        (
            "*** Begin Patch\n*** Update File: a\n@@\n-x\n*** End of File now\n*** End Patch",
            5,
            "'*** End of File' must end a chunk of an '*** Update File:', with nothing after it on its line.",
        ),
        (
            "*** Begin Patch\n*** Update File: a\n@@\n-x\n*** Move to: b\n*** End Patch",
            5,
            "'*** Move to:' must come right after its '*** Update File:' line.",
        ),
        (
            "*** Begin Patch\n*** Delete File: a\n*** End Patch\n*** Delete File: b\n*** End Patch",
            3,
            "there is more text after '*** End Patch'; one patch has one envelope.",
        ),
        (
            "<<'EOF'\n*** Begin Patch\n*** Delete File: a\nx\n*** End Patch\nEOF",
            4,
            (
                "'x' is not a valid hunk header. Valid hunk headers: "
                "'*** Add File: {path}', '*** Delete File: {path}', '*** Update File: {path}'."
            ),
        ),
        (
            "*** Begin Patch\n*** Add File: a\n+\ud800\n*** End Patch",
            3,
            "a character here is half of a surrogate pair; write it as one.",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, line: int, message: str) -> None:
    """The author of a patch learns which line to mend, and how."""
    with pytest.raises(PatchRefused) as refused:
        parse(text)
    assert (refused.value.line, refused.value.message) == (line, message)


def render(patch: Patch) -> str:
    """The canonical text of a patch."""
    lines = ["*** Begin Patch"]
    if patch.environment_id is not None:
        lines.append(f"*** Environment ID: {patch.environment_id}")
    for operation in patch.operations:
        lines += render_operation(operation)
    return "\n".join([*lines, "*** End Patch", ""])


def render_operation(operation: Operation) -> list[str]:
    match operation:
        case AddFile():
            return [f"*** Add File: {operation.path}", *(f"+{line}" for line in operation.lines)]
        case DeleteFile():
            return [f"*** Delete File: {operation.path}"]
        case UpdateFile():
            lines = [f"*** Update File: {operation.path}"]
            if operation.move_to is not None:
                lines.append(f"*** Move to: {operation.move_to}")
            for chunk in operation.chunks:
                lines.append("@@" if chunk.context is None else f"@@ {chunk.context}")
                lines += [f"{line.mark}{line.text}" for line in chunk.lines]
                if chunk.at_end:
                    lines.append("*** End of File")
            return lines


def without_line_numbers(patch: Patch) -> list[object]:
    def of(operation: Operation) -> object:
        match operation:
            case AddFile():
                return (operation.path, operation.lines)
            case DeleteFile():
                return operation.path
            case UpdateFile():
                chunks = [(chunk.context, chunk.lines, chunk.at_end) for chunk in operation.chunks]
                return (operation.path, operation.move_to, chunks)

    return [patch.environment_id, *(of(operation) for operation in patch.operations)]


# Anything a line can hold: no line ends, and no CR at its end (that is part of a line end in a patch).
LINES = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=12)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=12)
CHUNKS = st.builds(
    Chunk,
    line=st.just(0),
    context=st.none() | LINES.filter(lambda line: bool(line.strip())),
    lines=st.lists(st.builds(PatchLine, st.sampled_from(" -+"), LINES), min_size=1, max_size=6).map(tuple),
    at_end=st.booleans(),
)
OPERATIONS = st.one_of(
    st.builds(AddFile, st.just(0), NAMES, st.lists(LINES, max_size=5).map(tuple)),
    st.builds(DeleteFile, st.just(0), NAMES),
    st.builds(
        UpdateFile,
        st.just(0),
        NAMES,
        st.lists(CHUNKS, min_size=1, max_size=4).map(tuple),
        move_to=st.none() | NAMES,
    ),
)
PATCHES = st.builds(
    Patch, st.just(1), st.lists(OPERATIONS, max_size=5).map(tuple), environment_id=st.none() | NAMES
)


@settings(deadline=None)  # A busy machine is no failure.
@given(PATCHES)
def test_reading_what_was_written_gives_it_back(patch: Patch) -> None:
    """Whatever a patch says, its text says the same."""
    assert without_line_numbers(parse(render(patch))) == without_line_numbers(patch)


@settings(deadline=None)  # A busy machine is no failure.
@given(
    st.lists(
        st.sampled_from([*render(Patch(1, ())).split("\n"), "@@", "@@ x", "+", "-a", " b", ""]), max_size=9
    )
)
def test_no_text_breaks_the_reader(lines: list[str]) -> None:
    """Any text is either a patch or refused; no other error comes out."""
    with suppress(PatchRefused):
        parse("\n".join(lines))
