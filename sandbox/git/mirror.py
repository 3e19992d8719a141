"""The host's own copy of a repository, where git meets the network and commits are written; nowhere else.

A mirror is bare, lies outside every sandbox, and holds no credential. Nothing here reads an agent's files.
"""

import asyncio
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple

from sandbox.base import FileTooLarge, SandboxError
from sandbox.git import (
    ASKPASS,
    ASKPASS_NAME,
    DEFAULT_PROTOCOLS,
    Git,
    GitFailed,
    ObjectReader,
    Remote,
    logged_in,
)
from sandbox.git.commits import CommitRefused, Identity, commit_stream
from sandbox.git.filelock import locked
from sandbox.git.push import (
    BranchProtected,
    Denied,
    HeadMoved,
    Pushed,
    PushOutcome,
    refusal_of_access,
    refusal_of_update,
)
from sandbox.result import MAX_FILE_BYTES, ChangedFile

__all__ = [
    "BranchProtected",
    "ChangedFile",
    "CommitRefused",
    "Denied",
    "GitFailed",
    "HeadMoved",
    "Identity",
    "Mirror",
    "PushOutcome",
    "Pushed",
    "RefUnknown",
    "Remote",
    "mirror_directory",
]

ATTRIBUTES: Final = "* -text -crlf !eol -ident -filter !working-tree-encoding !diff\n"
"""In `info/attributes`, which wins over any `.gitattributes`: bytes are never altered, diffs never hidden."""
EXCLUDES: Final = "__pycache__/\n.pytest_cache/\n.mypy_cache/\n.ruff_cache/\nnode_modules/\n"
"""In `info/exclude`, which any `.gitignore` may overrule: what tools leave behind and nobody wants."""

_CONFIG: Final = """\
[core]
\trepositoryformatversion = 0
\tbare = true
\tfilemode = true
\tsymlinks = true
\tignorecase = false
\tautocrlf = false
\tsafecrlf = false
\tprotectNTFS = true
\tprotectHFS = true
\tfsmonitor = false
\tlogAllRefUpdates = false
\tsharedRepository = 0644
\thooksPath = /dev/null
\tattributesFile = /dev/null
\texcludesFile = /dev/null
[gc]
\tauto = 0
[maintenance]
\tauto = false
[credential]
\thelper =
[submodule]
\trecurse = false
[http]
\tlowSpeedLimit = 100
\tlowSpeedTime = 60
[fetch]
\tfsckObjects = true
\trecurseSubmodules = false
\twriteCommitGraph = false
[fetch "fsck"]
# Flaws of old clients that are in the history of many good repositories and harm nobody.
\tbadDateOverflow = ignore
\tbadEmail = ignore
\tbadName = ignore
\tbadTimezone = ignore
\tmissingEmail = ignore
\tmissingNameBeforeEmail = ignore
\tmissingSpaceBeforeDate = ignore
\tmissingSpaceBeforeEmail = ignore
\tmissingTaggerEntry = ignore
\tmultipleAuthors = ignore
\tnulInCommit = ignore
\tzeroPaddedFilemode = ignore
\tzeroPaddedDate = ignore
"""
_PASSING: Final = "darner-passing-"
"""What is needed for a moment only: here, where the next start finds what a killed process left."""
_FRESH: Final = ".new-"
_OLD: Final = 3600.0
_MANY_PACKS: Final = 20
_MANY_LOOSE: Final = 27
"""Objects in one of 256 directories, and so 6,900 in all: https://git-scm.com/docs/git-gc, `gc.auto`."""
_MANY_REFS: Final = 500
_UPKEEP: Final = 1800.0
_SHA: Final = re.compile(r"[0-9a-f]{40}")
# Narrower than git-check-ref-format(1): no name that a shell, an option parser or a refspec could misread.
_REF: Final = re.compile(r"[^\W_][^\s~^:?*\[\\\x00-\x20\x7f-\x9f]*")
_SMALL: Final = 1024 * 1024
_LISTING: Final = 256 * 1024 * 1024
_QUICK: Final = 60.0
_NETWORK: Final = 900.0


