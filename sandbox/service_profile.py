"""The system calls of the service in a container: what commands may do, and what it takes to confine them.

An engine's own profile refuses the namespaces and mounts that bubblewrap makes. This one allows those few and
keeps the rest of the commands' policy, for everything in the container. `python -m sandbox.service_profile`
prints what is kept in deploy/seccomp.json.
"""

import sys
from typing import Final

from sandbox.seccomp import rules
from sandbox.seccomp_json import docker_profile

NEEDED: Final = frozenset(
    {
        # Namespaces, made and entered.
        "clone",
        "unshare",
        "setns",
        "sethostname",
        # What is seen inside.
        "mount",
        "umount2",
        "pivot_root",
        "chroot",
        # Files of a checkout are opened so that nothing outside it is reached.
        "openat2",
        # A mirror is shared: git makes its directories set-group-id.
        "chmod",
        "fchmod",
        "fchmodat",
        "fchmodat2",
    }
)
"""Refused to commands, allowed to the service."""


def service_profile() -> str:
    """As `docker run --security-opt seccomp=FILE` takes it."""
    return docker_profile(rule for rule in rules() if rule.call not in NEEDED)


if __name__ == "__main__":
    sys.stdout.write(service_profile())
