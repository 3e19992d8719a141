"""What the supervisor of a command noted of the programs that were started in it, read back. Trusts no line."""

import json
import os
from typing import Any, Final

from sandbox.base import Execution

_MOST_BYTES: Final = 1 << 24


def new_journal() -> int:
    """An empty file in memory only, for a supervisor to write and `executions` to read. Raises `OSError`."""
    return os.memfd_create("programs")


def executions(journal: int) -> tuple[Execution, ...]:
    """The programs noted so far, oldest first."""
    started: dict[int, dict[str, Any]] = {}
    for line in os.pread(journal, _MOST_BYTES, 0).split(b"\n")[:-1]:
        entry = json.loads(line)
        if "n" in entry:
            started.setdefault(entry["n"], {}).update(entry)
    return tuple(
        Execution(
            argv=tuple(entry["argv"]),
            cwd=entry["cwd"],
            exit_status=entry.get("status"),
            seconds=entry.get("seconds"),
            path=entry["path"],
        )
        for entry in started.values()
    )
