"""What our own tools can read and change of a checkout: what is in it, nothing outside, all edits or none."""

import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.base import (
    FileContent,
    FileEdit,
    FileMissing,
    FileTooLarge,
    PathRefused,
    Policy,
    ReadOnly,
    RemoveFile,
    SandboxError,
    SandboxMode,
    WriteFile,
)
from sandbox.files import CheckoutFiles, is_git_name

WRITE = Policy(SandboxMode.WORKSPACE_WRITE)
SECRET = b"planted outside"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small checkout with a secret beside it."""
    (tmp_path / "secret").write_bytes(SECRET)
    tree = tmp_path / "tree"
    (tree / "src").mkdir(parents=True)
    (tree / "src" / "main.py").write_bytes(b"print('hello')\n")
    (tree / "run.sh").write_bytes(b"#!/bin/sh\n")
    (tree / "run.sh").chmod(0o750)
    return tree


@pytest.fixture
def files(tree: Path) -> CheckoutFiles:
    return CheckoutFiles(tree, WRITE)


def test_files_are_read_by_either_spelling(files: CheckoutFiles) -> None:
    """Relative to the checkout, or as the commands of the turn see it."""
    expected = FileContent(b"print('hello')\n", executable=False)
    for path in ("src/main.py", "/workspace/src/main.py", "./src//main.py", "src/../src/main.py"):
        assert files.read(path, limit=100) == expected
    assert files.read("run.sh", limit=100) == FileContent(b"#!/bin/sh\n", executable=True)


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "/etc/passwd",
        "/workspace/../secret",
        "/workspaces/x",
        "src/../../secret",
        "absolute-link",
        "relative-link",
        "linked-folder/secret",
        "chain",
        "proc-link/environ",
        "loop",
        "",
        "a\0b",
        "src",
        ".",
        "fifo",
        "/dev/null",
        "socket",
        "src/main.py/x",
    ],
)
def test_no_path_leads_outside(files: CheckoutFiles, tree: Path, path: str) -> None:
    """Whatever links the tree holds; what is not a regular file is not even opened."""
    (tree / "absolute-link").symlink_to(tree.parent / "secret")
    (tree / "relative-link").symlink_to("../secret")
    (tree / "linked-folder").symlink_to("..")
    (tree / "chain").symlink_to("relative-link")
    (tree / "proc-link").symlink_to("/proc/self")
    (tree / "loop").symlink_to("loop")
    os.mkfifo(tree / "fifo")
    os.mknod(tree / "socket", stat.S_IFSOCK | 0o600)
    before = _listing(tree.parent)
    with pytest.raises(PathRefused):
        files.read(path, limit=1000)
    with pytest.raises(PathRefused):
        files.apply([WriteFile("made", b"x"), WriteFile(path, b"overwritten")])
    assert _listing(tree.parent) == before


def test_links_inside_are_followed(files: CheckoutFiles, tree: Path) -> None:
    """Reading gives the target, writing changes the target, removing takes the link."""
    (tree / "link").symlink_to("src/main.py")
    (tree / "folder").symlink_to("src")
    files.apply([WriteFile("link", b"one"), WriteFile("folder/other.py", b"two")])
    assert (tree / "link").is_symlink()
    assert (tree / "src/main.py").read_bytes() == b"one"
    assert files.read("folder/other.py", limit=10).data == b"two"
    files.apply([RemoveFile("link")])
    assert _listing(tree) == {
        "folder": "-> src",
        "run.sh": b"#!/bin/sh\n",
        "src/main.py": b"one",
        "src/other.py": b"two",
    }


def test_the_git_directory_is_refused(files: CheckoutFiles, tree: Path) -> None:
    """Under every name that some file system takes for it, and behind a link as well."""
    (tree / ".git" / "hooks").mkdir(parents=True)
    (tree / ".git" / "config").write_text("[core]\n")
    (tree / ".git" / "hooks" / "post-checkout").write_text("#!/bin/sh\n")
    (tree / "innocent").symlink_to(".git")
    (tree / "src" / "config").symlink_to("../.git/config")
    for path in (
        ".git/config",
        ".GIT/config",
        "src/.git",
        "git~1/config",
        ".git ./config",
        ".git::$INDEX_ALLOCATION/config",
        ".g\u200cit/config",
        "a\\.git\\config",
        "innocent/config",
        "innocent/hooks/post-checkout",
        "src/config",
    ):
        with pytest.raises(PathRefused, match=r"\.git is not for tools"):
            files.read(path, limit=100)
        with pytest.raises(PathRefused, match=r"\.git is not for tools"):
            files.apply([WriteFile(path, b"evil")])
    for path in (".git/config", ".GIT/config", "innocent/config", "innocent/hooks/post-checkout"):
        with pytest.raises(PathRefused, match=r"\.git is not for tools"):
            files.apply([RemoveFile(path)])
    with pytest.raises(PathRefused, match=r"\.git is not for tools"):
        files.apply([WriteFile("innocent/hooks/pre-commit", b"evil")])
    assert _listing(tree / ".git") == {"config": b"[core]\n", "hooks/post-checkout": b"#!/bin/sh\n"}


def test_names_that_only_resemble_git_are_free(files: CheckoutFiles) -> None:
    """What projects keep beside it."""
    for path in (".gitignore", ".github/labels.yml", "git", ".gitmodules", "dot.git"):
        files.apply([WriteFile(path, b"x")])
        assert files.read(path, limit=1).data == b"x"


@given(
    st.sampled_from([".git", ".GIT", "git~1", "GIT~1"]),
    st.text(" .", max_size=3),
    st.sampled_from(["", ":x"]),
)
def test_no_decoration_hides_the_git_directory(name: str, trailing: str, stream: str) -> None:
    """Trailing dots and spaces, and the name of a stream, are dropped by Windows."""
    assert is_git_name(name + trailing + stream)


def test_reading_is_bounded(files: CheckoutFiles, tree: Path) -> None:
    """A sparse giant costs nothing; the limit itself is still read."""
    with (tree / "giant").open("wb") as giant:
        giant.truncate(1 << 40)
    with pytest.raises(FileTooLarge):
        files.read("giant", limit=1000)
    assert len(files.read("run.sh", limit=10).data) == 10
    with pytest.raises(FileTooLarge):
        files.read("run.sh", limit=9)


def test_what_is_missing_is_told(files: CheckoutFiles) -> None:
    """As a missing file, which a tool answers differently from a refused one."""
    for path in ("nothing", "no/such/folder/file", "src/nothing"):
        with pytest.raises(FileMissing):
            files.read(path, limit=1)
        with pytest.raises(FileMissing):
            files.apply([RemoveFile(path)])


def test_edits_keep_modes_and_make_folders(files: CheckoutFiles, tree: Path) -> None:
    """An executable stays one unless told otherwise; new files are readable by all."""
    files.apply(
        [
            WriteFile("run.sh", b"#!/bin/bash\n"),
            WriteFile("deep/er/new.txt", b"new"),
            WriteFile("tool", b"#!", executable=True),
            WriteFile("src/main.py", b"", executable=False),
        ]
    )
    assert {
        name: stat.S_IMODE((tree / name).stat().st_mode)
        for name in ("run.sh", "deep", "deep/er/new.txt", "tool", "src/main.py")
    } == {"run.sh": 0o750, "deep": 0o755, "deep/er/new.txt": 0o644, "tool": 0o755, "src/main.py": 0o644}
    files.apply([WriteFile("run.sh", b"plain", executable=False)])
    assert files.read("run.sh", limit=10) == FileContent(b"plain", executable=False)


def test_a_hard_link_elsewhere_keeps_its_content(files: CheckoutFiles, tree: Path) -> None:
    """A write makes a new inode; the other names of the old one are not concerned."""
    (tree / "linked").hardlink_to(tree.parent / "secret")
    files.apply([WriteFile("linked", b"changed")])
    assert (tree.parent / "secret").read_bytes() == SECRET
    assert (tree / "linked").read_bytes() == b"changed"


@pytest.mark.parametrize(
    "fault",
    [
        RemoveFile("nothing"),
        WriteFile("src", b"a directory"),
        WriteFile("../outside", b""),
        WriteFile(".git/config", b""),
        WriteFile("src/main.py/below", b""),
        WriteFile("new/" + "x" * 300, b"name too long"),
    ],
)
def test_one_fault_undoes_everything(files: CheckoutFiles, tree: Path, fault: FileEdit) -> None:
    """Nothing is changed, no folder was made, no file of ours is left, wherever in the list the fault is."""
    good: list[FileEdit] = [
        WriteFile("src/main.py", b"changed"),
        RemoveFile("run.sh"),
        WriteFile("made/by/us", b"new"),
    ]
    before = _listing(tree)
    for at in range(len(good) + 1):
        with pytest.raises(SandboxError):
            files.apply([*good[:at], fault, *good[at:]])
        assert _listing(tree) == before
        assert not (tree / "made").exists()


def test_later_edits_of_a_file_win(files: CheckoutFiles, tree: Path) -> None:
    """A list of edits means what doing them one after the other would mean."""
    files.apply(
        [
            WriteFile("a", b"1"),
            WriteFile("a", b"2"),
            RemoveFile("run.sh"),
            WriteFile("run.sh", b"again"),
            WriteFile("b", b"short-lived"),
            RemoveFile("b"),
        ]
    )
    assert _listing(tree) == {"a": b"2", "run.sh": b"again", "src/main.py": b"print('hello')\n"}
    with pytest.raises(FileMissing):
        files.apply([RemoveFile("a"), RemoveFile("a")])


def test_a_read_only_policy_refuses_edits(tree: Path) -> None:
    """With the path that was to be written."""
    files = CheckoutFiles(tree, Policy(SandboxMode.READ_ONLY))
    with pytest.raises(ReadOnly, match=r"src/main\.py"):
        files.apply([WriteFile("src/main.py", b"")])
    assert files.read("src/main.py", limit=100).data == b"print('hello')\n"


def test_a_linked_checkout_is_refused(tree: Path) -> None:
    """The root itself must be the directory that was meant."""
    link = tree.parent / "link"
    link.symlink_to(tree)
    with pytest.raises(PathRefused):
        CheckoutFiles(link, WRITE).read("run.sh", limit=100)


def test_files_belong_to_whoever_runs_the_commands(tree: Path) -> None:
    """Root gives what it writes away, else the next command could not change it; others are themselves."""
    owner = 65_533 if os.geteuid() == 0 else os.geteuid()
    files = CheckoutFiles(tree, WRITE, owner if os.geteuid() == 0 else None)
    files.apply([WriteFile("made/here", b"x"), WriteFile("run.sh", b"y")])
    assert {(tree / name).stat().st_uid for name in ("made", "made/here", "run.sh")} == {owner}


def test_a_racing_link_is_never_followed(files: CheckoutFiles, tree: Path) -> None:
    """While something turns a folder's link to the outside and back, no read and no write gets out."""
    (tree / "inside").mkdir()
    (tree / "inside" / "secret").write_bytes(b"inside")
    (tree / "real").symlink_to("inside")
    stop = threading.Event()

    def flip() -> None:
        while not stop.is_set():
            for target in (tree.parent, "inside"):
                (tree / "next").symlink_to(target)
                (tree / "next").rename(tree / "real")

    flipping = threading.Thread(target=flip)
    flipping.start()
    seen = set()
    try:
        for _ in range(500):
            try:
                seen.add(files.read("real/secret", limit=100).data)
                files.apply([WriteFile("real/secret", b"inside")])
            except (PathRefused, FileMissing):
                seen.add(b"refused")
    finally:
        stop.set()
        flipping.join()
    assert seen <= {b"inside", b"refused"}
    assert (tree.parent / "secret").read_bytes() == SECRET


def _listing(root: Path) -> dict[str, bytes | str]:
    found: dict[str, bytes | str] = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = path.read_bytes()
    return found
