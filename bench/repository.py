"""A large repository to measure with: made by `git fast-import`, so that making it takes seconds."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILES: Final = 100_000
LINES: Final = 20
_GIT: Final = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}


@dataclass(frozen=True, slots=True)
class Repository:
    """A bare repository with a line of commits on `main`, each one file away from the one before."""

    directory: Path
    commits: tuple[str, ...]


def path_of(number: int) -> str:
    return f"d{number // 1000:03d}/e{number // 50 % 20:02d}/f{number}.txt"


def make_repository(directory: Path, *, files: int = FILES, commits: int = 2) -> Repository:
    """A repository at `directory`, whose first commit has so many small files."""
    git("init", "--quiet", "--bare", "--initial-branch=main", str(directory), cwd=directory.parent)
    git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=directory)
    with (directory / "stream").open("wb") as stream:
        stream.write(_head(1))
        for number in range(files):
            stream.write(_file(path_of(number), f"line {number}\n" * LINES))
        for number in range(2, commits + 1):
            stream.write(b"\n" + _head(number) + b"from :%d\n" % (number - 1))
            stream.write(_file(path_of(0), f"commit {number}\n"))
        stream.write(b"\ndone\n")
    with (directory / "stream").open("rb") as stream:
        subprocess.run(
            ("git", "fast-import", "--quiet", "--done"), cwd=directory, env=_GIT, stdin=stream, check=True
        )
    (directory / "stream").unlink()
    return Repository(directory, tuple(git("rev-list", "--reverse", "main", cwd=directory).split()))


def git(*arguments: str, cwd: Path, entering: tuple[str, ...] = ()) -> str:
    """git as a person would run it."""
    finished = subprocess.run(
        (*entering, "git", *arguments), cwd=cwd, env=_GIT, check=True, capture_output=True
    )
    return finished.stdout.decode().strip()


def _head(number: int) -> bytes:
    who = b"Ada <ada@example.org> %d +0000" % (1_700_000_000 + number)
    return b"commit refs/heads/main\nmark :%d\ncommitter %b\ndata 1\nx\n" % (number, who)


def _file(path: str, text: str) -> bytes:
    return b"M 100644 inline %b\ndata %d\n%b\n" % (path.encode(), len(text), text.encode())
