"""Snapshots of a dirty work tree: taken at the cost of the change, brought back exactly, of both kinds."""

import itertools
import os
import shutil
import stat
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sandbox.checkout import check_out
from sandbox.checkout.layers import LayerStore
from sandbox.checkout.snapshots import NotRestored, Snapshots, SnapshotUnknown
from sandbox.git.mirror import Mirror
from tests.sandbox_git.origin import Origin
from tests.sandbox_git.overlay import Shown, shown

SANDBOX_UID = 65533 if os.geteuid() == 0 else None


@pytest.fixture(params=["layers", "all files"])
async def checkout(
    request: pytest.FixtureRequest, origin: Origin, mirror: Mirror, tmp_path: Path
) -> AsyncIterator[Shown]:
    base = origin.commit(
        {
            "README.md": "one\n",
            "src/app.py": "print(1)\n",
            "src/deep/er/x.py": "x\n",
            "run": "#!/bin/sh\n",
            "odd\nname": "odd\n",
            ".gitignore": "build/\n*.log\n",
        },
        executable=("run",),
        links={"link": "README.md"},
    )
    await mirror.fetch(origin.remote, base)
    layers = LayerStore(mirror, owner_uid=SANDBOX_UID) if request.param == "layers" else None
    made = await check_out(mirror, base, tmp_path / "turn", owner_uid=SANDBOX_UID, layers=layers)
    with shown(made) as opened:
        yield opened


def state_of(tree: Path) -> dict[str, tuple[int, int, bytes]]:
    """Kind and mode, owner and content of everything that is not ignored."""
    found = {}
    for directory, directories, names in os.walk(tree):
        directories[:] = [name for name in directories if name not in {".git", "build"}]
        for name in [*names, *directories]:
            path = Path(directory, name)
            status = path.lstat()
            data = b""
            if stat.S_ISLNK(status.st_mode):
                data = os.fsencode(path.readlink())
            elif stat.S_ISREG(status.st_mode):
                data = path.read_bytes()
            found[str(path.relative_to(tree))] = (status.st_mode, status.st_uid, data)
    return found


def own(tree: Path) -> None:
    """As if the sandbox's user had done it."""
    if SANDBOX_UID is not None:
        for path in tree.rglob("*"):
            os.chown(path, SANDBOX_UID, SANDBOX_UID, follow_symlinks=False)


def work(tree: Path) -> None:
    """Everything that a step can do to a tree."""
    (tree / "README.md").write_text("two\n")
    (tree / "src/app.py").unlink()
    shutil.rmtree(tree / "src/deep")
    (tree / "run").chmod(0o644)
    (tree / "link").unlink()
    (tree / "link").symlink_to("src")
    (tree / "odd\nname").rename(tree / b"odd\xffname".decode(errors="surrogateescape"))
    (tree / "new/empty").mkdir(parents=True)
    (tree / "new/file").write_text("n\n")
    (tree / "new").chmod(0o700)
    own(tree)


def wreck(tree: Path) -> None:
    """What an interrupted command may leave."""
    shutil.rmtree(tree / "new")
    (tree / "new").write_text("a file\n")
    shutil.rmtree(tree / "src")
    (tree / "src").symlink_to("/etc")
    (tree / "README.md").unlink()
    (tree / "README.md").mkdir()
    (tree / "README.md/part").write_text("x\n")
    (tree / "run").unlink()
    os.mkfifo(tree / "run")
    (tree / "link").unlink()
    (tree / "more/and/more").mkdir(parents=True)
    (tree / "more/and/more/x").write_text("x\n")


async def test_a_snapshot_comes_back(checkout: Shown) -> None:
    """Content, modes, links, kinds, odd names, empty directories; also the state the turn began with."""
    snapshots = Snapshots(checkout.checkout, SANDBOX_UID)
    pristine = state_of(checkout.tree)
    work(checkout.tree)
    worked = state_of(checkout.tree)
    name = await snapshots.take(checkout.descriptor)

    wreck(checkout.tree)
    await snapshots.restore(name, checkout.descriptor)
    assert state_of(checkout.tree) == worked
    assert await snapshots.take(checkout.descriptor) == name

    wreck(checkout.tree)
    await snapshots.restore(None, checkout.descriptor)
    assert state_of(checkout.tree) == pristine
    assert await checkout.changes() == ()

    await Snapshots(checkout.checkout, SANDBOX_UID).restore(name, checkout.descriptor)
    assert state_of(checkout.tree) == worked


async def test_ignored_files_are_left_alone(checkout: Shown) -> None:
    """What a build left is neither kept nor removed."""
    snapshots = Snapshots(checkout.checkout, SANDBOX_UID)
    (checkout.tree / "build").mkdir()
    (checkout.tree / "build/out.o").write_text("before\n")
    name = await snapshots.take(checkout.descriptor)
    (checkout.tree / "build/out.o").write_text("after\n")
    (checkout.tree / "more.log").write_text("log\n")

    await snapshots.restore(name, checkout.descriptor)

    assert (checkout.tree / "build/out.o").read_text() == "after\n"
    assert (checkout.tree / "more.log").read_text() == "log\n"
    store = checkout.checkout.directory / "snapshots" / "content"
    assert list(store.iterdir()) == []


