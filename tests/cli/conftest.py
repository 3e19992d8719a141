"""A user's home and a repository with a first commit, for the commands to work on."""

import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one commit of two files, `greet.py` and `notes.txt`."""
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "greet.py").write_text('def greet():\n    return "helo"\n')
    (repo / "notes.txt").write_text("one\ntwo\n")
    (repo / ".gitignore").write_text("*.log\n")
    git(repo, "init", "-q", "-b", "main")
    git(repo, "add", ".")
    git(repo, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "-m", "Begin")
    return repo


def git(directory: Path, *arguments: str) -> str:
    environment = {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "PATH": "/usr/bin:/bin",
    }
    done = subprocess.run(
        ("git", *arguments), cwd=directory, env=environment, capture_output=True, check=True, timeout=180
    )
    return done.stdout.decode()
