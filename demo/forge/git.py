"""What the forge asks git about its bare repositories; it knows neither users nor requests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from demo.forge.refusals import ForgeError

ZERO = "0" * 40
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
FileStatus = Literal["added", "removed", "modified", "renamed", "copied", "changed"]


_CONFIG = """\
[uploadpack]
\tallowFilter = true
\tallowAnySHA1InWant = true
[receive]
\tfsckObjects = true
\tadvertiseAtomic = true
\tdenyDeletes = false
\tdenyDeleteCurrent = ignore
\thideRefs = refs/pull
[http]
\treceivepack = true
[gc]
\tauto = 0
"""


class GitError(ForgeError):
    """A git command failed although its input was checked."""


def program() -> str:
    return shutil.which("git") or "/usr/bin/git"


def environment() -> dict[str, str]:
    """An environment in which nobody's git configuration has a say."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    name: str
    email: str
    date: datetime

    def variables(self, role: Literal["AUTHOR", "COMMITTER"]) -> dict[str, str]:
        return {
            f"GIT_{role}_NAME": self.name,
            f"GIT_{role}_EMAIL": self.email,
            f"GIT_{role}_DATE": self.date.isoformat(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    committer: Person
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    path: str
    previous: str | None
    status: FileStatus
    sha: str
    additions: int
    deletions: int
    patch: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a tree."""

    path: str
    mode: str
    type: Literal["blob", "tree", "commit"]
    sha: str
    size: int


_STATUS: dict[str, FileStatus] = {
    "A": "added",
    "D": "removed",
    "M": "modified",
    "R": "renamed",
    "C": "copied",
    "T": "changed",
}
_LOG_FORMAT = "%H%x00%T%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%B%x00%x01"


class Git:
    """Questions to one bare repository, each one short-lived process."""

    def __init__(self, git_dir: Path) -> None:
        self.git_dir = git_dir

    def run(
        self, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            (program(), *args),
            cwd=self.git_dir,
            env=environment() | dict(env or {}),
            input=stdin if stdin is not None else b"",
            capture_output=True,
            timeout=120,
            check=False,
        )

    def out(self, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> bytes:
        done = self.run(*args, stdin=stdin, env=env)
        if done.returncode != 0:
            raise GitError(f"git {args[0]}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def text(self, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> str:
        return self.out(*args, stdin=stdin, env=env).decode(errors="replace")

    def create(self, *, default_branch: str) -> None:
        self.git_dir.mkdir(parents=True)
        self.out("init", "--quiet", "--bare", f"--initial-branch={default_branch}", ".")
        self.configure()

    def configure(self) -> None:
        """Written by hand: a process for each setting would take longer than making the repository."""
        with (self.git_dir / "config").open("a") as config:
            config.write(_CONFIG)

    def clone_from(self, other: Path, *, default_branch: str) -> None:
        """Become a fork: the other repository's branches and tags."""
        self.create(default_branch=default_branch)
        specs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        self.out("fetch", "--quiet", "--no-auto-gc", str(other), *specs)

    def refs(self, *prefixes: str) -> dict[str, str]:
        """Full names to SHAs (of the tag object for annotated tags)."""
        listing = self.text("for-each-ref", "--format=%(refname) %(objectname)", *prefixes)
        return dict(line.split(" ", 1) for line in listing.splitlines())

    def resolve(self, name: str) -> str | None:
        """The commit that a SHA, branch, tag or full ref name means, as GitHub resolves it."""
        if not name or name.startswith("-") or ".." in name or "^" in name or "@{" in name or ":" in name:
            return None
        candidates = [f"refs/heads/{name}", f"refs/tags/{name}", f"refs/{name}"]
        if name.startswith("refs/") or re.fullmatch(r"[0-9a-f]{7,40}", name) or name == "HEAD":
            candidates.insert(0, name)
        for candidate in candidates:
            done = self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{candidate}^{{commit}}")
            if done.returncode == 0:
                return done.stdout.decode().strip()
        return None

    def head_of(self, branch: str) -> str | None:
        done = self.run("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}")
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def update_ref(self, ref: str, new: str, *, old: str | None = None) -> bool:
        """Point the ref to `new`; with `old`, only if it is there now (ZERO: if it does not exist)."""
        args = ("update-ref", ref, new) if old is None else ("update-ref", ref, new, old)
        return self.run(*args).returncode == 0

    def delete_ref(self, ref: str) -> None:
        self.out("update-ref", "-d", ref)

    def fetch_from(self, other: Path, *, sha: str, ref: str) -> None:
        """Bring a commit of a fork here and keep it under `ref`."""
        self.out("fetch", "--quiet", "--no-tags", "--no-auto-gc", str(other), f"+{sha}:{ref}")

    def has(self, sha: str) -> bool:
        return self.run("cat-file", "-e", f"{sha}^{{commit}}").returncode == 0

    def is_ancestor(self, older: str, newer: str) -> bool:
        return self.run("merge-base", "--is-ancestor", older, newer).returncode == 0

    def merge_base(self, one: str, other: str) -> str | None:
        done = self.run("merge-base", one, other)
        return done.stdout.decode().split("\n")[0] if done.returncode == 0 else None

    def commit(self, sha: str) -> Commit:
        return self.log(sha, limit=1)[0]

    def log(self, *revisions: str, limit: int = 250, path: str | None = None) -> list[Commit]:
        """Commits, newest first."""
        where = ("--", path) if path else ("--",)
        listing = self.text("log", f"-{limit}", f"--format={_LOG_FORMAT}", *revisions, *where)
        return [_commit(chunk) for chunk in listing.split("\x01") if chunk.strip("\n")]

    def count(self, *revisions: str) -> int:
        return int(self.text("rev-list", "--count", *revisions, "--"))

    def changes(self, before: str, after: str) -> list[FileChange]:
        """The changed files between two trees, with their patches."""
        options = ("-M", "--abbrev=40", "--no-ext-diff", "--no-textconv")
        listing = self.text("diff", "--raw", "--numstat", "-z", *options, before, after, "--")
        entries = _raw_and_numstat(listing.split("\0"))
        if not entries:
            return []
        patches = _patches(self.text("diff", "-p", *options, before, after, "--"), entries)
        return [
            FileChange(
                path=path,
                previous=previous,
                status=status,
                sha=sha,
                additions=additions,
                deletions=deletions,
                patch=patch,
            )
            for (path, previous, status, sha, additions, deletions), patch in zip(
                entries, patches, strict=True
            )
        ]

    def diff(self, before: str, after: str) -> str:
        return self.text("diff", "-M", "-p", "--no-ext-diff", "--no-textconv", before, after, "--")

    def patch(self, before: str, after: str) -> str:
        return self.text("format-patch", "--stdout", "--no-ext-diff", f"{before}..{after}", "--")

    def tree(self, commit: str, path: str = "") -> list[Entry]:
        """The entries of a directory (one level), or the single entry that `path` names."""
        wanted = f"{path.rstrip('/')}/" if path else ""
        found = self.run("ls-tree", "-l", "-z", commit, *((wanted,) if wanted else ()))
        if found.returncode != 0:
            return []
        return _entries(found.stdout.decode(errors="replace"))

    def entry(self, commit: str, path: str) -> Entry | None:
        found = self.run("ls-tree", "-l", "-z", commit, path.strip("/"))
        entries = _entries(found.stdout.decode(errors="replace")) if found.returncode == 0 else []
        return entries[0] if len(entries) == 1 else None

    def files(self, commit: str) -> list[Entry]:
        """All entries below the commit's tree, directories included."""
        return _entries(self.text("ls-tree", "-r", "-t", "-l", "-z", commit))

    def blob(self, sha: str) -> bytes:
        return self.out("cat-file", "blob", sha)

    def write_blob(self, content: bytes) -> str:
        return self.text("hash-object", "-w", "--stdin", stdin=content).strip()

    def merged_tree(self, ours: str, theirs: str) -> str | None:
        """The tree of the real merge, or None if there are conflicts."""
        done = self.run("merge-tree", "--write-tree", ours, theirs)
        if done.returncode == 0:
            return done.stdout.decode().split("\n", 1)[0]
        if done.returncode == 1:
            return None
        raise GitError(f"git merge-tree: {done.stderr.decode(errors='replace').strip()}")

    def commit_tree(
        self, tree: str, *, parents: Sequence[str], message: str, author: Person, committer: Person
    ) -> str:
        args = [part for parent in parents for part in ("-p", parent)]
        env = author.variables("AUTHOR") | committer.variables("COMMITTER")
        return self.text("commit-tree", tree, *args, stdin=message.encode(), env=env).strip()

    def changed_tree(self, base: str, files: Mapping[str, bytes | None]) -> str:
        """The tree of `base` with these files written (None: deleted)."""
        lines = []
        for path, content in files.items():
            if content is None:
                lines.append(f"0 {ZERO}\t{path}\0")
                continue
            mode = existing.mode if (existing := self.entry(base, path)) else "100644"
            lines.append(f"{mode} {self.write_blob(content)}\t{path}\0")
        with tempfile.TemporaryDirectory() as scratch:
            env = {"GIT_INDEX_FILE": str(Path(scratch, "index"))}
            self.out("read-tree", base, env=env)
            self.out("update-index", "-z", "--index-info", stdin="".join(lines).encode(), env=env)
            return self.text("write-tree", env=env).strip()

    def tree_from(self, directory: Path) -> str:
        """The tree of a directory of the file system, whatever its own `.gitignore` says."""
        with tempfile.TemporaryDirectory() as scratch:
            env = {
                "GIT_INDEX_FILE": str(Path(scratch, "index")),
                "GIT_WORK_TREE": str(directory.resolve()),
                "GIT_DIR": str(self.git_dir.resolve()),
            }
            self.out("add", "--all", "--force", ".", env=env)
            return self.text("write-tree", env=env).strip()

    def rebased(self, head: str, *, onto: str, committer: Person) -> str | None:
        """The head's commits replayed on `onto`, or None if they conflict."""
        scratch = Path(tempfile.mkdtemp())
        worktree = scratch / "tree"
        try:
            self.out("worktree", "add", "--quiet", "--detach", str(worktree), head)
            env = committer.variables("COMMITTER")
            inside = Git(worktree)
            if inside.run("-c", "core.hooksPath=/dev/null", "rebase", "--quiet", onto, env=env).returncode:
                return None
            return inside.text("rev-parse", "HEAD").strip()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            self.run("worktree", "prune")


def _commit(chunk: str) -> Commit:
    sha, tree, parents, an, ae, at, cn, ce, ct, message = chunk.lstrip("\n").split("\0")[:10]
    return Commit(
        sha=sha,
        tree=tree,
        parents=tuple(parents.split()),
        author=Person(name=an, email=ae, date=datetime.fromtimestamp(int(at), UTC)),
        committer=Person(name=cn, email=ce, date=datetime.fromtimestamp(int(ct), UTC)),
        message=message.rstrip("\n"),
    )


_RawEntry = tuple[str, str | None, FileStatus, str, int, int]


def _raw_and_numstat(fields: list[str]) -> list[_RawEntry]:
    """Read `--raw --numstat -z`: first all raw entries, then the counts in the same order."""
    raws: list[tuple[str, str | None, FileStatus, str]] = []
    at = 0
    while at < len(fields) and fields[at].startswith(":"):
        _, _, before, after, letter = fields[at][1:].split(" ")
        status = _STATUS.get(letter[0], "changed")
        previous = fields[at + 1] if letter[0] in "RC" else None
        path = fields[at + 2] if previous is not None else fields[at + 1]
        raws.append((path, previous, status, before if letter[0] == "D" else after))
        at += 3 if previous is not None else 2
    entries: list[_RawEntry] = []
    for path, previous, status, sha in raws:
        added, deleted, _ = fields[at].split("\t")
        entries.append((path, previous, status, sha, _number(added), _number(deleted)))
        at += 3 if previous is not None else 1
    return entries


def _number(text: str) -> int:
    return 0 if text == "-" else int(text)


def _patches(diff: str, entries: Sequence[_RawEntry]) -> list[str | None]:
    """For each file of a diff the part from its first hunk on; None for binary files and pure renames.

    A file that became a link (or the other way) is told as a deletion and an addition: it has no patch.
    """
    patches: list[str | None] = []
    chunks = iter(re.split(r"^diff --git ", diff, flags=re.MULTILINE)[1:])
    for entry in entries:
        chunk = next(chunks)
        start = re.search(r"^@@ ", chunk, flags=re.MULTILINE)
        if entry[2] == "changed":
            next(chunks)
            start = None
        patches.append(chunk[start.start() :].removesuffix("\n") if start else None)
    return patches


def _entries(listing: str) -> list[Entry]:
    entries = []
    for line in listing.split("\0"):
        if not line:
            continue
        facts, path = line.split("\t", 1)
        mode, kind, sha, size = facts.split()
        number = 0 if size == "-" else int(size)
        match kind:
            case "blob" | "tree" | "commit":
                entries.append(Entry(path=path, mode=mode, type=kind, sha=sha, size=number))
            case _:
                raise GitError(f"unknown kind of tree entry: {kind}")
    return entries
