"""Runs the real program as people do: in a process of its own, with an environment of its own."""

import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run of the program came to."""

    exit_status: int
    stdout: str
    stderr: str


def environment(home: Path, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Nothing of the caller's but the search path; `home` is the user's home and holds Darner's data."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "DARNER_HOME": str(home / "darner"),
        "LANG": "C.UTF-8",
        **(settings or {}),
    }


def argv(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "app", *arguments)


def darner(
    *arguments: str,
    home: Path,
    stdin: bytes = b"",
    settings: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Ran:
    """Run `darner ARGUMENTS` to its end."""
    done = subprocess.run(
        argv(*arguments),
        input=stdin,
        capture_output=True,
        env={**environment(home, settings), "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=cwd or home,
        timeout=100,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def fingerprint(directory: Path) -> dict[str, str]:
    """Every entry below `directory` with its mode and a hash of its content."""
    found = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        content = (
            str(path.readlink()).encode()
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else b""
        )
        found[str(path.relative_to(directory))] = (
            f"{stat.filemode(status.st_mode)} {hashlib.sha256(content).hexdigest()}"
        )
    return found
