"""Checkouts on shared layers: the same files as a full checkout, made from what is there, kept in bounds."""

import asyncio
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from sandbox.checkout import Checkout, check_out, reopen
from sandbox.checkout.layer_shelf import KEPT_BASES, Shelf
from sandbox.checkout.layers import LayerStore
from sandbox.git.mirror import ChangedFile, Mirror
from tests.sandbox_git.origin import Origin
from tests.sandbox_git.overlay import Shown, shown
from tests.sandbox_git.test_checkout import inside

SANDBOX_UID = 65533 if os.geteuid() == 0 else None

FIRST: Mapping[str, str | bytes | None] = {
    "README.md": "one\n",
    "src/app.py": "print(1)\n",
    "src/old/gone.py": "x\n",
    "deep/er/only.txt": "x\n",
    "file-then-directory": "x\n",
    "directory-then-file/a": "a\n",
    "directory-then-file/b/c": "c\n",
    "odd\nname \xff".encode().decode("latin-1"): "odd\n",
    "run": "#!/bin/sh\n",
}


def first(origin: Origin) -> str:
    return origin.commit(FIRST, executable=("run",), links={"link": "README.md"})


def second(origin: Origin) -> str:
    """Everything that can differ between two commits: content, mode, kind, name, presence."""
    (origin.work / "directory-then-file/b").joinpath("c").unlink()
    (origin.work / "directory-then-file/b").rmdir()
    (origin.work / "directory-then-file/a").unlink()
    (origin.work / "directory-then-file").rmdir()
    (origin.work / "file-then-directory").unlink()
    (origin.work / "link").unlink()
    (origin.work / "run").chmod(0o644)
    return origin.commit(
        {
            "README.md": "two\n",
            "src/old/gone.py": None,
            "deep/er/only.txt": None,
            "directory-then-file": "now a file\n",
            "file-then-directory/x": "x\n",
            "src/new/added.py": "n\n",
        },
        links={"link": "src", "src/up": "../README.md"},
    )


def git_of(seen: Shown, mirror: Mirror, *arguments: str) -> str:
    """git as commands of the turn run it."""
    workspace = seen.checkout.workspace
    assert workspace.git is not None
    return inside(mirror, workspace.git, workspace.tree, *arguments, entering=seen.entering)


