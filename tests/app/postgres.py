"""A PostgreSQL of the tests' own: on a socket in a directory of theirs, gone when they end."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Server:
    """One server, and the hand that kills it."""

    binaries: Path
    home: Path
    user: str | None

    @property
    def url(self) -> str:
        """Without a database's name: fill it in with `format`."""
        return f"postgresql+psycopg://darner@/{{}}?host={self.home}"

    def start(self) -> None:
        options = f"-k {self.home} -c listen_addresses= -c fsync=off"
        self._control("-w", "-o", options, "-l", str(self.home / "log"), "start")

    def stop(self) -> None:
        self._control("-w", "-m", "immediate", "stop")

    def kill(self) -> None:
        """As the kernel does when memory runs out; returns when its last process is gone."""
        main = int((self.home / "data" / "postmaster.pid").read_text().split()[0])
        children = [int(pid) for pid in Path(f"/proc/{main}/task/{main}/children").read_text().split()]
        os.kill(main, signal.SIGKILL)
        while any(Path(f"/proc/{pid}/fd").exists() and _runs(pid) for pid in (main, *children)):
            time.sleep(0.02)
        # Where nobody buries it, the next one would take it for alive.
        (self.home / "data" / "postmaster.pid").unlink()
        (self.home / ".s.PGSQL.5432.lock").unlink(missing_ok=True)

    def _control(self, *arguments: str) -> None:
        subprocess.run(
            (self.binaries / "pg_ctl", "-D", self.home / "data", *arguments),
            user=self.user,
            cwd=self.home,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=180,
        )


def _runs(pid: int) -> bool:
    """False for one that is gone and was not buried yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def running(binaries: Path) -> Iterator[str]:
    """The server's URL, without a database's name."""
    with serving(binaries) as server:
        yield server.url


@contextmanager
def serving(binaries: Path) -> Iterator[Server]:
    """A server that can be killed and started again."""
    with tempfile.TemporaryDirectory(prefix="darner-pg-") as name:
        home = Path(name)
        # PostgreSQL refuses to run as root.
        user = "postgres" if os.geteuid() == 0 else None
        if user is not None:
            shutil.chown(home, user)
        setup = (binaries / "initdb", "-D", home / "data", "-U", "darner", "-A", "trust", "-N", "-E", "UTF8")
        subprocess.run(setup, user=user, cwd=home, check=True, capture_output=True, timeout=120)
        server = Server(binaries, home, user)
        server.start()
        try:
            yield server
        finally:
            server.stop()
