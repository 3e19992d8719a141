"""An overlay mounted in a mount namespace of its own, for measuring what a sandbox would show."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.base import Layers


@contextmanager
def mounted(layers: Layers, place: Path) -> Iterator[tuple[str, ...]]:
    """What to put before a command that is to see the merged tree at `place`."""
    places = f"lowerdir={':'.join(map(str, layers.lower))},upperdir={layers.upper},workdir={layers.work}"
    is_root = os.geteuid() == 0
    user = () if is_root else ("--user", "--map-root-user")
    options = "redirect_dir=on,index=off,xino=off,metacopy=off" if is_root else "userxattr"
    script = f"mount -t overlay overlay -o '{places},{options}' '{place}' && echo ready && exec sleep 600"
    unshare = ("unshare", *user, "--mount", "--propagation", "private", "sh", "-c", script)
    with subprocess.Popen(unshare, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise RuntimeError(f"no overlay could be mounted at {place}")
            entering = () if is_root else ("--user", "--preserve-credentials")
            yield ("nsenter", "--target", str(process.pid), "--mount", *entering)
        finally:
            process.kill()
