"""What a sandbox asked its proxy for: what is told, counted and logged. Never decides anything."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

log = logging.getLogger(__name__)

_MOST_TOLD: Final = 20
_MOST_COUNTED: Final = 256
_AND_NOW: Final = "Do without it, or say in your answer that it is needed."


@dataclass(slots=True)
class Traffic:
    """What went to and from one host."""

    connections: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


class Egress:
    """What a sandbox asked its proxy for."""

    def __init__(self) -> None:
        self._untold: dict[str, None] = {}
        self._refused: dict[str, int] = {}
        self._used: dict[str, Traffic] = {}

    def take_refusals(self) -> tuple[str, ...]:
        """A line for each host that was refused or failed since the last call: what, why and what to do."""
        lines = tuple(self._untold)
        self._untold.clear()
        if len(lines) <= _MOST_TOLD:
            return lines
        return (*lines[:_MOST_TOLD], f"network: {len(lines) - _MOST_TOLD} more hosts were refused.")

    def used(self) -> Mapping[str, Traffic]:
        """By `host:port`. Of very many hosts the later ones are counted together, as `others`."""
        return MappingProxyType(self._used)

    def refused(self) -> Mapping[str, int]:
        """How often each `host:port` was asked for in vain, counted as in `used`."""
        return MappingProxyType(self._refused)

    def note_refusal(self, shown: str, why: str) -> None:
        """For the proxy: `shown` will not be reached."""
        if len(self._untold) < _MOST_COUNTED:
            self._untold.setdefault(f"network: {why}. {_AND_NOW}")
        key = _counted_as(shown, self._refused)
        self._refused[key] = self._refused.get(key, 0) + 1

    def begin_traffic(self, shown: str) -> Traffic:
        """For the proxy: a connection to `shown` is there."""
        traffic = self._used.setdefault(_counted_as(shown, self._used), Traffic())
        traffic.connections += 1
        return traffic

    def write_to_log(self) -> None:
        """For the proxy, when all is over."""
        for host, traffic in self._used.items():
            fields = {"host": host, "connections": traffic.connections}
            fields |= {"bytes_sent": traffic.bytes_sent, "bytes_received": traffic.bytes_received}
            log.info("egress.used", extra={"fields": fields})
        for host, times in self._refused.items():
            log.info("egress.refused", extra={"fields": {"host": host, "times": times}})


def _counted_as(shown: str, counts: Mapping[str, object]) -> str:
    return shown if shown in counts or len(counts) < _MOST_COUNTED else "others"
