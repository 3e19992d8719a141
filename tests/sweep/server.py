"""`darner serve` that dies, as if killed, right before its n-th step that leaves a trace.

Such steps are a commit that writes and a request to the forge. To die before each of them in turn is to die
at every boundary: after one step nothing is durable until the next. A push stands between two requests, for
its token and for the token's end.

Send SIGUSR1 when the number stands in the file named by DARNER_SWEEP; the steps are counted from then on, and
written to the file's neighbour `.seen`.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Final

import tests.sweep.clock  # noqa: F401  Before whatever looks at the time.

# isort: split
from sqlalchemy import Engine, event

from app.__main__ import main

WRITES: Final = ("INSERT", "UPDATE", "DELETE")
_ASKED: Final = Path(os.environ["DARNER_SWEEP"])


class Countdown:
    """Counts steps once armed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed = False
        self._left = 0
        self._seen = -1

    def arm(self, *_: object) -> None:
        """From now on: 0 never kills, it only counts."""
        self._left = int(_ASKED.read_text())
        # Open from here on: a thread that starts commands may see no path of the host's.
        self._seen = os.open(_ASKED.with_suffix(".seen"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._armed = True

    def step(self, kind: str) -> None:
        if not self._armed:
            return
        with self._lock:
            os.write(self._seen, f"{kind}\n".encode())
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


countdown: Final = Countdown()


@event.listens_for(Engine, "after_cursor_execute")
def _note_write(connection: Any, cursor: Any, statement: str, *_: object) -> None:
    # The engine asks for work by updates that most often change nothing.
    if statement.lstrip().upper().startswith(WRITES) and cursor.rowcount != 0:
        connection.info["darner_sweep_wrote"] = True


@event.listens_for(Engine, "commit")
def _before_commit(connection: Any) -> None:
    if connection.info.pop("darner_sweep_wrote", False):
        countdown.step("commit that writes")


def _on_audit(name: str, arguments: tuple[object, ...]) -> None:
    del arguments
    if name == "http.client.send":
        countdown.step("request to the forge")


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, countdown.arm)
    sys.addaudithook(_on_audit)
    main()
