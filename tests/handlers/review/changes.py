"""Changes between two trees, written by hand or by dice, and what git itself says of them."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from handlers.review.diff import DIFF_ARGUMENTS, by_path, decoded, parse_diff
from handlers.review.findings import Reviewed

Tree = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Change:
    old: Tree
    new: Tree


class Repository:
    """A bare repository that holds the two trees of one change after the other."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.run("init", "--quiet", "--bare", ".")

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        return subprocess.run(
            ("git", *arguments),
            cwd=self._directory,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"},
            input=stdin,
            capture_output=True,
            check=True,
        ).stdout

    def hold(self, change: Change) -> None:
        """Both trees, as `refs/heads/old` and `refs/heads/new`."""
        stream = b"".join(_commit(name, tree) for name, tree in (("old", change.old), ("new", change.new)))
        self.run(
            "-c", "core.fsync=none", "fast-import", "--quiet", "--force", "--done", stdin=stream + b"done\n"
        )

    def diff(self, change: Change, *arguments: str) -> bytes:
        self.hold(change)
        return self.run("diff", *DIFF_ARGUMENTS, *arguments, "old", "new")

    def reviewed(self, change: Change) -> Reviewed:
        return Reviewed(
            files=by_path(parse_diff(self.diff(change))),
            new_texts={path: decoded(data) for path, data in change.new.items() if b"\0" not in data},
            old_texts={path: decoded(data) for path, data in change.old.items() if b"\0" not in data},
        )


def _commit(name: str, tree: Tree) -> bytes:
    files = b"".join(
        b"M 100644 inline %b\ndata %d\n%b\n" % (_quoted(path), len(data), data) for path, data in tree.items()
    )
    head = b"commit refs/heads/%b\ncommitter A <a@example.org> 1700000000 +0000\ndata 0\n" % name.encode()
    return head + b"deleteall\n" + files


def _quoted(path: str) -> bytes:
    return b'"' + path.encode().replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'


def text(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


PATHS = ("a.py", "dir/b c.txt", "q\"uo'te.txt", "tab\t.txt", "ünï/cödé.md", "back\\slash", "x b/x b", "-dash")

_LINES = st.sampled_from(
    ["", "a", "b", "    a", "}", "x\r", "form\ffeed", "@@ -1 +1 @@", "--- a/x", "\\ no", "ü"]
)


@st.composite
def contents(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A file before and after some edits; they are far apart as often as near."""
    old = draw(st.lists(_LINES, max_size=40))
    new = list(old)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(new)))
        gone = draw(st.integers(0, 3))
        new[at : at + gone] = draw(st.lists(_LINES, max_size=3))
    return _file(old, ends=draw(st.booleans())), _file(new, ends=draw(st.booleans()))


def _file(lines: list[str], *, ends: bool) -> bytes:
    joined = "\n".join(lines)
    return (f"{joined}\n" if ends and lines else joined).encode()


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """A few files: changed, added, deleted, renamed."""
    old: dict[str, bytes] = {}
    new: dict[str, bytes] = {}
    for path in draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=4, unique=True)):
        before, after = draw(contents())
        kind = draw(st.sampled_from(["modified", "modified", "added", "deleted", "renamed"]))
        if kind != "added":
            old[path] = before
        if kind != "deleted":
            new[f"renamed/{path}" if kind == "renamed" else path] = after
    return Change(old, new)
