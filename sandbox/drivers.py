"""The list of drivers. Adding one is a module and a line here; nothing is found by looking around."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Protocol

from sandbox.base import Driver
from sandbox.bubblewrap import BubblewrapDriver

DriverName = Literal["bubblewrap"]


class MakeDriver(Protocol):
    """`extra_read_only`: further directories of the host that commands may read (toolchains).

    `state`: a directory of the service's where the driver keeps what turns share.
    """

    def __call__(self, *, extra_read_only: tuple[Path, ...] = (), state: Path | None = None) -> Driver: ...


DRIVERS: Final[Mapping[DriverName, MakeDriver]] = {
    "bubblewrap": BubblewrapDriver,
}


def choose(
    name: Literal["auto"] | DriverName, *, extra_read_only: tuple[Path, ...] = (), state: Path | None = None
) -> Driver:
    """The driver of that name, `auto` the default one. Never falls back to less: opening tells what lacks."""
    make = DRIVERS["bubblewrap" if name == "auto" else name]
    return make(extra_read_only=extra_read_only, state=state)
