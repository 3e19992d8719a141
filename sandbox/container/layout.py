"""What a turn's container is made of: mounts, limits, users, variables. Starts nothing.

Every path handed to the Engine was looked at here first, without following a link, while nothing of the turn
ran: the Engine is root and would follow one.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from docker.types import LogConfig, Mount, Ulimit

from sandbox.base import OBJECTS, WORKSPACE, Limits, Policy, SandboxMode, Workspace
from sandbox.etc import EtcFile
from sandbox.inside import (
    ENVIRONMENT,
    HOME,
    RUN_BYTES,
    SEARCH_PATH,
    SHARED_MEMORY_BYTES,
    TEMPORARY,
    Protection,
    open_files,
)
from sandbox.seccomp_json import docker_profile

KEEPER_UID: Final = 65532
"""Who keeps the container open: not whom commands run as, so that `kill -9 -1` spares it."""

KEEPER: Final = ("/bin/sh", "-c", "echo kept; read -r _")
"""Tells that it runs, and ends when the connection to its input does, and with it the container: so it dies
with the service."""

_LAUNCHER: Final = ("/sbin/docker-init", "-s", "--")
"""What the Engine puts into a container; `-s` makes it a subreaper: https://github.com/krallin/tini."""
_IN_ONE_STREAM: Final = ("/bin/sh", "-c", 'exec "$@" </dev/null 2>&1', "sh")
"""The Engine reads two pipes, whose order is lost."""
_IN_A_TERMINAL: Final = ("/bin/sh", "-c", 'stty rows 24 cols 80 2>/dev/null; exec "$@"', "sh")
"""An Engine before version 25 makes terminals without a size."""

# Beside the processes of commands: the container's first, its keeper, and the launcher of one command.
_PROCESSES_OF_OURS: Final = 3
_SYSFS_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """What is shown where."""

    source: Path
    target: str
    is_read_only: bool = True


def etc_files(uid: int) -> tuple[EtcFile, ...]:
    """What stands in the place of the image's own: the sandbox's user, and no names of the host's network."""
    texts = {
        "passwd": (
            "root:x:0:0:root:/:/usr/sbin/nologin\n"
            f"agent:x:{uid}:{uid}:agent:{HOME}:/bin/bash\n"
            "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
        ),
        "group": f"root:x:0:\nagent:x:{uid}:\nnogroup:x:65534:\n",
        "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
        "hostname": "sandbox\n",
        "resolv.conf": "# There is no network here.\n",
    }
    return tuple(EtcFile(name, text.encode()) for name, text in texts.items())


def places(
    workspace: Workspace,
    policy: Policy,
    protections: Sequence[Protection],
    *,
    etc: Path,
    extra_read_only: Sequence[Path],
) -> Iterator[Place]:
    """Every mount; those above others come later. Raises `SandboxUnavailable` for what is not there."""
    is_read_only = policy.mode is SandboxMode.READ_ONLY
    yield Place(workspace.tree, WORKSPACE, is_read_only=is_read_only)
    yield Place(workspace.scratch / "tmp", TEMPORARY, is_read_only=False)
    yield Place(workspace.scratch / "tmp", f"/var{TEMPORARY}", is_read_only=False)
    yield Place(workspace.scratch / "home", HOME, is_read_only=False)
    for protection in protections:
        yield Place(
            workspace.tree / protection.path,
            f"{WORKSPACE}/{protection.path}",
            is_read_only=protection.is_read_only,
        )
    if workspace.git is not None:
        yield Place(workspace.git, f"{WORKSPACE}/.git")
    if workspace.objects is not None:
        yield Place(workspace.objects, OBJECTS)
    for path in sorted(etc.iterdir()):
        yield Place(path, f"/etc/{path.name}")
    for path in extra_read_only:
        yield Place(path.resolve(), str(path))
    if not is_read_only:
        for cache in policy.caches:
            yield Place(cache.source, f"{HOME}/.cache/{cache.name}", is_read_only=False)


def container_settings(
    image: str, policy: Policy, shown: Sequence[Place], *, uid: int, runtime: str, labels: Mapping[str, str]
) -> dict[str, Any]:
    """What the Engine's `create` takes, but for the name."""
    return {
        "Image": image,
        "Entrypoint": list(KEEPER),
        "Cmd": [],
        "User": f"{KEEPER_UID}:{KEEPER_UID}",
        "Hostname": "sandbox",
        "WorkingDir": "/",
        "Labels": dict(labels),
        "Healthcheck": {"Test": ["NONE"]},
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "NetworkDisabled": True,
        "HostConfig": {
            "AutoRemove": True,
            "Init": True,
            "NetworkMode": "none",
            "IpcMode": "private",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges", f"seccomp={docker_profile()}"],
            "Runtime": runtime,
            "LogConfig": LogConfig(type="none"),
            "OomScoreAdj": 1000,
            "ShmSize": SHARED_MEMORY_BYTES,
            "Mounts": [_mount(place) for place in shown],
            "Tmpfs": {
                "/run": f"size={RUN_BYTES},nosuid,nodev,mode=0755,uid={uid},gid={uid}",
                # In the place of the kernel's own, of which nothing in it can be another container's.
                "/sys": f"size={_SYSFS_BYTES},nosuid,nodev,noexec,ro",
            },
            **_limits(policy.limits),
        },
    }


def execution_settings(
    argv: Sequence[str], *, workdir: str, tty: bool, environment: Mapping[str, str], uid: int
) -> dict[str, Any]:
    """What docker-py's `exec_create` takes, but for the container."""
    return {
        "cmd": [*_LAUNCHER, *(_IN_A_TERMINAL if tty else _IN_ONE_STREAM), *argv],
        "stdin": tty,
        "tty": tty,
        "environment": dict(environment),
        "workdir": workdir,
        "user": f"{uid}:{uid}",
    }


def environment_of(
    image: Sequence[str],
    policy: Policy,
    command: Mapping[str, str],
    *,
    tty: bool,
    extra_read_only: Sequence[Path],
    proxy: Mapping[str, str],
) -> dict[str, str]:
    """What a command gets beside the image's own variables, on whose search path it builds."""
    of_image = dict(pair.partition("=")[::2] for pair in image)
    path = ":".join((*(f"{extra}/bin" for extra in extra_read_only), of_image.get("PATH", "") or _PATH))
    term = "xterm-256color" if tty else "dumb"
    return {"PATH": path, "TERM": term, **ENVIRONMENT, **proxy, **policy.environment, **command}


_PATH: Final = ":".join(SEARCH_PATH)


def _limits(limits: Limits) -> dict[str, Any]:
    bounds = {
        "core": 0,
        # As under the other driver: not the address space, which some runtimes reserve lavishly.
        "data": limits.memory_bytes,
        "fsize": limits.file_bytes,
        "memlock": 0,
        "msgqueue": 0,
        "nice": 0,
        # The Engine may not raise it, and has mostly what the service has.
        "nofile": open_files(),
        "rtprio": 0,
    }
    return {
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,
        "PidsLimit": limits.processes + _PROCESSES_OF_OURS,
        # The Engine refuses more than there are.
        "NanoCpus": int(min(limits.cpus, os.cpu_count() or 1) * 1e9),
        "Ulimits": [Ulimit(name=name, soft=bound, hard=bound) for name, bound in bounds.items()],
    }


def _mount(place: Place) -> Mount:
    return Mount(
        target=place.target,
        source=str(place.source),
        type="bind",
        read_only=place.is_read_only,
        propagation="rprivate",
    )
