"""A PostgreSQL of the tests' own: on a socket in a directory of theirs, gone when they end."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_HOMES: Final = (Path("/usr/lib/postgresql"), Path("/usr/local/lib/postgresql"))


def programs() -> Path:
    """Where `initdb` and `postgres` are."""
    for home in _HOMES:
        for found in sorted(home.glob("*/bin/initdb"), reverse=True):
            return found.parent
    found_on_path = shutil.which("initdb")
    assert found_on_path, "these tests need PostgreSQL: run `make test`, or install the package postgresql"
    return Path(found_on_path).parent


@contextmanager
def running(binaries: Path) -> Iterator[str]:
    """The server's URL, without a database's name."""
    with tempfile.TemporaryDirectory(prefix="darner-pg-") as name:
        home = Path(name)
        # PostgreSQL refuses to run as root.
        user = "postgres" if os.geteuid() == 0 else None
        if user is not None:
            shutil.chown(home, user)
        data = home / "data"
        setup = (binaries / "initdb", "-D", data, "-U", "darner", "-A", "trust", "-N", "-E", "UTF8")
        subprocess.run(setup, user=user, cwd=home, check=True, capture_output=True, timeout=120)
        options = f"-k {home} -c listen_addresses= -c fsync=off"
        start = (binaries / "pg_ctl", "-D", data, "-w", "-o", options, "-l", home / "log", "start")
        subprocess.run(
            start,
            user=user,
            cwd=home,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )
        try:
            yield f"postgresql+psycopg://darner@/{{}}?host={home}"
        finally:
            stop = (binaries / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
            subprocess.run(stop, user=user, cwd=home, check=True, capture_output=True, timeout=60)
