"""A turn on somebody's own directory: its files change at the end, its `.git` never does."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.checkout.local import LocalWorkspace, adopt
from sandbox.git.mirror import ChangedFile, Mirror
from sandbox.result import Stamp, stamp_of
from tests.sandbox_git.origin import Origin
from tests.sandbox_git.test_checkout import inside


@pytest.fixture
def project(origin: Origin) -> Path:
    """A repository with a commit, a change that is not committed, and files that are ignored."""
    origin.commit(
        {"calc.py": "a - b\n", "src/x.py": "x\n", "old/y.txt": "y\n", ".gitignore": "*.log\n.env\n"},
        links={"link": "calc.py"},
    )
    (origin.work / ".env").write_text("KEY=1\n")
    (origin.work / "src" / "x.py").write_text("x, not committed\n")
    (origin.work / "__pycache__").mkdir()
    (origin.work / "__pycache__" / "calc.pyc").write_bytes(b"1")
    os.mkfifo(origin.work / "pipe")
    return origin.work


@pytest.fixture
async def local(project: Path, tmp_path: Path) -> AsyncIterator[LocalWorkspace]:
    adopted = await adopt(project, tmp_path / "frame")
    yield adopted
    await adopted.remove()


def stamps(directory: Path) -> dict[str, Stamp]:
    return {str(path): stamp_of(path.lstat()) for path in directory.rglob("*")}


async def test_changes_land_in_the_directory_and_never_in_git(local: LocalWorkspace, project: Path) -> None:
    """Edits, new files, deletions and links arrive; caches and ignored files do not; `.git` is untouched."""
    git_before = stamps(project / ".git")
    tree = local.workspace.tree
    (tree / "calc.py").write_text("a + b\n")
    (tree / "new").mkdir()
    (tree / "new" / "tool").write_text("#!/bin/sh\n")
    (tree / "new" / "tool").chmod(0o755)
    (tree / "new" / "link").symlink_to("tool")
    (tree / "old" / "y.txt").unlink()
    (tree / "old").rmdir()
    (tree / ".env").write_text("KEY=2\n")
    (tree / "debug.log").write_text("noise\n")
    (tree / "__pycache__" / "calc.pyc").write_bytes(b"2")
    assert (project / "calc.py").read_text() == "a - b\n"

    told = await local.finish()

    assert told == (
        ChangedFile(".env", "update", "100644", b"KEY=2\n", added_lines=1, removed_lines=1),
        ChangedFile("calc.py", "update", "100644", b"a + b\n", added_lines=1, removed_lines=1),
        ChangedFile("new/link", "add", "120000", b"tool", added_lines=1),
        ChangedFile("new/tool", "add", "100755", b"#!/bin/sh\n", added_lines=1),
        ChangedFile("old/y.txt", "delete", "000000", None, removed_lines=1),
    )
    assert (project / "calc.py").read_text() == "a + b\n"
    assert (project / "new" / "link").readlink() == Path("tool")
    assert (project / "new" / "tool").stat().st_mode & 0o777 == 0o755
    assert (project / ".env").read_text() == "KEY=2\n"
    assert (project / "__pycache__" / "calc.pyc").read_bytes() == b"1"
    assert not (project / "old").exists()
    assert not (project / "debug.log").exists()
    assert stamps(project / ".git") == git_before


async def test_a_turn_without_changes_touches_nothing(local: LocalWorkspace, project: Path) -> None:
    """Neither a file nor a time in the directory is another one afterwards."""
    before = stamps(project)

    assert await local.finish() == ()

    assert stamps(project) == before


async def test_an_edit_of_the_user_s_meanwhile_is_kept(local: LocalWorkspace, project: Path) -> None:
    """Compare and swap: what both changed stays the user's, and is told; the rest lands."""
    (local.workspace.tree / "calc.py").write_text("the turn's\n")
    (local.workspace.tree / "new.txt").write_text("the turn's\n")
    (local.workspace.tree / "src" / "x.py").write_text("the turn's\n")
    (project / "calc.py").write_text("the user's\n")
    (project / "new.txt").write_text("the user's\n")

    told = await local.finish()

    assert [(change.path, change.problem is None) for change in told] == [
        ("calc.py", False),
        ("new.txt", False),
        ("src/x.py", True),
    ]
    assert (project / "calc.py").read_text() == "the user's\n"
    assert (project / "new.txt").read_text() == "the user's\n"
    assert (project / "src" / "x.py").read_text() == "the turn's\n"