class RefUnknown(SandboxError):
    """The mirror has no such ref or commit, or the name can be none."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name!r} names no commit in the mirror")


def mirror_directory(home: Path, repository_id: int) -> Path:
    """Where the mirror of a repository lies below `home`; a numeric id survives renames and transfers."""
    return home / f"{repository_id}.git"


class Patch(NamedTuple):
    """A diff in git's form."""

    data: bytes
    is_cut: bool
    """Whether files of it are missing."""


class Mirror:
    """One bare repository. Belongs to one event loop; several processes may use one directory."""

    def __init__(self, directory: Path, *, protocols: Sequence[str] = DEFAULT_PROTOCOLS) -> None:
        self.directory = directory
        self._git = Git(directory, tuple(protocols))
        self._reader = ObjectReader(self._git)
        self._writing = asyncio.Lock()
        self._is_swept = False
        self._listings: dict[tuple[str, frozenset[str]], tuple[str, ...]] = {}

    @property
    def git(self) -> Git:
        """git on this mirror, for the check-out of its commits."""
        return self._git

    @property
    def objects(self) -> Path:
        """The object store, which a checkout's git view borrows from."""
        return self.directory / "objects"

    async def ensure(self, remote: Remote | None = None) -> None:
        """Make the repository if it is not there, and its settings what they must be. No network."""
        if remote is not None:
            self._check_protocol(remote)
        if not await asyncio.to_thread((self.directory / "HEAD").exists):
            await self._create()
        await asyncio.to_thread(self._write_settings)
        if not self._is_swept:
            self._is_swept = True
            await asyncio.to_thread(self._sweep)

    async def fetch(self, remote: Remote, *refs_or_shas: str) -> None:
        """Get commits by SHA and refs by name (a bare name is a branch), kept below `refs/darner/`.

        Asks nobody when only SHAs are given and all of them are here. Raises `GitFailed` and `RefUnknown`.
        """
        self._check_protocol(remote)
        refspecs = [f"+{_full_ref(name)}:{_own_ref(name)}" for name in refs_or_shas]
        if await self.has_all(*refs_or_shas):
            return
        async with self._exclusive():
            if await self.has_all(*refs_or_shas):
                return
            with logged_in(self._git, remote) as git:
                await git.run(
                    "fetch",
                    "--quiet",
                    "--no-tags",
                    "--no-write-fetch-head",
                    "--no-auto-maintenance",
                    "--no-recurse-submodules",
                    "--",
                    remote.url,
                    *refspecs,
                    limit=_SMALL,
                    seconds=_NETWORK,
                )

    async def maintain(self) -> bool:
        """Pack what many fetches left, if there is so much that it makes git slow; tell whether there was.

        Throws no object away, not even one that nothing reaches: turns that run borrow from here. Fetches and
        commits may go on meanwhile. Of several processes one does it.
        """
        if not await asyncio.to_thread(self._is_untidy):
            return False
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(locked(self.directory / "darner-upkeep.lock", seconds=0))
            except TimeoutError:
                return False
            for arguments in (
                ("repack", "--geometric=2", "-d", "--quiet", "--no-write-bitmap-index"),
                ("pack-refs", "--all"),
            ):
                await self._git.run(*arguments, limit=_SMALL, seconds=_UPKEEP)
        return True

    async def has_all(self, *refs_or_shas: str) -> bool:
        """Whether only commits are named, and all of them are here."""
        for name in refs_or_shas:
            if not _is_sha(name) or not await self.has(name):
                return False
        return True

    async def has(self, sha: str) -> bool:
        """Whether the commit is here with all it needs.

        An object alone proves nothing: a fetch that was killed leaves commits without their trees. A ref is
        written only after git has checked that everything is there.
        """
        if not _is_sha(sha):
            return False
        if await self._reader.describe(_own_ref(sha)) is not None:
            return True
        described = await self._reader.describe(sha)
        if described is None or described[1] != "commit":
            return False
        try:
            unreached = await self._git.run(
                "rev-list", "--max-count=1", sha, "--not", "--all", limit=_SMALL, seconds=_QUICK
            )
        except GitFailed:
            return False
        return not unreached

    async def resolve(self, ref: str) -> str:
        """The commit a fetched ref, or a SHA, stands for. Raises `RefUnknown`."""
        name = ref if _is_sha(ref) else _own_ref(ref)
        described = await self._reader.describe(f"{name}^{{commit}}")
        if described is None:
            raise RefUnknown(ref)
        return described[0]

    async def read(self, sha: str, path: str, *, limit: int) -> bytes | None:
        """The regular file at `path` in a commit; None when there is none, or something else.

        Raises `FileTooLarge` above `limit` bytes: half a file is never taken for the whole.
        """
        parent, _, name = path.rpartition("/")
        tree = await self._reader.read(f"{_sha(sha)}:{parent}", limit=_LISTING)
        if tree is None or tree[0] != "tree":
            return None
        entry = _tree_entry(tree[1], os.fsencode(name))
        if entry is None or entry[0] not in {b"100644", b"100755", b"100664"}:
            return None
        try:
            return await self.read_blob(entry[1], limit=limit)
        except FileTooLarge as error:
            raise FileTooLarge(path, limit) from error

    async def read_entry(self, sha: str, path: str, *, limit: int) -> bytes | None:
        """What git keeps at `path` in a commit: a file's bytes, a symlink's target, or None."""
        if "\n" in path:
            return None
        found = await self._reader.read(f"{_sha(sha)}:{path}", limit=limit)
        return None if found is None or found[0] != "blob" else found[1]

    async def read_blob(self, object_id: str, *, limit: int) -> bytes | None:
        """A blob by its own name."""
        found = await self._reader.read(_sha(object_id), limit=limit)
        return None if found is None or found[0] != "blob" else found[1]

    async def read_tree(self, name: str) -> bytes:
        """A directory of a commit as git stores it. Raises `RefUnknown` when it is not here."""
        found = await self._reader.read(name, limit=_LISTING)
        if found is None or found[0] != "tree":
            raise RefUnknown(name)
        return found[1]

    async def size_of(self, object_id: str) -> int:
        """How many bytes a blob has. Raises `RefUnknown` when it is not here."""
        described = await self._reader.describe(_sha(object_id))
        if described is None:
            raise RefUnknown(object_id)
        return described[2]

    async def list_paths(self, sha: str, *, names: Collection[str]) -> tuple[str, ...]:
        """Every path in a commit whose last component is one of `names`, sorted. Remembered per commit."""
        key = (_sha(sha), frozenset(names))
        if key not in self._listings:
            listing = await self._git.run(
                "ls-tree", "-r", "-z", "--name-only", "--full-tree", sha, limit=_LISTING, seconds=_QUICK
            )
            found = await asyncio.to_thread(_named, listing, key[1])
            while len(self._listings) >= 64:
                self._listings.pop(next(iter(self._listings)))
            self._listings[key] = found
        return self._listings[key]

    async def diff(self, base: str, head: str, *, limit: int) -> str:
        """What `head` changes since it left `base` (three dots), unified; cut at `limit` bytes and marked."""
        return await self._diff(f"{_sha(base)}...{_sha(head)}", limit=limit)

    async def patch(self, base: str, head: str, *arguments: str, limit: int) -> Patch:
        """git's patch of what `head` changes since it left `base`, in the form that `arguments` name.

        Longer than `limit` bytes, it ends with the last file that is whole: one large file may hide all that
        comes behind it. Raises `GitFailed`.
        """
        command = ("diff", *arguments, f"{_sha(base)}...{_sha(head)}", "--")
        finished = await self._git.finish(*command, limit=limit, seconds=_QUICK)
        if finished.cut:
            return Patch(finished.stdout[: finished.stdout.rfind(b"\ndiff --git ") + 1], is_cut=True)
        if finished.exit_status != 0:
            raise GitFailed(command, finished.exit_status, finished.stderr)
        return Patch(finished.stdout, is_cut=False)

    async def changed_paths(self, base: str, head: str) -> frozenset[str]:
        """All that `head` changes since it left `base`, by the names of before and after. Raises `GitFailed`.

        Names are for looking at: bytes that are no UTF-8 are shown as such.
        """
        names = ("-z", "--name-only", "--no-renames", "--ignore-submodules=none")
        both = f"{_sha(base)}...{_sha(head)}"
        listing = await self._git.run("diff", *names, both, "--", limit=_LISTING, seconds=_QUICK)
        return frozenset(name.decode("utf-8", "replace") for name in listing.split(b"\0") if name)

    async def renames(self, before: str, after: str) -> dict[str, str]:
        """New paths by old ones, of files that went from one tree to the other under another name."""
        listing = await self._git.run(
            "diff-tree",
            "-r",
            "-z",
            "--name-status",
            "--find-renames",
            "--diff-filter=R",
            _sha(before),
            _sha(after),
            "--",
            limit=_LISTING,
            seconds=_QUICK,
        )
        names = [os.fsdecode(name) for name in listing.split(b"\0")[:-1]]
        return dict(zip(names[1::3], names[2::3], strict=True))

    async def all_paths(self, sha: str) -> frozenset[str]:
        """Every file in a commit."""
        listing = await self._git.run(
            "ls-tree", "-r", "-z", "--name-only", "--full-tree", _sha(sha), limit=_LISTING, seconds=_QUICK
        )
        return frozenset(os.fsdecode(path) for path in listing.split(b"\0") if path)

    async def diff_of(self, parent: str, changes: Sequence[ChangedFile], *, limit: int) -> str:
        """The unified diff of `changes` on `parent`, as git shows it; the mirror keeps nothing of them."""
        with tempfile.TemporaryDirectory(prefix=_PASSING, dir=self.directory) as name:
            environment = {
                "GIT_OBJECT_DIRECTORY": name,
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.objects),
            }
            nobody = Identity("nobody", "nobody@localhost")
            stream = commit_stream(_sha(parent), changes, message="", author=nobody, date=0)
            sha = await self._import(stream, environment)
            return await self._diff(parent, sha, limit=limit, environment=environment)

    async def changes(self, base: str, head: str) -> tuple[ChangedFile, ...]:
        """What the tree of `head` has that `base` has not, file by file; what is too large is left out."""
        listing = await self._git.run(
            "diff-tree",
            "-r",
            "-z",
            "--raw",
            "--no-renames",
            "--no-abbrev",
            _sha(base),
            _sha(head),
            "--",
            limit=_LISTING,
            seconds=_QUICK,
        )
        fields = listing.split(b"\0")
        found = []
        for told, path in zip(fields[:-1:2], fields[1::2], strict=True):
            _, mode, _, object_id, status = told.decode().split(" ")
            name = os.fsdecode(path)
            if status == "D":
                found.append(ChangedFile(path=name, kind="delete", mode="000000", data=None))
                continue
            data = await self._content(mode, object_id)
            if data is not None:
                kind: Literal["add", "update"] = "add" if status == "A" else "update"
                found.append(ChangedFile(path=name, kind=kind, mode=_mode(mode), data=data))
        return tuple(found)

    async def _content(self, mode: str, object_id: str) -> bytes | None:
        if mode not in {"100644", "100755", "120000"}:
            return None
        try:
            return await self.read_blob(object_id, limit=MAX_FILE_BYTES)
        except FileTooLarge:
            return None

    async def commit(
        self, *, parent: str, changes: Sequence[ChangedFile], message: str, author: Identity, date: int
    ) -> str:
        """Write a commit of `changes` on `parent`; the same input gives the same SHA.

        Raises `CommitRefused` for a change with a problem or a path that git would not take.
        """
        stream = commit_stream(_sha(parent), changes, message=message, author=author, date=date)
        # Not the lock of a fetch, which may take minutes: git lets both write objects at once.
        async with self._writing:
            sha = await self._import(stream, {})
            await self._git.run("update-ref", _own_ref(sha), sha, limit=_SMALL, seconds=_QUICK)
        return sha

    async def push(self, remote: Remote, *, sha: str, branch: str, expected: str | None) -> PushOutcome:
        """Put `branch` at `sha` if it is at `expected` (None: if it does not exist).

        Safe to repeat: a branch that is at `sha` already counts as pushed. Raises `GitFailed` when the forge
        could not be asked, or did not answer: then nobody knows, and the same push tells.
        """
        self._check_protocol(remote)
        ref = _full_ref(f"refs/heads/{branch}")
        with logged_in(self._git, remote) as git:
            arguments = (
                "push",
                "--porcelain",
                "--no-verify",
                "--no-follow-tags",
                "--no-signed",
                "--recurse-submodules=no",
                f"--force-with-lease={ref}:{'' if expected is None else _sha(expected)}",
                "--",
                remote.url,
                f"{_sha(sha)}:{ref}",
            )
            finished = await git.finish(*arguments, limit=_SMALL, seconds=_NETWORK)
            if finished.exit_status == 0:
                return Pushed()
            output = finished.stdout.decode(errors="replace")
            rejection = next((line for line in output.splitlines() if line.startswith("!")), None)
            if rejection is None:
                return refusal_of_access(arguments, finished.exit_status, finished.stderr)
            current = await _remote_head(git, remote, ref)
        if current == sha:
            return Pushed()
        if current != expected:
            return HeadMoved(current)
        return refusal_of_update(rejection, finished.stderr)

    async def drop(self, sha: str) -> None:
        """Keep the commit no longer for its own sake; nothing is thrown away."""
        await self._git.run("update-ref", "-d", _own_ref(_sha(sha)), limit=_SMALL, seconds=_QUICK)

    async def head_of(self, remote: Remote, branch: str) -> str | None:
        """Where a branch is now, by the forge; None when there is none. Raises `GitFailed`."""
        self._check_protocol(remote)
        with logged_in(self._git, remote) as git:
            return await _remote_head(git, remote, _full_ref(f"refs/heads/{branch}"))

    async def close(self) -> None:
        """End the process that reads objects."""
        await self._reader.close()

    async def _create(self) -> None:
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=_FRESH, dir=self.directory.parent))
        try:
            fresh.chmod(0o755)
            git = Git(fresh, self._git.protocols)
            await git.run("init", "--quiet", "--bare", "--template=", limit=_SMALL, seconds=_QUICK)
            try:
                fresh.rename(self.directory)
            except OSError:
                if not (self.directory / "HEAD").exists():
                    raise
        finally:
            await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)

    def _is_untidy(self) -> bool:
        objects = self.directory / "objects"
        packs = sum(1 for _ in (objects / "pack").glob("*.pack"))
        loose = sum(1 for _ in (objects / "17").glob("*"))
        refs = sum(1 for _ in (self.directory / "refs/darner/commits").glob("*"))
        return packs > _MANY_PACKS or loose > _MANY_LOOSE or refs > _MANY_REFS

    def _sweep(self) -> None:
        """Remove what a process that was killed left half made; what is young may be somebody's."""
        old = time.time() - _OLD
        for directory, pattern in (
            (self.directory, f"{_PASSING}*"),
            (self.directory.parent, f"{_FRESH}*"),
            (self.directory / "objects/pack", "tmp_*"),
            (self.directory / "objects/pack", ".tmp-*"),
        ):
            for path in directory.glob(pattern):
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime > old:
                        continue
                    if path.is_dir():
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        path.unlink()

    def _write_settings(self) -> None:
        for name, text, mode in (
            ("config", _CONFIG, 0o644),
            ("info/attributes", ATTRIBUTES, 0o644),
            ("info/exclude", EXCLUDES, 0o644),
            (ASKPASS_NAME, ASKPASS, 0o700),
        ):
            _write_once(self.directory / name, text, mode)

    @asynccontextmanager
    async def _exclusive(self) -> AsyncIterator[None]:
        """One fetch at a time, in this process and among all that share the directory."""
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(locked(self.directory / "darner.lock", seconds=_NETWORK))
            except TimeoutError:
                told = "another process holds the mirror"
                raise GitFailed(("lock", str(self.directory)), 124, told) from None
            yield

    def _check_protocol(self, remote: Remote) -> None:
        scheme = remote.url.partition("://")[0]
        if scheme not in self._git.protocols:
            raise ValueError(f"a remote over {scheme!r} is not allowed")

    async def _diff(self, *revisions: str, limit: int, environment: Mapping[str, str] | None = None) -> str:
        arguments = (
            "diff",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--find-renames",
            "--submodule=short",
            *revisions,
            "--",
        )
        finished = await self._git.finish(*arguments, limit=limit, seconds=_QUICK, environment=environment)
        if finished.cut:
            whole_lines = finished.stdout[: finished.stdout.rfind(b"\n") + 1]
            return f"{whole_lines.decode(errors='replace')}[diff cut here: longer than {limit} bytes]\n"
        if finished.exit_status != 0:
            raise GitFailed(arguments, finished.exit_status, finished.stderr)
        return finished.stdout.decode(errors="replace")

    async def _import(self, stream: bytes, environment: Mapping[str, str]) -> str:
        output = await self._git.run(
            "fast-import",
            "--quiet",
            "--done",
            "--date-format=raw",
            stdin=stream,
            limit=_SMALL,
            seconds=_QUICK,
            environment=environment,
        )
        return _sha(output.decode().strip())


