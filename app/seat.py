"""A place on this machine's disk for each process: mirrors and checkouts are never worked on by two.

Several processes may share a `DARNER_HOME`: the first has the folder itself, each further one a numbered
folder in it. A process that starts anew finds what the one before it left there.
"""

import fcntl
import itertools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def seat_in(home: Path) -> Iterator[Path]:
    """The first folder that no living process has, until the block ends or the process does."""
    for number in itertools.count(1):
        folder = home if number == 1 else home / "seats" / str(number)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder / "seat.lock").open("a") as file, suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
            return
