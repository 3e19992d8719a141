"""A checkout: the commit's very bytes, its owner, and the git that commands see inside."""

import os
import subprocess
from pathlib import Path

import pytest

from sandbox.base import OBJECTS, FileTooLarge
from sandbox.checkout import check_out
from sandbox.git import GitFailed
from sandbox.git.mirror import ChangedFile, Identity, Mirror, RefUnknown
from tests.sandbox_git.origin import Origin

ATTRIBUTES = (
    "* text=auto eol=crlf ident filter=lfs diff=lfs merge=lfs\n"
    "*.utf16 working-tree-encoding=UTF-16\n*.old crlf\n[attr]odd text eol=crlf\n*.odd odd\n"
)
CONTENT: dict[str, str | bytes] = {
    ".gitattributes": ATTRIBUTES,
    "lf.txt": b"$Id$\nline\n",
    "crlf.txt": b"line\r\n",
    "wide.utf16": "line\n",
    "a.old": b"x\n",
    "a.odd": b"x\n",
}


def inside(mirror: Mirror, git: Path, tree: Path, *arguments: str, entering: tuple[str, ...] = ()) -> str:
    """git as a command of the turn runs it, but for the place where the objects are shown."""
    finished = subprocess.run(
        (*entering, "git", "-C", str(tree), *arguments),
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_DIR": str(git),
            "GIT_WORK_TREE": str(tree),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(mirror.objects),
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        },
        check=True,
        capture_output=True,
        timeout=180,
    )
    return finished.stdout.decode()


async def raw_commit(origin: Origin, files: dict[str, str | bytes | None]) -> str:
    """A commit of exactly these bytes, whatever its own attributes would make of them."""
    (origin.work / ".git/info").mkdir(exist_ok=True)
    (origin.work / ".git/info/attributes").write_text("* -text -ident -filter !working-tree-encoding -crlf\n")
    return origin.commit(files)


