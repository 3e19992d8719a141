"""What keeping a large work tree costs after a step that changed one file, beside `git status`."""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Final

from bench.figure import Figure, median, percentile
from bench.overlay import mounted
from bench.repository import FILES, git, make_repository, path_of
from sandbox.bubblewrap import BubblewrapDriver
from sandbox.checkout import check_out
from sandbox.checkout.layers import LayerStore
from sandbox.checkout.snapshots import Snapshots
from sandbox.git import Remote
from sandbox.git.mirror import Mirror
from sandbox.result import opened

ROUNDS: Final = 20
TARGET: Final = 0.1


async def measure() -> list[Figure]:
    """All figures of this file."""
    with tempfile.TemporaryDirectory(prefix="darner-bench-") as directory:
        home = Path(directory)
        origin = await asyncio.to_thread(make_repository, home / "origin.git", commits=1)
        mirror = Mirror(home / "1.git", protocols=("file",))
        await mirror.ensure()
        await mirror.fetch(Remote(f"file://{origin.directory}", "nobody", ""), *origin.commits)
        try:
            return await _figures(home, mirror, origin.commits[0])
        finally:
            await mirror.close()


async def _figures(home: Path, mirror: Mirror, sha: str) -> list[Figure]:
    owner = BubblewrapDriver().owner_uid
    store = LayerStore(mirror, owner_uid=owner)
    made = await check_out(mirror, sha, home / "turn", owner_uid=owner, layers=store)
    workspace = made.workspace
    if workspace.layers is None or workspace.git is None:
        raise TypeError("a checkout without layers")
    with mounted(workspace.layers, workspace.tree) as entering:
        status = (
            *("-C", str(workspace.tree), "-c", "safe.directory=*", "--no-optional-locks"),
            *(f"--git-dir={workspace.git}", f"--work-tree={workspace.tree}", "status", "--porcelain"),
        )
        (workspace.git / "objects/info/alternates").write_text(f"{mirror.objects}\n")
        with opened(Path(f"/proc/{entering[2]}/root{workspace.tree}")) as tree:
            snapshots = Snapshots(made, owner)
            name = await snapshots.take(tree)
            git(*status, cwd=home, entering=entering)
            taken, asked = [], []
            for number in range(ROUNDS):
                Path(f"/proc/self/fd/{tree}", path_of(number)).write_text(f"changed {number}\n")
                begun = time.perf_counter()
                name = await snapshots.take(tree)
                taken.append(time.perf_counter() - begun)
                begun = time.perf_counter()
                git(*status, cwd=home, entering=entering)
                asked.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            await snapshots.restore(name, tree)
            restored = time.perf_counter() - begun
    return [
        Figure(
            "snapshot.one_file",
            median(taken) * 1000,
            "ms",
            floor=median(asked) * 1000,
            target=f"<= {TARGET} x git status",
            ok=median(taken) <= TARGET * median(asked),
            note=f"{FILES} files, p95 {percentile(taken, 0.95) * 1000:.1f} ms; status in the same tree",
        ),
        Figure(
            "snapshot.restore", restored * 1000, "ms", note=f"{ROUNDS} changed files, none to be put back"
        ),
    ]
