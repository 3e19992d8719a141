"""A checkout as a sandbox would show it: an overlay mounted in a mount namespace of its own."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.base import Layers
from sandbox.checkout import Checkout
from sandbox.git.mirror import ChangedFile
from sandbox.result import opened


@dataclass(frozen=True)
class Shown:
    """A checkout and its files, by a path that leads through an open descriptor."""

    checkout: Checkout
    tree: Path
    descriptor: int
    entering: tuple[str, ...] = ()
    """What to put before a command that is to see the files at `Workspace.tree`."""

    async def changes(self) -> tuple[ChangedFile, ...]:
        return await self.checkout.changes(self.descriptor)


@contextmanager
def shown(checkout: Checkout) -> Iterator[Shown]:
    """The checkout's files, mounted where it has layers."""
    layers = checkout.workspace.layers
    with ExitStack() as stack:
        place, entering = checkout.workspace.tree, tuple[str, ...]()
        if layers is not None:
            place, entering = stack.enter_context(mounted(layers))
        descriptor = stack.enter_context(opened(place))
        yield Shown(checkout, Path(f"/proc/{os.getpid()}/fd/{descriptor}"), descriptor, entering)


@contextmanager
def mounted(layers: Layers) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Where the merged tree is, and how a command gets into the namespace in which it is mounted."""
    place = layers.work.parent / "tree"
    options = f"lowerdir={':'.join(map(str, layers.lower))},upperdir={layers.upper},workdir={layers.work}"
    if os.geteuid() == 0:
        unsharing: tuple[str, ...] = ("unshare", "--mount", "--propagation", "private")
        options += ",redirect_dir=on,index=off,xino=off,metacopy=off"
    else:
        unsharing = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private")
        options += ",userxattr"
    script = f"mount -t overlay overlay -o '{options}' '{place}' && echo ready && exec sleep 600"
    with subprocess.Popen((*unsharing, "sh", "-c", script), stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            user = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")
            entering = ("nsenter", "--target", str(process.pid), "--mount", *user)
            yield Path(f"/proc/{process.pid}/root{place}"), entering
        finally:
            process.kill()
