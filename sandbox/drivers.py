"""The list of drivers. Adding one is a module and a line here; nothing is found by looking around."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from sandbox.base import Driver
from sandbox.bubblewrap import BubblewrapDriver
from sandbox.container.driver import DockerDriver

DriverName = Literal["bubblewrap", "docker"]


@dataclass(frozen=True, slots=True)
class Setup:
    """What an operator can set of a driver; each takes what concerns it."""

    state: Path | None = None
    """A directory of the service's where the driver keeps what turns share."""
    extra_read_only: tuple[Path, ...] = ()
    """Further directories of the host that commands may read (toolchains)."""
    audit: bool = True
    """Whether to note each program that a command starts, where the driver can."""
    image: str = ""
    """What the docker driver runs; empty: the project's own."""
    runtime: str = ""
    """The docker driver's OCI runtime; empty: the Engine's default."""
    docker_host: str = ""
    """The Engine's address; empty: the local socket."""


DRIVERS: Final[Mapping[str, Callable[[Setup], Driver]]] = {
    "bubblewrap": lambda setup: BubblewrapDriver(
        extra_read_only=setup.extra_read_only, state=setup.state, audit=setup.audit
    ),
    "docker": lambda setup: DockerDriver(
        address=setup.docker_host,
        image=setup.image,
        runtime=setup.runtime,
        state=setup.state,
        extra_read_only=setup.extra_read_only,
    ),
}


def choose(name: Literal["auto"] | DriverName, setup: Setup) -> Driver:
    """The driver of that name, `auto` the default one. Never falls back to less: opening tells what lacks."""
    return DRIVERS["bubblewrap" if name == "auto" else name](setup)
