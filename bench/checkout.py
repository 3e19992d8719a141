"""What a turn's checkout of a large repository costs, beside `git clone`, `git worktree add`, a bare mount.

A bare overlay mount is what layers cannot be had for less than: the directories made, and mount(8) run in a
mount namespace of its own. Both sides are measured with that same mount.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Final

from bench.figure import Figure, median
from bench.overlay import mounted
from bench.repository import FILES, Repository, git, make_repository
from sandbox.base import Layers
from sandbox.bubblewrap import BubblewrapDriver
from sandbox.checkout import Checkout, check_out
from sandbox.checkout.layers import LayerStore
from sandbox.checkout.removal import remove_tree
from sandbox.git import Remote
from sandbox.git.mirror import Mirror

ROUNDS: Final = 15
WRITINGS: Final = 2
"""Of all files, each way."""
CLONE_TARGET: Final = 0.1
MOUNT_TARGET: Final = 2.0
WORKTREE_TARGET: Final = 1.2


async def measure() -> list[Figure]:
    """All figures of this file."""
    with tempfile.TemporaryDirectory(prefix="darner-bench-") as directory:
        home = Path(directory)
        origin = await asyncio.to_thread(make_repository, home / "origin.git")
        mirror = Mirror(home / "1.git", protocols=("file",))
        await mirror.ensure()
        await mirror.fetch(Remote(f"file://{origin.directory}", "nobody", ""), *origin.commits)
        try:
            return await _figures(home, origin, mirror)
        finally:
            await mirror.close()


async def _figures(home: Path, origin: Repository, mirror: Mirror) -> list[Figure]:
    driver = BubblewrapDriver()
    store = LayerStore(mirror, owner_uid=driver.owner_uid)
    first, second = origin.commits

    async def layered(sha: str, name: str) -> Checkout:
        return await check_out(mirror, sha, home / name, owner_uid=driver.owner_uid, layers=store)

    full, worktree = [], []
    for number in range(WRITINGS):  # in turns, so that neither finds the quieter disk
        adding = ("worktree", "add", "--quiet", "--detach", str(home / f"worktree{number}"), first)
        worktree.append(await _seconds(_git(mirror.directory, *adding)))
        writing = check_out(mirror, first, home / f"full{number}", owner_uid=driver.owner_uid)
        full.append(await _seconds(writing))
    base = await _seconds(layered(first, "base"))
    delta = await _seconds(layered(second, "delta"))
    clone = await _seconds(_git(home, "clone", "--quiet", str(origin.directory), str(home / "clone")))
    exact, alone, bare = [], [], []
    for number in range(ROUNDS):
        begun = time.perf_counter()
        made = await layered(second, f"turn{number}")
        alone.append(time.perf_counter() - begun)
        layers = made.workspace.layers
        if layers is None:
            raise TypeError("a checkout without layers")
        with mounted(layers, made.workspace.tree):
            exact.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        with mounted(*_bare(home / f"bare{number}", layers.lower)):
            bare.append(time.perf_counter() - begun)
    removal = await _seconds(remove_tree(home / "turn0"))
    size = f"of {FILES} files"
    return [
        Figure(
            "checkout.over_clone",
            median(alone),
            "s",
            floor=clone,
            target=f"<= {CLONE_TARGET} x a plain local git clone",
            ok=median(alone) <= CLONE_TARGET * clone,
            note=f"{size}, of a commit that a turn had before",
        ),
        Figure(
            "checkout.over_mount",
            median(exact),
            "s",
            floor=median(bare),
            target=f"<= {MOUNT_TARGET} x the bare overlay mount",
            ok=median(exact) <= MOUNT_TARGET * median(bare),
            note="both with mount(8) in a mount namespace of its own",
        ),
        Figure("checkout.near_commit", delta, "s", floor=clone, note=f"{size}, one of which differs"),
        Figure("checkout.first", base, "s", floor=median(worktree), note=f"{size}; floor: git worktree add"),
        Figure(
            "checkout.all_files",
            median(full),
            "s",
            floor=median(worktree),
            target=f"<= {WORKTREE_TARGET} x git worktree add",
            ok=median(full) <= WORKTREE_TARGET * median(worktree),
            note="where the driver can show no layers",
        ),
        Figure("checkout.removal", removal, "s", note="of an unchanged turn's"),
    ]


def _bare(directory: Path, lower: tuple[Path, ...]) -> tuple[Layers, Path]:
    for name in ("tree", "upper", "work"):
        (directory / name).mkdir(parents=True)
    return Layers(lower, directory / "upper", directory / "work"), directory / "tree"


async def _git(directory: Path, *arguments: str) -> None:
    await asyncio.to_thread(git, *arguments, cwd=directory)


async def _seconds(work: Awaitable[object]) -> float:
    begun = time.perf_counter()
    await work
    return time.perf_counter() - begun
