"""The list of drivers. Adding one is a module and a line here; nothing is found by looking around."""

from collections.abc import Callable, Mapping
from typing import Final, Literal

from sandbox.base import Driver
from sandbox.bubblewrap import BubblewrapDriver

DriverName = Literal["bubblewrap"]

DRIVERS: Final[Mapping[DriverName, Callable[[], Driver]]] = {
    "bubblewrap": BubblewrapDriver,
}


def choose(name: Literal["auto"] | DriverName) -> Driver:
    """The driver of that name, `auto` the default one. Never falls back to less: opening tells what lacks."""
    return DRIVERS["bubblewrap" if name == "auto" else name]()
