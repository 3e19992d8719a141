"""One process at a time on a SQLite database: a lock on a file beside it, gone with the process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa


class AlreadyRunning(Exception):
    """Another Darner process works on this SQLite database."""


@contextmanager
def claimed(url: str) -> Iterator[None]:
    """One process works on a SQLite database; on PostgreSQL any number do. Raises `AlreadyRunning`."""
    made = sa.make_url(url)
    if made.get_backend_name() == "sqlite":
        with _file_claimed(Path(f"{made.database}.lock")):
            yield
        return
    yield


@contextmanager
def _file_claimed(path: Path) -> Iterator[None]:
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = (
                f"Another Darner (see its pid in {path}) uses this database. Stop it, or give this one a "
                "DARNER_HOME of its own. For several processes on one database set DARNER_DATABASE_URL to "
                "a PostgreSQL."
            )
            raise AlreadyRunning(msg) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
