"""Removes the containers of services that are gone. Never touches one whose service lives, or another's.

A container dies with its service: its first process waits for the end of a connection. What is left are
containers that were made and never started, or that an Engine forgot to remove. Each carries two labels: the
installation (one state directory) and the owner, which is one life of a service that holds a lock on a file
of that name.
"""

import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sandbox.container.engine import Engine, EngineRefused
from sandbox.container.processes import ControlGroup
from sandbox.git.filelock import is_taken

INSTALLATION: Final = "io.darner.installation"
OWNER: Final = "io.darner.owner"
_NAME: Final = re.compile(r"[0-9a-f]{16}")
_GONE: Final = (404, 409)
"""Not there any more, or just being removed by someone else."""


class Ownership:
    """One life of a driver. Without a directory it has no past: nothing of another life is ever removed."""

    def __init__(self, state: Path | None) -> None:
        self._owner = secrets.token_hex(8)
        self._directory: Path | None = None
        self._installation = self._owner
        if state is not None:
            self._directory = state / "docker"
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._installation = _installation_of(self._directory)
            # Held until this process ends.
            self._lock = _opened(self._directory / self._owner)
            is_taken(self._lock)

    def __del__(self) -> None:
        if self._directory is not None:
            os.close(self._lock)
            (self._directory / self._owner).unlink(missing_ok=True)

    @property
    def labels(self) -> Mapping[str, str]:
        return {INSTALLATION: self._installation, OWNER: self._owner}

    async def sweep(self, engine: Engine) -> None:
        """Remove what earlier lives of this installation have left. Raises `SandboxUnavailable`."""
        if self._directory is None:
            return
        label = f"{INSTALLATION}={self._installation}"
        found: list[dict[str, Any]] = await engine.ask(
            lambda api: api.containers(all=True, filters={"label": label})
        )
        for container in found:
            if not _is_alive(self._directory, container["Labels"].get(OWNER, "")):
                await _let_go_on(engine, container["Id"])
                await remove(engine, container["Id"])
        for lock in self._directory.iterdir():
            if _NAME.fullmatch(lock.name) and not _is_alive(self._directory, lock.name):
                lock.unlink(missing_ok=True)


async def remove(engine: Engine, container: str) -> None:
    """Kill what runs in it and remove it. Nothing of it is left when this returns."""
    try:
        await engine.ask(lambda api: api.remove_container(container, force=True, v=True), takes_long=True)
    except EngineRefused as error:
        if error.status not in _GONE:
            raise
        with suppress(EngineRefused):
            await engine.ask(
                lambda api: api.wait(container, condition="removed"),
                takes_long=True,
            )


async def _let_go_on(engine: Engine, container: str) -> None:
    """Its service may have been killed while its processes were stopped: the Engine cannot end those."""
    with suppress(EngineRefused, OSError):
        found = await engine.ask(lambda api: api.inspect_container(container))
        group = ControlGroup.of(found["State"]["Pid"], found["Id"])
        if group is not None:
            group.go_on()


def _is_alive(directory: Path, owner: str) -> bool:
    """Whether somebody holds its lock."""
    if _NAME.fullmatch(owner) is None:
        return False
    try:
        descriptor = os.open(directory / owner, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not is_taken(descriptor)
    finally:
        os.close(descriptor)


def _installation_of(directory: Path) -> str:
    file = directory / "installation"
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return file.read_text(encoding="ascii")
    with os.fdopen(descriptor, "w", encoding="ascii") as new:
        name = secrets.token_hex(8)
        new.write(name)
    return name


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
