"""What the service itself runs in: a container or not, what bounds it there, which of its flags lack.

docs/operations.md has the flags together. Those without which nothing can be confined show themselves when a
sandbox is built (`doctor.hint_for`); those that are looked at here are about the service itself: whoever got
out of a sandbox would find more in the container than there need be. In the project's own image no server
starts without them. Another container (to develop in, or of a CI) is its owner's: there it is a warning.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sandbox.base import Check

SECCOMP_FLAG: Final = "--security-opt seccomp=deploy/seccomp.json"
PROC_FLAG: Final = "--security-opt systempaths=unconfined"
TMPFS_FLAG: Final = "--tmpfs /tmp"
BOUND_FLAGS: Final = "--memory 4g --pids-limit 2048"

_MARKERS: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))
"""Docker's and Podman's."""
_OWN_IMAGE: Final = Path("/etc/darner-image")
"""Made by the Dockerfile's last stage."""
_SERVICE_ACCOUNT: Final = "KUBERNETES_SERVICE_HOST"
# As the container sees its own control group, in either version; a number, or none at all.
_BOUNDS: Final = {
    "memory": ("memory.max", "memory/memory.limit_in_bytes"),
    "pids": ("pids.max", "pids/pids.max"),
}
_UNBOUNDED: Final = 2**62
"""The first version writes the largest page-aligned number instead."""


def in_container() -> bool:
    return any(marker.exists() for marker in _MARKERS) or _SERVICE_ACCOUNT in os.environ


def bounded_from_outside() -> frozenset[str]:
    """Which of `memory` and `pids` the container bounds for the service and all that it starts."""
    return frozenset(what for what in _BOUNDS if in_container() and _is_bounded(what))


def container_checks() -> tuple[Check, ...]:
    """Whether the container is as tight as the documented flags make it. Nothing outside of one."""
    if not in_container():
        return ()
    lacking = list(_lacking_flags())
    if lacking:
        remedy = f"Start the container with `{' '.join(lacking)}`."
        result: Final = "failed" if _OWN_IMAGE.exists() else "warning"
        return (Check("container", result, "it leaves the service more than it needs", remedy),)
    return (Check("container", "ok", "no rights to gain, nothing of its system to write"),)


def _lacking_flags() -> Iterator[str]:
    facts = dict(
        line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line
    )
    if facts["NoNewPrivs"] != "1":
        yield "--security-opt no-new-privileges"
    if int(facts["CapBnd"], 16):
        yield "--cap-drop ALL"
    if not os.statvfs("/").f_flag & os.ST_RDONLY:
        yield "--read-only"


def _is_bounded(what: str) -> bool:
    for name in _BOUNDS[what]:
        try:
            words = Path("/sys/fs/cgroup", name).read_text().strip()
        except OSError:
            continue
        return words.isdecimal() and int(words) < _UNBOUNDED
    return False