async def test_attributes_alter_no_byte(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    """Line ends, keywords, encodings and filters of the repository's attributes are not applied."""
    base = await raw_commit(origin, {**CONTENT})
    await mirror.fetch(origin.remote, base)

    checkout = await check_out(mirror, base, tmp_path / "turn", owner_uid=None)

    tree = checkout.workspace.tree
    expected = {name: text.encode() if isinstance(text, str) else text for name, text in CONTENT.items()}
    assert {path.name: path.read_bytes() for path in tree.iterdir()} == expected
    assert await checkout.changes() == ()
    assert checkout.workspace.git is not None
    assert inside(mirror, checkout.workspace.git, tree, "status", "--porcelain") == ""


async def test_git_inside_sees_what_the_turn_did(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    """Status, diff and log work, even for an edit of the same length within the same second."""
    origin.commit({"a.txt": "a\n"})
    base = origin.commit({"calc.py": "a - b\n", "d/x": "x\n"})
    await mirror.fetch(origin.remote, base)
    checkout = await check_out(mirror, base, tmp_path / "turn", owner_uid=None)
    tree, git = checkout.workspace.tree, checkout.workspace.git
    assert git is not None
    (tree / "calc.py").write_text("a + b\n")
    (tree / "new.txt").write_text("n\n")
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__" / "calc.pyc").write_bytes(b"\0")

    assert inside(mirror, git, tree, "status", "--porcelain") == " M calc.py\n?? new.txt\n"
    assert "-a - b\n+a + b\n" in inside(mirror, git, tree, "diff")
    assert inside(mirror, git, tree, "log", "--format=%H").split()[0] == base
    assert inside(mirror, git, tree, "remote") == ""
    assert (git / "objects/info/alternates").read_text() == f"{OBJECTS}\n"
    assert not (git / "hooks").exists()


async def test_the_diff_is_what_git_would_show(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    """Made of the host's blobs, for the changes that are given, and the mirror keeps nothing of it."""
    base = origin.commit({"a.txt": "one\ntwo\n", "b.txt": "b\n"})
    await mirror.fetch(origin.remote, base)
    checkout = await check_out(mirror, base, tmp_path / "turn", owner_uid=None)
    (checkout.workspace.tree / "a.txt").write_text("one\n2\n")
    (checkout.workspace.tree / "b.txt").write_text("B\n")
    objects_before = sorted(mirror.objects.rglob("*"))

    first, second = await checkout.changes()

    assert await mirror.diff_of(base, [first], limit=1000) == (
        "diff --git a/a.txt b/a.txt\nindex 814f4a4..99b356d 100644\n--- a/a.txt\n+++ b/a.txt\n"
        "@@ -1,2 +1,2 @@\n one\n-two\n+2\n"
    )
    assert "b/b.txt" in await mirror.diff_of(base, [first, second], limit=1000)
    assert sorted(mirror.objects.rglob("*")) == objects_before
    cut = await mirror.diff_of(base, [first, second], limit=60)
    assert cut.endswith("[diff cut here: longer than 60 bytes]\n")


async def test_the_sandbox_s_user_owns_the_tree(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    """Files, directories and links belong to the user that commands run as; git's side does not."""
    uid = 65534 if os.geteuid() == 0 else os.geteuid()
    base = origin.commit(
        {"a/b/c.txt": "c\n", "run": "x\n"}, executable=("run",), links={"link": "/etc/passwd"}
    )
    await mirror.fetch(origin.remote, base)

    checkout = await check_out(mirror, base, tmp_path / "turn", owner_uid=uid)

    workspace = checkout.workspace
    owned = [workspace.tree, workspace.scratch, *workspace.tree.rglob("*"), *workspace.scratch.rglob("*")]
    assert {path.lstat().st_uid for path in owned} == {uid}
    assert Path("/etc/passwd").stat().st_uid == 0
    assert workspace.git is not None
    assert {path.stat().st_uid for path in workspace.git.rglob("*")} == {os.geteuid()}
    assert await checkout.changes() == ()


async def test_submodules_and_large_file_pointers_stay_as_they_are(
    origin: Origin, mirror: Mirror, tmp_path: Path
) -> None:
    """Nothing is fetched from where a repository's files point to, and its place is no change."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    await raw_commit(
        origin,
        {
            ".gitattributes": "*.bin filter=lfs\n",
            "big.bin": pointer,
            ".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = ../elsewhere.git\n',
        },
    )
    origin.git("update-index", "--add", "--cacheinfo", f"160000,{origin.head()},x")
    origin.git("commit", "--quiet", "--message", "submodule")
    origin.git("push", "--quiet", str(origin.directory), "HEAD:refs/heads/main")
    await mirror.fetch(origin.remote, "main")

    checkout = await check_out(mirror, origin.head(), tmp_path / "turn", owner_uid=None)

    assert (checkout.workspace.tree / "big.bin").read_text() == pointer
    assert list((checkout.workspace.tree / "x").iterdir()) == []
    assert await checkout.changes() == ()
    (checkout.workspace.tree / "x").rmdir()
    assert await checkout.changes() == ()


async def test_a_commit_with_a_git_directory_in_it_never_arrives(origin: Origin, mirror: Mirror) -> None:
    """A hostile tree that would write into `.git` is refused when it is fetched."""
    base = origin.commit({"a.txt": "a\n"})
    blob = origin.git("hash-object", "-w", "a.txt")
    raw = b"100644 .git\0" + bytes.fromhex(blob)
    (origin.work / "tree").write_bytes(raw)
    tree = origin.git("hash-object", "-w", "-t", "tree", "--literally", "tree")
    commit = origin.git("commit-tree", tree, "-p", base, "-m", "hostile")
    origin.git("update-ref", "refs/heads/hostile", commit)
    origin.git("push", "--quiet", str(origin.directory), "hostile")

    with pytest.raises(GitFailed, match="hasDotgit"):
        await mirror.fetch(origin.remote, commit)

    assert not await mirror.has(commit)


async def test_a_failed_checkout_leaves_nothing(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    """A commit that is not there makes no directory."""
    await mirror.fetch(origin.remote, origin.commit({"a": "a\n"}))

    with pytest.raises(RefUnknown):
        await check_out(mirror, "0" * 40, tmp_path / "turn", owner_uid=None)

    assert not (tmp_path / "turn").exists()


async def test_a_mirror_reads_files_of_a_commit(origin: Origin, mirror: Mirror) -> None:
    """Regular files only, whole or not at all; names are found in every directory."""
    base = origin.commit(
        {"AGENTS.md": "top\n", "a/AGENTS.md": "a\n", "a/b/CLAUDE.md": "b\n", "a/big": "x" * 100},
        links={"link": "AGENTS.md"},
    )
    await mirror.fetch(origin.remote, base)

    assert await mirror.read(base, "a/AGENTS.md", limit=10) == b"a\n"
    for path in ("link", "a", "nothing", "a/nothing", "nothing/a", "a\nb", "../a", ""):
        assert await mirror.read(base, path, limit=10) is None
    with pytest.raises(FileTooLarge, match="a/big"):
        await mirror.read(base, "a/big", limit=10)
    assert await mirror.list_paths(base, names={"AGENTS.md", "CLAUDE.md"}) == (
        "AGENTS.md",
        "a/AGENTS.md",
        "a/b/CLAUDE.md",
    )


async def test_a_mirror_compares_commits(origin: Origin, mirror: Mirror) -> None:
    """What a branch did since it left the other one; what the other did meanwhile is not in it."""
    fork = origin.commit({"a.txt": "a\n", ".gitattributes": "*.txt -diff\n"})
    head = origin.commit({"b.txt": "b\n"}, branch="side")
    origin.git("checkout", "--quiet", fork)
    base = origin.commit({"c.txt": "c\n"})
    await mirror.fetch(origin.remote, base, head)

    assert await mirror.diff(base, head, limit=10_000) == (
        "diff --git a/b.txt b/b.txt\nnew file mode 100644\nindex 0000000..6178079\n"
        "--- /dev/null\n+++ b/b.txt\n@@ -0,0 +1 @@\n+b\n"
    )


async def test_the_same_change_is_the_same_commit(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    """Another mirror, another day, another order: the same SHA, so that a repeated turn adds nothing."""
    base = origin.commit({"a.txt": "a\n", "b.txt": "b\n"})
    other = Mirror(tmp_path / "other" / "7.git", protocols=("file",))
    await other.ensure()
    changes = (
        ChangedFile("a.txt", "delete", "000000", None),
        ChangedFile('d/"quoted" ünï.txt', "add", "100644", b"q\n"),
        ChangedFile("e", "add", "120000", b"b.txt"),
    )
    author = Identity("Mallory <x>\nparent 0", "m@example.org>")
    made = []
    for each, order in ((mirror, changes), (other, changes[::-1]), (mirror, changes)):
        await each.fetch(origin.remote, base)
        made.append(
            await each.commit(parent=base, changes=order, message="Änderung\n\nx", author=author, date=7)
        )
    await other.close()

    assert len(set(made)) == 1
    assert await mirror.read(made[0], 'd/"quoted" ünï.txt', limit=10) == b"q\n"
    assert await mirror.has(made[0])
    assert subprocess.run(  # noqa: ASYNC221 - nothing else runs
        ("git", "cat-file", "commit", made[0]), cwd=mirror.directory, capture_output=True, check=True
    ).stdout.decode().split("\n", 2)[2] == (
        "author Mallory xparent 0 <m@example.org> 7 +0000\n"
        "committer Mallory xparent 0 <m@example.org> 7 +0000\n"
        "\nÄnderung\n\nx"
    )
