"""The way of a change: fetched, checked out, edited, read back, committed, pushed."""

from pathlib import Path

from sandbox.checkout import check_out
from sandbox.git.mirror import ChangedFile, HeadMoved, Identity, Mirror, Pushed
from tests.sandbox_git.origin import DAY, Origin

BOT = Identity("darner[bot]", "darner[bot]@users.noreply.example.org")


async def test_a_turn_s_edits_become_a_commit_on_a_new_branch(
    origin: Origin, mirror: Mirror, tmp_path: Path
) -> None:
    """What changed in the tree, and nothing else, ends up on the branch."""
    base = origin.commit(
        {"src/calc.py": "def add(a, b):\n    return a - b\n", "old.txt": "x\n", "run": "#!\n"}
    )
    await mirror.fetch(origin.remote, base)
    checkout = await check_out(mirror, base, tmp_path / "turn", owner_uid=None)
    tree = checkout.workspace.tree
    (tree / "src/calc.py").write_text("def add(a, b):\n    return a + b\n")
    (tree / "src/test_calc.py").write_text("from calc import add\n")
    (tree / "old.txt").unlink()
    (tree / "run").chmod(0o755)

    changes = await checkout.changes()
    sha = await mirror.commit(parent=base, changes=changes, message="Fix add\n", author=BOT, date=DAY)
    outcome = await mirror.push(origin.remote, sha=sha, branch="darner/1-1", expected=None)

    assert changes == (
        ChangedFile("old.txt", "delete", "000000", None, removed_lines=1),
        ChangedFile("run", "update", "100755", b"#!\n"),
        ChangedFile(
            "src/calc.py",
            "update",
            "100644",
            b"def add(a, b):\n    return a + b\n",
            added_lines=1,
            removed_lines=1,
        ),
        ChangedFile("src/test_calc.py", "add", "100644", b"from calc import add\n", added_lines=1),
    )
    assert outcome == Pushed()
    assert origin.branch("darner/1-1") == sha
    assert origin.git("show", "--format=%an <%ae> %at %s", "--summary", sha, cwd=origin.directory) == (
        f"{BOT.name} <{BOT.email}> {DAY} Fix add\n\n"
        " delete mode 100644 old.txt\n"
        " mode change 100644 => 100755 run\n"
        " create mode 100644 src/test_calc.py"
    )
    assert origin.git("fsck", "--strict", "--no-dangling", cwd=origin.directory) == ""
    await checkout.remove()
    assert not (tmp_path / "turn").exists()


async def test_an_untouched_checkout_has_no_changes(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    """Reading back what was written finds nothing to say."""
    base = origin.commit({"a.txt": "a\n", "d/b.sh": "b\n"}, executable=("d/b.sh",), links={"d/link": "b.sh"})
    await mirror.fetch(origin.remote, base)
    checkout = await check_out(mirror, base, tmp_path / "turn", owner_uid=None)

    assert await checkout.changes() == ()


async def test_a_branch_that_moved_is_not_overwritten(origin: Origin, mirror: Mirror) -> None:
    """The push says where the branch is now, and leaves it there."""
    base = origin.commit({"a.txt": "a\n"})
    await mirror.fetch(origin.remote, base)
    change = ChangedFile("b.txt", "add", "100644", b"b\n")
    sha = await mirror.commit(parent=base, changes=[change], message="b", author=BOT, date=DAY)
    moved = origin.commit({"c.txt": "c\n"})

    outcome = await mirror.push(origin.remote, sha=sha, branch="main", expected=base)

    assert outcome == HeadMoved(moved)
    assert origin.branch("main") == moved