async def test_links_never_lead_a_write_elsewhere(
    local: LocalWorkspace, project: Path, tmp_path: Path
) -> None:
    """A link that becomes a file is replaced, not written through; a link out of the tree is not made."""
    tree = local.workspace.tree
    (tree / "link").unlink()
    (tree / "link").write_text("a file now\n")
    (tree / "way-out").symlink_to(tmp_path)
    (tree / "src" / "x.py").unlink()
    (tree / "src" / "x.py").symlink_to("../calc.py")

    told = await local.finish()

    assert [(change.path, change.problem) for change in told] == [
        ("link", None),
        ("src/x.py", None),
        ("way-out", "a symlink to an absolute path"),
    ]
    assert (project / "calc.py").read_text() == "a - b\n"
    assert not (project / "link").is_symlink()
    assert (project / "src" / "x.py").readlink() == Path("../calc.py")
    assert not (project / "way-out").is_symlink()


async def test_a_directory_may_become_a_file_and_a_file_a_directory(
    local: LocalWorkspace, project: Path
) -> None:
    """What stands in the way goes first."""
    tree = local.workspace.tree
    (tree / "old" / "y.txt").unlink()
    (tree / "old").rmdir()
    (tree / "old").write_text("a file now\n")
    (tree / "calc.py").unlink()
    (tree / "calc.py").mkdir()
    (tree / "calc.py" / "part").write_text("p\n")

    await local.finish()

    assert (project / "old").read_text() == "a file now\n"
    assert (project / "calc.py" / "part").read_text() == "p\n"


async def test_git_inside_sees_the_user_s_repository(
    local: LocalWorkspace, project: Path, tmp_path: Path
) -> None:
    """Status and log as the user would see them, from the user's own objects, by no remote."""
    git, objects = local.workspace.git, local.workspace.objects
    assert git is not None
    assert objects == project / ".git" / "objects"
    borrowed = Mirror(project / ".git")

    status = inside(borrowed, git, local.workspace.tree, "status", "--porcelain")
    log = inside(borrowed, git, local.workspace.tree, "log", "--format=%s")

    assert status == " M src/x.py\n"
    assert log == "A day's work\n"


async def test_a_plain_directory_works_the_same_way(tmp_path: Path) -> None:
    """No repository is needed, and none is made."""
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "notes.txt").write_text("a\n")
    local = await adopt(plain, tmp_path / "frame")
    (local.workspace.tree / "notes.txt").write_text("b\n")
    (local.workspace.tree / ".git").mkdir()
    (local.workspace.tree / ".git" / "config").write_text("[core]\n")

    told = await local.finish()
    await local.remove()

    assert local.workspace.git is None
    assert [(change.path, change.problem is None) for change in told] == [
        (".git", False),
        ("notes.txt", True),
    ]
    assert {path.name: path.read_text() for path in plain.iterdir()} == {"notes.txt": "b\n"}
    assert not (tmp_path / "frame").exists()


async def test_a_work_tree_of_a_repository_elsewhere(origin: Origin, tmp_path: Path) -> None:
    """`git worktree add` leaves a `.git` file; what it names is read, not run."""
    origin.commit({"a.txt": "a\n"})
    other = tmp_path / "other"
    origin.git("worktree", "add", "--quiet", "-b", "side", str(other))
    origin.git("pack-refs", "--all")

    local = await adopt(other, tmp_path / "frame")

    assert local.workspace.git is not None
    assert local.workspace.objects == origin.work / ".git" / "objects"
    assert (local.workspace.git / "HEAD").read_text() == f"{origin.head()}\n"
    await local.remove()
