"""A commit of changed files as git-fast-import(1) reads it: the last gate before anything is history."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sandbox.base import SandboxError
from sandbox.result import ChangedFile, path_problem

_NO_OBJECT: Final = "0" * 40


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a commit is from."""

    name: str
    email: str


class CommitRefused(SandboxError):
    """A change cannot be part of a commit."""


def commit_stream(
    parent: str, changes: Sequence[ChangedFile], *, message: str, author: Identity, date: int
) -> bytes:
    """The commit as git-fast-import(1) reads it. The ref it needs is dropped again in the same breath."""
    who = f"{_plain(author.name)} <{_plain(author.email)}> {date} +0000".encode()
    text = message.encode()
    body: list[bytes] = []
    for change in sorted(changes, key=lambda change: (change.kind != "delete", change.path)):
        body.extend(_change_lines(change))
    digest = hashlib.sha256(b"\n".join([parent.encode(), who, text, *body])).hexdigest()
    ref = b"refs/darner/writing/" + digest.encode()
    head = [
        b"commit " + ref,
        b"mark :1",
        b"author " + who,
        b"committer " + who,
        b"data %d" % len(text),
        text,
        b"from " + parent.encode(),
    ]
    tail = [b"get-mark :1", b"reset " + ref, b"from " + _NO_OBJECT.encode(), b"", b"done", b""]
    return b"\n".join([*head, *body, *tail])


def _change_lines(change: ChangedFile) -> list[bytes]:
    path = change.path.encode(errors="surrogateescape")
    parts = path.split(b"/")
    problem = change.problem or path_problem(path)
    if problem is None and any(part in {b"", b".", b".."} for part in parts):
        problem = "not a path below the root"
    if problem is not None:
        raise CommitRefused(f"{change.path!r}: {problem}")
    quoted = b'"' + path.replace(b'"', b'\\"') + b'"'
    if change.kind == "delete":
        return [b"D " + quoted]
    if change.data is None or change.mode == "000000":
        raise CommitRefused(f"{change.path!r}: no content")
    return [
        b"M " + change.mode.encode() + b" inline " + quoted,
        b"data %d" % len(change.data),
        change.data,
    ]


def _plain(text: str) -> str:
    """A name or address as a commit's header can hold it."""
    kept = "".join(character for character in text if character.isprintable() and character not in "<>")
    return kept.strip() or "unknown"
