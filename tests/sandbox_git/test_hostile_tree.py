"""What an agent may leave in its tree, and what the host makes of it: data or a problem, never an action."""

import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox.checkout import check_out
from sandbox.checkout.layers import LayerStore
from sandbox.git.mirror import ChangedFile, CommitRefused, Identity, Mirror
from sandbox.result import MAX_ADDED, ResultRefused
from tests.sandbox_git.origin import DAY, Origin
from tests.sandbox_git.overlay import Shown, shown


@pytest.fixture(params=["layers", "all files"])
async def checkout(
    request: pytest.FixtureRequest, origin: Origin, mirror: Mirror, tmp_path: Path
) -> AsyncIterator[Shown]:
    """A repository with a file, a directory, a link and rules for what to ignore."""
    base = origin.commit(
        {
            "README.md": "one\ntwo\n",
            "src/app.py": "print(1)\n",
            "kept.log": "kept although ignored\n",
            ".gitignore": "*.log\nbuild/\n!important.log\n",
        },
        links={"link": "README.md"},
    )
    await mirror.fetch(origin.remote, base)
    layers = LayerStore(mirror, owner_uid=None) if request.param == "layers" else None
    made = await check_out(mirror, base, tmp_path / "turn", owner_uid=None, layers=layers)
    with shown(made) as opened:
        yield opened


def plant_pipe(tree: Path) -> None:
    os.mkfifo(tree / "thing")


