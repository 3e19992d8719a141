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
    """The programs noted so far, oldest first; a last one without a path stands for any further ones."""
    noted: dict[int, dict[str, Any]] = {}
    more: tuple[Execution, ...] = ()
    for line in os.pread(journal, MOST_BYTES + _ROOM_FOR_ENDS, 0).split(b"\n")[:-1]:
        entry = json.loads(line)
        if "n" in entry:
            noted.setdefault(entry["n"], {}).update(entry)
        else:
            more = (Execution(argv=("…", f"{entry['more']} more"), cwd=""),)
    return (*map(_execution, noted.values()), *more)


def _execution(entry: dict[str, Any]) -> Execution:
    return Execution(
        argv=tuple(entry["argv"]),
        cwd=entry["cwd"],
        exit_status=entry.get("status"),
        seconds=entry.get("seconds"),
        path=entry["path"],
    )
