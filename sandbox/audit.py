"""What a command's supervisor noted of the programs that were started (`sandbox.keeper.audit`), read back."""

import json
import os
from typing import Any, Final

from sandbox.base import Execution
from sandbox.keeper.audit import MOST_BYTES

_ROOM_FOR_ENDS: Final = 1 << 18


def new_journal() -> int:
    """An empty file in memory only, for a supervisor to write and `executions` to read. Raises `OSError`."""
    return os.memfd_create("programs")


def executions(journal: int) -> tuple[Execution, ...]:
    """The programs noted so far, oldest first."""
    noted: dict[int, dict[str, Any]] = {}
    for line in os.pread(journal, MOST_BYTES + _ROOM_FOR_ENDS, 0).split(b"\n")[:-1]:
        entry = json.loads(line)
        if "n" in entry:
            noted.setdefault(entry["n"], {}).update(entry)
    return tuple(_execution(entry) for entry in noted.values())


def _execution(entry: dict[str, Any]) -> Execution:
    return Execution(
        argv=tuple(entry["argv"]),
        cwd=entry["cwd"],
        exit_status=entry.get("status"),
        seconds=entry.get("seconds"),
        path=entry["path"],
    )