def plant_socket(tree: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(tree)  # a socket's path is short
        try:
            listener.bind("thing")
        finally:
            os.chdir(here)


def plant_device(tree: Path) -> None:
    os.mknod(tree / "thing", stat.S_IFCHR | 0o666, os.makedev(1, 5))


def plant_sparse(tree: Path) -> None:
    with (tree / "thing").open("wb") as file:
        file.truncate(4 * 1024**3)


def link_to(target: str) -> Callable[[Path], None]:
    def plant(tree: Path) -> None:
        (tree / "src" / "thing").symlink_to(target)

    return plant


def write_at(path: str | bytes) -> Callable[[Path], None]:
    def plant(tree: Path) -> None:
        place = tree / os.fsdecode(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir():  # where the view of the history is to be shown
            place.rmdir()
        place.write_bytes(b"x\n")

    return plant


@pytest.mark.parametrize(
    ("plant", "path", "problem"),
    [
        (plant_pipe, "thing", "a named pipe, not a regular file"),
        (plant_socket, "thing", "a socket, not a regular file"),
        (plant_sparse, "thing", "larger than 50 MB"),
        (link_to("/etc/passwd"), "src/thing", "a symlink to an absolute path"),
        (link_to("../../outside"), "src/thing", "a symlink that leads out of the checkout"),
        (link_to("../link/../../outside"), "src/thing", "a symlink that leads out of the checkout"),
        (link_to("../.git/config"), "src/thing", "a symlink whose target is no plain path"),
        (link_to("a\nb"), "src/thing", "a symlink whose target is no plain path"),
        (write_at("a\nb"), "a\\nb", "a name with a line break or control character"),
        (write_at(b"a\xff"), "a\\xff", "a name that is not valid UTF-8"),
        (write_at("a\\b"), "a\\b", "a name with a backslash"),
        (write_at("git~1"), "git~1", "a name that some systems take for a git directory"),
        (write_at("src/.GIT"), "src/.GIT", "a name that some systems take for a git directory"),
        (write_at(".git"), ".git", "a name that some systems take for a git directory"),
        (
            write_at("src/.git/config"),
            "src/.git",
            "a git directory, or something that some systems take for one",
        ),
        (
            write_at(".g\u200cit/config"),
            ".g\\u200cit",
            "a git directory, or something that some systems take for one",
        ),
        (write_at(".git/hooks/x"), ".git", "a git directory, or something that some systems take for one"),
        (write_at("readme.md"), "readme.md", "differs by case only from README.md"),
        (write_at("SRC/new.py"), "SRC/new.py", "differs by case only from src"),
        (write_at("d/" * 101 + "x"), "d/" * 100 + "d", "nested deeper than 100 directories"),
    ],
)
async def test_what_git_cannot_hold_is_a_problem(
    checkout: Shown, plant: Callable[[Path], None], path: str, problem: str
) -> None:
    """Each is named, with the reason; none is opened, followed or read."""
    plant(checkout.tree)

    changes = await checkout.changes()

    assert changes == (ChangedFile(path, "add", "000000", None, problem=problem),)


async def test_a_device_is_a_problem(checkout: Shown) -> None:
    """A device is looked at and left alone; who is not root cannot even make one."""
    expected: tuple[ChangedFile, ...] = ()
    if os.geteuid() == 0:
        plant_device(checkout.tree)
        expected = (ChangedFile("thing", "add", "000000", None, "a character device, not a regular file"),)

    assert await checkout.changes() == expected


async def test_a_problem_cannot_be_committed(mirror: Mirror, checkout: Shown) -> None:
    """The commit gate does not rely on anyone having looked."""
    plant_pipe(checkout.tree)
    changes = await checkout.changes()
    someone = Identity("a", "a@example.org")

    with pytest.raises(CommitRefused, match="named pipe"):
        await mirror.commit(
            parent=checkout.checkout.sha, changes=changes, message="m", author=someone, date=DAY
        )
    for path in ("../up", "/abs", ".git/config", "a//b", "./a", ""):
        change = ChangedFile(path, "add", "100644", b"x")
        with pytest.raises(CommitRefused):
            await mirror.commit(
                parent=checkout.checkout.sha, changes=[change], message="m", author=someone, date=DAY
            )


async def test_links_inside_are_links(checkout: Shown) -> None:
    """A relative link that stays in the tree is delivered as a link, not as what it points at."""
    tree = checkout.tree
    (tree / "src" / "readme").symlink_to("../README.md")
    (tree / "link").unlink()
    (tree / "link").symlink_to("src")

    assert await checkout.changes() == (
        ChangedFile("link", "update", "120000", b"src", added_lines=1, removed_lines=1),
        ChangedFile("src/readme", "add", "120000", b"../README.md", added_lines=1),
    )


async def test_a_directory_swapped_for_a_link_shows_nothing_of_its_target(
    checkout: Shown, tmp_path: Path
) -> None:
    """What lies behind the link is not read; the files that were there are gone."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "app.py").write_text("the host's secret\n")
    tree = checkout.tree
    (tree / "src" / "app.py").unlink()
    (tree / "src").rmdir()
    (tree / "src").symlink_to(outside)

    assert await checkout.changes() == (
        ChangedFile("src", "add", "000000", None, problem="a symlink to an absolute path"),
        ChangedFile("src/app.py", "delete", "000000", None, removed_lines=1),
    )


async def test_a_hard_link_is_its_content(checkout: Shown) -> None:
    """Two names of one file are two files."""
    tree = checkout.tree
    (tree / "copy.md").hardlink_to(tree / "README.md")

    assert await checkout.changes() == (
        ChangedFile("copy.md", "add", "100644", b"one\ntwo\n", added_lines=2),
    )


async def test_an_edit_that_hides_its_traces_is_seen(checkout: Shown) -> None:
    """Same size, same modification time, same inode: the change time tells."""
    path = checkout.tree / "README.md"
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"ONE\nTWO\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert await checkout.changes() == (
        ChangedFile("README.md", "update", "100644", b"ONE\nTWO\n", added_lines=2, removed_lines=2),
    )


async def test_touched_files_are_no_changes(checkout: Shown) -> None:
    """A new time, or the same bytes written again, is nothing to deliver."""
    tree = checkout.tree
    (tree / "README.md").touch()
    content = (tree / "src/app.py").read_bytes()
    (tree / "src/app.py").unlink()
    (tree / "src/app.py").write_bytes(content)
    (tree / "empty" / "directory").mkdir(parents=True)
    (tree / ".git").mkdir(exist_ok=True)

    assert await checkout.changes() == ()


async def test_ignored_files_stay_behind(checkout: Shown) -> None:
    """The base's rules hold for new files, whatever the agent makes of them; tracked files always count."""
    tree = checkout.tree
    for name in (
        "noise.log",
        "build/out.o",
        "src/__pycache__/app.pyc",
        "node_modules/x/index.js",
        ":(top)x.log",
    ):
        write_at(name)(tree)
    write_at("important.log")(tree)
    write_at("secret.txt")(tree)
    (tree / ".gitignore").write_text("secret.txt\n")
    (tree / "kept.log").write_text("changed\n")

    changes = await checkout.changes()

    assert [(change.path, change.kind) for change in changes] == [
        (".gitignore", "update"),
        ("important.log", "add"),
        ("kept.log", "update"),
        ("secret.txt", "add"),
    ]


async def test_a_flood_of_files_is_no_result(checkout: Shown) -> None:
    """Reading them all would cost the service its memory; as many that are ignored cost nothing."""
    for name in ("build", "src"):
        directory = checkout.tree / name / "deep"
        directory.mkdir(parents=True)
        for number in range(MAX_ADDED + 1):
            os.mknod(directory / str(number))
        if name == "build":
            assert await checkout.changes() == ()

    with pytest.raises(ResultRefused, match="more than 50000 new files"):
        await checkout.changes()


async def test_a_planted_repository_runs_nothing(checkout: Shown, mirror: Mirror, tmp_path: Path) -> None:
    """Configuration, hooks, filters and attributes in the tree are bytes like any others."""
    tree = checkout.tree
    witness = tmp_path / "witness"
    run = f"touch {witness}"
    config = (
        f'[core]\n\tfsmonitor = "{run}"\n\thooksPath = {tree}/hooks\n\tsshCommand = "{run}"\n'
        f'\tworktree = /etc\n[filter "x"]\n\tclean = {run}\n\tsmudge = {run}\n\tprocess = {run}\n'
        f'[diff "x"]\n\ttextconv = {run}\n\tcommand = {run}\n[diff]\n\texternal = {run}\n'
        f'[url "http://127.0.0.1:9/"]\n\tinsteadOf = file:///\n[credential]\n\thelper = "!{run}"\n'
        f"[include]\n\tpath = {tree}/more\n"
    )
    for name in (".git/config", "src/.git/config", "more", ".gitconfig"):
        write_at(name)(tree)
        (tree / name).write_text(config)
    (tree / ".gitattributes").write_text(
        "* filter=x diff=x text eol=crlf ident working-tree-encoding=UTF-16\n"
    )
    (tree / "README.md").write_text("$Id$\r\nmixed\n")
    (tree / "hooks").mkdir()
    for name in ("post-checkout", "pre-push", "reference-transaction", "post-index-change"):
        (tree / "hooks" / name).write_text(f"#!/bin/sh\n{run}\n")
        (tree / "hooks" / name).chmod(0o755)

    changes = await checkout.changes()
    sound = [change for change in changes if change.problem is None]
    diff = await mirror.diff_of(checkout.checkout.sha, sound, limit=10_000)
    sha = await mirror.commit(
        parent=checkout.checkout.sha, changes=sound, message="m", author=Identity("a", "a@b"), date=DAY
    )

    assert not witness.exists()
    assert await mirror.read(sha, "README.md", limit=100) == b"$Id$\r\nmixed\n"
    assert "+$Id$\r\n" in diff
    assert [change.path for change in changes if change.problem is not None] == [".git", "src/.git"]


async def test_an_unreadable_directory_deletes_nothing(checkout: Shown) -> None:
    """What cannot be seen is not taken for gone."""
    source = checkout.tree / "src"
    source.chmod(0)

    changes = await checkout.changes()
    source.chmod(0o755)

    assert not [change for change in changes if change.kind == "delete"]


async def test_a_file_in_place_of_a_directory_and_the_other_way(checkout: Shown, mirror: Mirror) -> None:
    """Both turn into commits that git takes."""
    tree = checkout.tree
    (tree / "src" / "app.py").unlink()
    (tree / "src").rmdir()
    (tree / "src").write_text("a file\n")
    (tree / "README.md").unlink()
    write_at("README.md/part")(tree)

    changes = await checkout.changes()
    sha = await mirror.commit(
        parent=checkout.checkout.sha, changes=changes, message="m", author=Identity("a", "a@b"), date=DAY
    )

    assert await mirror.read(sha, "src", limit=10) == b"a file\n"
    assert await mirror.read(sha, "README.md/part", limit=10) == b"x\n"
    assert await mirror.read(sha, "src/app.py", limit=10) is None


async def test_removal_takes_everything(checkout: Shown, tmp_path: Path) -> None:
    """Neither modes, nor depth, nor links keep a checkout alive, and nothing outside goes with it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("stays\n")
    tree = checkout.tree
    (tree / "way-out").symlink_to(outside)
    deep = os.open(tree, os.O_RDONLY)
    for _ in range(2000):
        os.mkdir("d", dir_fd=deep)
        below = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.fchmod(deep, 0)
    os.close(deep)

    await checkout.checkout.remove()
    await checkout.checkout.remove()

    assert not checkout.checkout.directory.exists()
    assert (outside / "file").read_text() == "stays\n"


async def test_marks_of_overlayfs_that_an_agent_sets_hide_nothing(checkout: Shown, tmp_path: Path) -> None:
    """An attribute that says a directory is opaque, or comes from elsewhere, is at most more work."""
    tree = checkout.tree
    (tree / "src" / "app.py").write_text("print(2)\n")
    for name, value in (("opaque", b"y"), ("redirect", b"/src"), ("whiteout", b"y"), ("metacopy", b"")):
        for where in ("src", "src/app.py", "."):
            for kind in ("trusted", "user"):
                with suppress(OSError):  # most cannot be set through the mount
                    os.setxattr(tree / where, f"{kind}.overlay.{name}", value)

    assert await checkout.changes() == (
        ChangedFile("src/app.py", "update", "100644", b"print(2)\n", added_lines=1, removed_lines=1),
    )