def files_of(tree: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and content of every file; the empty place of `.git` is left out."""
    found = {}
    for directory, _, names in os.walk(tree):
        for name in names:
            path = Path(directory, name)
            status = path.lstat()
            data = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
            found[str(path.relative_to(tree))] = (status.st_mode, data)
    return found


def directories_of(tree: Path) -> set[str]:
    return {
        str(Path(directory, name).relative_to(tree))
        for directory, names, _ in os.walk(tree)
        for name in names
        if name != ".git"
    }


def kinds(store: Path) -> list[str]:
    """The layers that are there, by kind."""
    return sorted(layer.name.split("-")[0] for layer in store.iterdir() if layer.is_dir())


def store_of(mirror: Mirror) -> Path:
    return next(path for path in mirror.directory.parent.iterdir() if ".layers" in path.name)


async def test_a_near_commit_costs_its_difference(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    """The layers of both commits show what full checkouts hold, with their owner, and git finds no change."""
    commits = (first(origin), second(origin))
    await mirror.fetch(origin.remote, *commits)
    store = LayerStore(mirror, owner_uid=SANDBOX_UID)
    for number, sha in enumerate(commits):
        full = await check_out(mirror, sha, tmp_path / f"full{number}", owner_uid=SANDBOX_UID)
        layered = await check_out(
            mirror, sha, tmp_path / f"turn{number}", owner_uid=SANDBOX_UID, layers=store
        )
        with shown(layered) as seen:
            tree = seen.tree
            assert files_of(tree) == files_of(full.workspace.tree)
            assert directories_of(tree) == directories_of(full.workspace.tree)
            owners = {(path.lstat().st_uid, path.lstat().st_gid) for path in [tree, *tree.rglob("*")]}
            assert SANDBOX_UID is None or owners <= {(SANDBOX_UID, SANDBOX_UID), (0, 0)}
            assert git_of(seen, mirror, "status", "--porcelain") == ""
            assert git_of(seen, mirror, "rev-parse", "HEAD").strip() == sha
            assert await seen.changes() == ()

    assert kinds(store_of(mirror)) == ["base", "delta"]


async def test_git_inside_reads_no_file_that_was_not_touched(
    origin: Origin, mirror: Mirror, tmp_path: Path
) -> None:
    """The shared index is valid through the overlay: the first status re-hashes nothing."""
    await mirror.fetch(origin.remote, sha := first(origin))
    made = await check_out(
        mirror, sha, tmp_path / "turn", owner_uid=None, layers=LayerStore(mirror, owner_uid=None)
    )
    layers = made.workspace.layers
    assert layers is not None
    # The same size and time, other content: only who reads the file can tell.
    (file,) = (layer / "src/app.py" for layer in layers.lower)
    before = file.stat()
    file.write_text("print(2)\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    with shown(made) as seen:
        assert git_of(seen, mirror, "status", "--porcelain") == ""
        (seen.tree / "README.md").write_text("two\n")
        assert git_of(seen, mirror, "status", "--porcelain") == " M README.md\n"


async def test_turns_of_one_commit_share_one_base(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    """Asked for at once, it is made once; what one turn does, the other does not see."""
    await mirror.fetch(origin.remote, sha := first(origin))
    stores = [LayerStore(mirror, owner_uid=None) for _ in range(4)]

    made = await asyncio.gather(
        *(
            check_out(mirror, sha, tmp_path / f"turn{number}", owner_uid=None, layers=store)
            for number, store in enumerate(stores)
        )
    )

    assert kinds(store_of(mirror)) == ["base"]
    with shown(made[0]) as one, shown(made[1]) as other:
        (one.tree / "README.md").write_text("changed\n")
        (other.tree / "src" / "app.py").unlink()
        assert [change.path for change in await one.changes()] == ["README.md"]
        assert [change.path for change in await other.changes()] == ["src/app.py"]


async def test_a_far_commit_gets_a_base_of_its_own(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    """A delta of most of a tree would cost as much as the tree, again and again."""
    many = {f"d{number}/{number}.txt": f"{number}\n" for number in range(600)}
    near, far = origin.commit({"a": "a\n"}), origin.commit(dict(many))
    await mirror.fetch(origin.remote, near, far)
    store = LayerStore(mirror, owner_uid=None)

    for sha in (near, far):
        await check_out(mirror, sha, tmp_path / sha, owner_uid=None, layers=store)

    assert kinds(store_of(mirror)) == ["base", "base"]


async def test_old_layers_go_when_nobody_stands_on_them(
    origin: Origin, mirror: Mirror, tmp_path: Path
) -> None:
    """What a checkout uses stays however old it is, also after a crash; the rest is bounded."""
    kept: list[Checkout] = []
    store = LayerStore(mirror, owner_uid=None)
    for number in range(KEPT_BASES + 3):
        tree = {f"{number}/{each}.txt": f"{number} {each}\n" for each in range(600)}
        sha = origin.commit({**tree, **dict.fromkeys(_previous(number))})
        await mirror.fetch(origin.remote, sha)
        kept.append(await check_out(mirror, sha, tmp_path / sha, owner_uid=None, layers=store))
    await Shelf(store_of(mirror)).tidy()
    assert len(kinds(store_of(mirror))) == len(kept)

    for checkout in kept[1:]:
        await checkout.remove()
    await Shelf(store_of(mirror)).tidy()

    left = {path.name for path in store_of(mirror).iterdir() if path.is_dir()}
    assert f"base-{kept[0].sha}" in left
    assert f"base-{kept[1].sha}" not in left
    assert len(left) == KEPT_BASES + 1
    with shown(kept[0]) as seen:
        assert await seen.changes() == ()


def _previous(number: int) -> list[str]:
    return [f"{number - 1}/{each}.txt" for each in range(600)] if number else []


async def test_a_build_that_was_killed_leaves_nothing(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    """Half a base is no base; the next turn makes a whole one, and half a checkout is none either."""
    await mirror.fetch(origin.remote, sha := first(origin))
    store = LayerStore(mirror, owner_uid=None)
    building = asyncio.create_task(check_out(mirror, sha, tmp_path / "killed", owner_uid=None, layers=store))
    await asyncio.sleep(0)
    half = mirror.directory.with_suffix(".layers") / ".new-0123"
    half.mkdir(parents=True, exist_ok=True)
    (half / "tree").mkdir()
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building

    made = await check_out(mirror, sha, tmp_path / "turn", owner_uid=None, layers=store)

    assert not half.exists()
    assert not (tmp_path / "killed").exists()
    with shown(made) as seen:
        assert await seen.changes() == ()


async def test_a_checkout_goes_on_where_it_was(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    """After a restart the turn's changes are there, even if somebody threw the layers away."""
    await mirror.fetch(origin.remote, *(commits := (first(origin), second(origin))))
    store = LayerStore(mirror, owner_uid=None)
    await check_out(mirror, commits[0], tmp_path / "before", owner_uid=None, layers=store)
    made = await check_out(mirror, commits[1], tmp_path / "turn", owner_uid=None, layers=store)
    with shown(made) as seen:
        (seen.tree / "README.md").write_text("kept\n")
    subprocess.run(("rm", "-rf", store_of(mirror)), check=True)  # noqa: ASYNC221 - nothing else runs

    again = await reopen(mirror, made.sha, made.directory, layers=store)

    assert again is not None
    with shown(again) as seen:
        assert await seen.changes() == (
            ChangedFile("README.md", "update", "100644", b"kept\n", added_lines=1, removed_lines=1),
        )
    assert await reopen(mirror, made.sha, made.directory) is None
    assert await reopen(mirror, made.sha, tmp_path / "nowhere", layers=store) is None


async def test_a_submodule_where_files_were(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    """Its empty directory is empty: nothing of the commit before shines through."""
    before = first(origin)
    origin.git("rm", "-rq", "src")
    origin.git("update-index", "--add", "--cacheinfo", f"160000,{before},src")
    origin.git("commit", "--quiet", "--message", "submodule")
    origin.git("push", "--quiet", str(origin.directory), "HEAD:refs/heads/main")
    await mirror.fetch(origin.remote, before, after := origin.head())
    store = LayerStore(mirror, owner_uid=None)

    await check_out(mirror, before, tmp_path / "before", owner_uid=None, layers=store)
    made = await check_out(mirror, after, tmp_path / "turn", owner_uid=None, layers=store)

    with shown(made) as seen:
        assert list((seen.tree / "src").iterdir()) == []
        assert await seen.changes() == ()


async def test_a_renamed_directory_is_all_of_its_files(
    origin: Origin, mirror: Mirror, tmp_path: Path
) -> None:
    """overlayfs only notes where a directory came from; the result has every file, and no file twice."""
    await mirror.fetch(origin.remote, sha := first(origin))
    store = LayerStore(mirror, owner_uid=None)
    made = await check_out(mirror, sha, tmp_path / "turn", owner_uid=None, layers=store)

    with shown(made) as seen:
        subprocess.run(  # noqa: ASYNC221 - nothing else runs
            ("mv", seen.tree / "src", seen.tree / "source"), check=True
        )
        (seen.tree / "source/old/gone.py").unlink()
        (seen.tree / "source/new.py").write_text("n\n")
        changes = await seen.changes()

    assert [(change.path, change.kind) for change in changes] == [
        ("source/app.py", "add"),
        ("source/new.py", "add"),
        ("src/app.py", "delete"),
        ("src/old/gone.py", "delete"),
    ]