async def test_a_second_snapshot_reads_only_what_changed(checkout: Shown) -> None:
    """A file that was not touched since is not read again: its content in the store may even be gone."""
    snapshots = Snapshots(checkout.checkout, SANDBOX_UID)
    for number in range(5):
        (checkout.tree / f"{number}.txt").write_text(f"{number}\n")
    time.sleep(0.05)  # noqa: ASYNC251 - in one tick of the kernel's clock a file could change unseen
    first = await snapshots.take(checkout.descriptor)
    store = checkout.checkout.directory / "snapshots" / "content"
    for content in store.iterdir():
        content.unlink()

    (checkout.tree / "3.txt").write_text("three\n")
    second = await snapshots.take(checkout.descriptor)

    assert second != first
    assert [content.read_text() for content in store.iterdir()] == ["three\n"]
    with pytest.raises(SnapshotUnknown):
        await snapshots.restore(second, checkout.descriptor)
    assert (checkout.tree / "3.txt").read_text() == "three\n"


async def test_a_huge_file_is_noted_and_left(checkout: Shown) -> None:
    """It is not kept, and not taken away; the rest comes back."""
    snapshots = Snapshots(checkout.checkout, SANDBOX_UID)
    with (checkout.tree / "huge").open("wb") as file:
        file.truncate(4 * 1024**3)
    (checkout.tree / "README.md").write_text("two\n")
    name = await snapshots.take(checkout.descriptor)
    (checkout.tree / "README.md").write_text("three\n")

    await snapshots.restore(name, checkout.descriptor)

    assert (checkout.tree / "README.md").read_text() == "two\n"
    assert (checkout.tree / "huge").stat().st_size == 4 * 1024**3


async def test_bringing_back_follows_no_link(checkout: Shown, tmp_path: Path) -> None:
    """A directory that became a link to somewhere else is a directory again; nothing is written there."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "app.py").write_text("the host's\n")
    snapshots = Snapshots(checkout.checkout, SANDBOX_UID)
    (checkout.tree / "src/app.py").write_text("print(2)\n")
    name = await snapshots.take(checkout.descriptor)
    shutil.rmtree(checkout.tree / "src")
    (checkout.tree / "src").symlink_to(outside)

    await snapshots.restore(name, checkout.descriptor)

    assert (outside / "app.py").read_text() == "the host's\n"
    assert not (checkout.tree / "src").is_symlink()
    assert (checkout.tree / "src/app.py").read_text() == "print(2)\n"


async def test_bringing_back_is_not_led_away_by_swaps(checkout: Shown, tmp_path: Path) -> None:
    """A directory that something swaps for a link all the while: what the link leads to stays as it is."""
    outside = tmp_path / "outside"
    outside.mkdir()
    new = checkout.tree / "new"
    new.mkdir()
    new.chmod(0o700)
    own(checkout.tree)
    snapshots = Snapshots(checkout.checkout, SANDBOX_UID)
    name = await snapshots.take(checkout.descriptor)
    with swapping(new, outside):
        for _ in range(200):
            with suppress(NotRestored):
                await snapshots.restore(name, checkout.descriptor)
    status = outside.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o755, os.geteuid())


@contextmanager
def swapping(directory: Path, target: Path) -> Iterator[None]:
    """All the while, `directory` is now one, now a link to `target`."""
    link = directory.with_name("link to swap")
    is_over = threading.Event()

    def swap() -> None:
        while not is_over.is_set():
            with suppress(OSError):
                link.symlink_to(target)
            with suppress(OSError):
                directory.rmdir()
                link.rename(directory)
            with suppress(OSError):
                directory.unlink()
            with suppress(OSError):
                directory.mkdir()

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


async def test_files_that_come_and_go_hide_no_other(checkout: Shown) -> None:
    """A command of the turn may still run when its work is kept."""
    names = {f"{number}.txt" for number in range(40)}
    for name in names:
        (checkout.tree / name).write_text("kept\n")
    is_over = threading.Event()

    def come_and_go() -> None:
        for number in itertools.count():
            if is_over.is_set():
                return
            (checkout.tree / f"{number}.tmp").touch()
            (checkout.tree / f"{number}.tmp").unlink()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(150):
            assert names <= {change.path for change in await checkout.changes()}
    finally:
        is_over.set()
        thread.join()


async def test_an_unknown_snapshot_changes_nothing(checkout: Shown) -> None:
    """A name that was never given, or whose list is lost."""
    (checkout.tree / "README.md").write_text("two\n")

    with pytest.raises(SnapshotUnknown):
        await Snapshots(checkout.checkout, SANDBOX_UID).restore("0123", checkout.descriptor)

    assert (checkout.tree / "README.md").read_text() == "two\n"


@pytest.mark.parametrize("lost", ["content", "list"])
async def test_a_snapshot_that_a_disk_has_lost_part_of_changes_nothing(checkout: Shown, lost: str) -> None:
    """An emptied file, as a power cut may leave it, is not taken for what was kept."""
    snapshots = Snapshots(checkout.checkout, SANDBOX_UID)
    (checkout.tree / "README.md").write_text("two\n")
    own(checkout.tree)
    name = await snapshots.take(checkout.descriptor)
    kept = checkout.checkout.directory / "snapshots"
    contents = [path for path in (kept / "content").iterdir() if path.read_bytes() == b"two\n"]
    [emptied] = contents if lost == "content" else [kept / name]
    emptied.write_bytes(b"")
    (checkout.tree / "README.md").write_text("three\n")

    with pytest.raises(SnapshotUnknown):
        await snapshots.restore(name, checkout.descriptor)

    assert (checkout.tree / "README.md").read_text() == "three\n"
