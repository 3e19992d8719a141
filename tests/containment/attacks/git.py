"""The history: shown, never written."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import partial

from .attack import Facts, Held, any_of, attack, to
from .files import secret_in, written

OBJECTS = "/run/darner/objects"


def _git(facts: Facts, *arguments: str) -> str:
    if shutil.which("git") is None:
        raise Held("there is no git")
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    answer = subprocess.run(
        ("git", *identity, *arguments), cwd=facts.workspace, capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        raise Held((answer.stderr.strip().splitlines() or ["refused"])[-1])
    return "git " + arguments[0]


def _made(path: str) -> str:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o755))
    return f"made {path}"


@attack()
def config(facts: Facts) -> str:
    """Change git's configuration."""
    git = f"{facts.workspace}/.git"
    return any_of(
        partial(written, f"{git}/config"),
        partial(_made, f"{git}/config.worktree"),
        partial(_git, facts, "config", "core.fsmonitor", "/tmp/x"),
    )


@attack()
def hook(facts: Facts) -> str:
    """Plant a hook."""
    git = f"{facts.workspace}/.git"
    return any_of(
        partial(_made, f"{git}/hooks/post-checkout"), to("made hooks", os.mkdir, f"{git}/more-hooks")
    )


@attack()
def index(facts: Facts) -> str:
    """Change the index."""
    git = f"{facts.workspace}/.git"
    return any_of(partial(written, f"{git}/index"), partial(_git, facts, "update-index", "--refresh"))


@attack()
def head_and_refs(facts: Facts) -> str:
    """Move a branch."""
    git = f"{facts.workspace}/.git"
    return any_of(
        partial(written, f"{git}/HEAD"),
        partial(_made, f"{git}/refs/heads/mine"),
        partial(_git, facts, "branch", "mine"),
    )


@attack()
def commit(facts: Facts) -> str:
    """Commit, stash or tag."""
    return any_of(
        partial(_git, facts, "commit", "--allow-empty", "-m", "mine"),
        partial(_git, facts, "stash", "-u"),
        partial(_git, facts, "tag", "-a", "-m", "mine", "mine"),
    )


@attack()
def view_moved_away(facts: Facts) -> str:
    """Move the view of the history away, or put another repository in its place."""
    git = f"{facts.workspace}/.git"
    mine = f"{facts.playground}/my-repository"
    os.makedirs(f"{mine}/hooks")
    link = f"{facts.playground}/my-link"
    os.symlink(mine, link)
    return any_of(
        to("moved away", os.rename, git, f"{facts.workspace}/moved-git"),
        to("replaced", os.rename, mine, git),
        to("replaced by a link", os.rename, link, git),
        to("deleted", os.rmdir, git),
        partial(_git, facts, "init", "--separate-git-dir", f"{facts.playground}/separate"),
    )


@attack()
def objects(facts: Facts) -> str:
    """Write into the object store."""
    stores = (f"{facts.workspace}/.git/objects", OBJECTS, f"{facts.mirror}/objects")
    return any_of(
        *(partial(_made, f"{store}/made-by-an-attack") for store in stores),
        *(partial(written, f"{store}/one") for store in stores),
        partial(_git, facts, "hash-object", "-w", "src/main.py"),
    )


@attack()
def host_repository_read(facts: Facts) -> str:
    """Read the host's own repository behind the view."""
    return any_of(
        partial(secret_in, f"{facts.mirror}/config"),
        partial(secret_in, f"{facts.workspace}/.git/../../mirror.git/config"),
    )


@attack()
def host_repository_write(facts: Facts) -> str:
    """Change the host's own repository: configuration, hooks, branches."""
    return any_of(
        partial(written, f"{facts.mirror}/config"),
        partial(_made, f"{facts.mirror}/hooks/post-receive"),
        partial(written, f"{facts.mirror}/HEAD"),
    )


@attack()
def borrowed_objects(facts: Facts) -> str:
    """Point the view's object store elsewhere."""
    return any_of(
        partial(written, f"{facts.workspace}/.git/objects/info/alternates"),
        partial(_made, f"{facts.workspace}/.git/objects/info/http-alternates"),
        partial(_made, f"{facts.workspace}/.git/commondir"),
    )
