"""Trouble on demand: what a test wants the forge to do to the next matching requests."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, replace
from enum import StrEnum


class FaultKind(StrEnum):
    BAD_GATEWAY = "502"
    # As if somebody had deleted it just now.
    NOT_FOUND = "404"
    SLOW = "slow"
    SECONDARY_LIMIT = "secondary_limit"
    TOO_MANY_REQUESTS = "too_many_requests"
    PRIMARY_LIMIT = "primary_limit"
    # The write is done; its answer never arrives.
    DROP_AFTER_WRITE = "drop_after_write"
    # The write is done; the answer is a 502.
    BAD_GATEWAY_AFTER_WRITE = "502_after_write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`method` and `path` are regular expressions; the path begins with /api/v3, /api/graphql or /OWNER."""

    kind: FaultKind
    method: str = ".*"
    path: str = ".*"
    count: int = 1
    seconds: float = 60.0
    after: int = 0
    """So many matching requests are let through first."""

    def matches(self, method: str, path: str) -> bool:
        return bool(re.fullmatch(self.method, method) and re.search(self.path, path))


class Faults:
    """The faults still to come, oldest first; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[Fault] = []

    def add(
        self,
        kind: FaultKind,
        *,
        method: str = ".*",
        path: str = ".*",
        count: int = 1,
        seconds: float = 60.0,
        after: int = 0,
    ) -> Fault:
        fault = Fault(kind=kind, method=method, path=path, count=count, seconds=seconds, after=after)
        with self._lock:
            self._pending.append(fault)
        return fault

    def pending(self) -> tuple[Fault, ...]:
        with self._lock:
            return tuple(self._pending)

    def clear(self) -> None:
        with self._lock:
            self._pending.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The first fault that matches and waits for no other request, used up by one."""
        with self._lock:
            for at, fault in enumerate(self._pending):
                if fault.matches(method, path):
                    if fault.after > 0:
                        self._pending[at] = replace(fault, after=fault.after - 1)
                        continue
                    if fault.count <= 1:
                        del self._pending[at]
                    else:
                        self._pending[at] = replace(fault, count=fault.count - 1)
                    return fault
        return None