async def _remote_head(git: Git, remote: Remote, ref: str) -> str | None:
    output = await git.run("ls-remote", "--refs", "--", remote.url, ref, limit=_SMALL, seconds=_QUICK)
    for line in output.decode(errors="replace").splitlines():
        sha, _, name = line.partition("\t")
        if name == ref:
            return sha
    return None


def _mode(text: str) -> Literal["100644", "100755", "120000"]:
    match text:
        case "100755" | "120000":
            return text
        case _:
            return "100644"


def _is_sha(name: str) -> bool:
    return _SHA.fullmatch(name) is not None


def _sha(name: str) -> str:
    if not _is_sha(name):
        raise RefUnknown(name)
    return name


def _full_ref(name: str) -> str:
    if _is_sha(name):
        return name
    full = name if name.startswith("refs/") else f"refs/heads/{name}"
    parts = full.split("/")
    if (
        _REF.fullmatch(full) is None
        or ".." in full
        or "@{" in full
        or any(not part or part.startswith((".", "-")) or part.endswith((".", ".lock")) for part in parts)
    ):
        raise RefUnknown(name)
    return full


def _own_ref(name: str) -> str:
    if _is_sha(name):
        return f"refs/darner/commits/{name}"
    return f"refs/darner/{_full_ref(name).removeprefix('refs/')}"


def _tree_entry(tree: bytes, name: bytes) -> tuple[bytes, str] | None:
    """Mode and object id of `name` in a tree object as git stores it."""
    at = 0
    while at < len(tree):
        space = tree.index(b" ", at)
        end = tree.index(b"\0", space)
        if tree[space + 1 : end] == name:
            return tree[at:space], tree[end + 1 : end + 21].hex()
        at = end + 21
    return None


def _named(listing: bytes, names: frozenset[str]) -> tuple[str, ...]:
    wanted = {os.fsencode(name) for name in names}
    return tuple(
        os.fsdecode(path) for path in listing.split(b"\0") if path.rpartition(b"/")[2] in wanted and path
    )


def _write_once(path: Path, text: str, mode: int) -> None:
    """Have exactly `text` at `path`; replaced whole, so that no reader sees half of it."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(descriptor, mode)
    Path(name).rename(path)
