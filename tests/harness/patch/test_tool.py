"""The tool `apply_patch` on a real checkout: what the model is told, and what it can never do."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from harness.items import Call, FileChange, ItemAdapter, ItemId, ItemStatus, PathChange, ToolItem
from harness.protocols import ArgumentsRefused
from harness.tools.apply_patch import ApplyPatch
from tests.harness.conftest import Confinement


@pytest.fixture
async def tool(confinement: Confinement) -> AsyncIterator[ApplyPatch]:
    async with confinement.open() as context:
        yield ApplyPatch(context)


def begun(tool: ApplyPatch, text: str, *, is_custom: bool = True) -> ToolItem:
    call = (
        Call("c1", "apply_patch", text, kind="custom")
        if is_custom
        else Call("c1", "apply_patch", json.dumps({"input": text}))
    )
    return tool.begin(call, ItemId("item_0"))


async def answer(tool: ApplyPatch, *lines: str) -> tuple[ItemStatus, str]:
    done = await tool.run(begun(tool, "\n".join(["*** Begin Patch", *lines, "*** End Patch"])))
    assert done.answer is not None
    # What the journal stores, it can load again.
    assert ItemAdapter.validate_json(ItemAdapter.dump_json(done)) == done
    return done.status, done.answer.text


@pytest.mark.parametrize("is_custom", [True, False])
async def test_the_intent_lists_the_changes_on_either_wire(tool: ApplyPatch, *, is_custom: bool) -> None:
    """Freeform text and a JSON argument say the same."""
    text = (
        "*** Begin Patch\n*** Add File: a\n+x\n*** Delete File: b\n"
        "*** Update File: c\n*** Move to: d\n@@\n-x\n+y\n*** End Patch"
    )
    item = begun(tool, text, is_custom=is_custom)
    assert isinstance(item, FileChange)
    assert (item.status, item.changes) == (
        ItemStatus.IN_PROGRESS,
        (PathChange("a", "add"), PathChange("b", "delete"), PathChange("c", "update", moved_to="d")),
    )


async def test_a_patch_that_cannot_be_read_is_refused_before_it_counts(tool: ApplyPatch) -> None:
    """The model is told the line; there is no intent and no effect."""
    with pytest.raises(ArgumentsRefused) as refused:
        begun(tool, "*** Begin Patch\n*** Frobnicate: a\n*** End Patch")
    assert str(refused.value).startswith(
        "No file was changed. patch line 2: '*** Frobnicate: a' is not a valid hunk header."
    )


async def test_files_change_in_the_checkout(tool: ApplyPatch, confinement: Confinement) -> None:
    """The answer is codex's summary; a script stays executable."""
    confinement.put("run.sh", "#!/bin/sh\necho a\n")
    (confinement.checkout / "run.sh").chmod(0o755)
    told = await answer(
        tool, "*** Update File: run.sh", "@@", "-echo a", "+echo b", "*** Add File: /workspace/deep/new", "+x"
    )
    assert told == (
        ItemStatus.COMPLETED,
        "Success. Updated the following files:\nA deep/new\nM run.sh",
    )
    assert (confinement.checkout / "run.sh").read_text() == "#!/bin/sh\necho b\n"
    assert (confinement.checkout / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (confinement.checkout / "deep/new").read_text() == "x\n"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../out", "'..' has no place in the path of a patch"),
        ("/etc/passwd", "outside the checkout"),
        ("/workspace/../etc/passwd", "'..' has no place in the path of a patch"),
        (".git/config", ".git is not for tools to read or change"),
        ("sub/.GIT/config", ".git is not for tools to read or change"),
        ("link/in", "leads outside the checkout"),
        ("pipe", "is not a regular file"),
        ("directory", "is a directory"),
    ],
)
async def test_no_patch_leaves_the_checkout(
    tool: ApplyPatch, confinement: Confinement, tmp_path: Path, path: str, why: str
) -> None:
    """Whatever the operation, a path that leads elsewhere fails with a clear message and changes nothing."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "in").write_text("secret\n")
    (confinement.checkout / "link").symlink_to(outside)
    (confinement.checkout / "directory").mkdir()
    os.mkfifo(confinement.checkout / "pipe")
    confinement.put("fine", "x\n")
    for operation in (
        (f"*** Add File: {path}", "+x"),
        (f"*** Update File: {path}", "@@", "-secret", "+x"),
        (f"*** Delete File: {path}",),
        ("*** Update File: fine", f"*** Move to: {path}", "@@", "-x", "+y"),
    ):
        status, text = await answer(tool, "*** Add File: first", "+x", *operation)
        assert (status, text.endswith(f"{path}: {why}")) == (ItemStatus.FAILED, True), text
    assert not (confinement.checkout / "first").exists()
    assert (confinement.checkout / "fine").read_text() == "x\n"
    assert (outside / "in").read_text() == "secret\n"


async def test_an_answer_about_bytes_that_are_no_text_is_text(
    tool: ApplyPatch, confinement: Confinement
) -> None:
    """A hint quotes the file; what is no UTF-8 in it is shown as such, not passed on."""
    (confinement.checkout / "latin").write_bytes(b"one\ncaf\xe9\n")
    status, text = await answer(tool, "*** Update File: latin", "@@", " one", "-two")
    assert status is ItemStatus.FAILED
    assert text.endswith("The first of them matches at line 1, but then the file has:\ncaf\ufffd")


async def test_a_failure_while_writing_leaves_nothing_behind(
    tool: ApplyPatch, confinement: Confinement
) -> None:
    """The second file's name is too long for any disk: the first one is not there either."""
    status, text = await answer(tool, "*** Add File: first", "+x", f"*** Add File: {'n' * 300}", "+x")
    assert (status, "patch line 4" in text) == (ItemStatus.FAILED, True), text
    assert list(confinement.checkout.iterdir()) == []
