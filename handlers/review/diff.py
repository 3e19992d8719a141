"""Reads the output of `git diff` into files and hunks, in linear time. Runs nothing."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

DIFF_ARGUMENTS: Final = (
    "--patch",
    "--find-renames",
    "--full-index",
    "--unified=3",
    "--inter-hunk-context=0",
    "--diff-algorithm=default",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--submodule=short",
    "--ignore-submodules=none",
)
"""What `git diff` is called with, so that nobody's configuration has a say in the form that is read here."""

FileKind = Literal["added", "deleted", "modified", "renamed", "copied", "type_changed"]


@dataclass(frozen=True, slots=True)
class Hunk:
    """A run of changed lines with its context. A side without lines starts at the line before the change."""

    old_start: int
    old_lines: int
    new_start: int
    new_lines: int
    lines: tuple[str, ...]
    """Each with its mark in front: a space, `+` or `-`."""
    old_is_unterminated: bool = False
    """The last line of the old side has no newline at its end."""
    new_is_unterminated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDiff:
    """What happened to one file."""

    path: str
    """Its path after the change; of a deleted file, the path that it had."""
    old_path: str
    """The same as `path`, unless the file was renamed or copied."""
    kind: FileKind
    is_binary: bool = False
    hunks: tuple[Hunk, ...] = ()
    """Empty for binary files, for pure renames and changes of mode, and where the type changed."""
    old_mode: str = ""
    new_mode: str = ""
    old_blob: str = ""
    """Object ids as git wrote them; empty where the content did not change."""
    new_blob: str = ""
    changed_lines: int = 0
    diff_lines: int = 0
    """Lines of all hunks, headers included."""
    diff_bytes: int = 0


class DiffUnreadable(ValueError):
    """The text is not the output of `git diff` between two trees."""


def decoded(data: bytes) -> str:
    """The text of a file or a diff. Bytes that are no UTF-8 stay apart from each other, as escapes."""
    return data.decode("utf-8", "backslashreplace")


def parse_diff(text: str | bytes) -> tuple[FileDiff, ...]:
    """The files of a diff in its order. Raises `DiffUnreadable`.

    Lines end at newlines only: carriage returns and form feeds are part of them, as git and GitHub count.
    """
    lines = (decoded(text) if isinstance(text, bytes) else text).split("\n")
    if lines[-1] == "":
        lines.pop()
    files: list[FileDiff] = []
    at = 0
    while at < len(lines):
        if lines[at].startswith(("diff --cc ", "diff --combined ")):
            raise DiffUnreadable("a combined diff: two trees are compared, never a merge with its parents")
        if not lines[at].startswith("diff --git "):
            raise DiffUnreadable(f"line {at + 1} is not the head of a file")
        reading = _Reading(lines, at)
        file = reading.file()
        at = reading.at
        if files and _is_type_change(files[-1], file):
            file = _type_changed(files.pop(), file)
        files.append(file)
    return tuple(files)


def by_path(files: Sequence[FileDiff]) -> Mapping[str, FileDiff]:
    """The files by their paths after the change."""
    return {file.path: file for file in files}


def renames_in(files: Sequence[FileDiff]) -> Mapping[str, str]:
    """New paths by old ones."""
    return {file.old_path: file.path for file in files if file.kind == "renamed"}


def numbered(hunk: Hunk) -> Iterator[tuple[int | None, int | None, str]]:
    """Old line number, new line number (None where the side lacks the line), text without its mark."""
    old, new = hunk.old_start, hunk.new_start
    for line in hunk.lines:
        mark, text = line[:1], line[1:]
        yield (None if mark == "+" else old, None if mark == "-" else new, text)
        old += mark != "+"
        new += mark != "-"


def removed_lines(file: FileDiff) -> frozenset[int]:
    """The numbers of the old file's lines that are gone."""
    return frozenset(
        old for hunk in file.hunks for old, new, _ in numbered(hunk) if new is None and old is not None
    )


def added_lines(file: FileDiff) -> frozenset[int]:
    """The numbers of the new file's lines that were not there."""
    return frozenset(
        new for hunk in file.hunks for old, new, _ in numbered(hunk) if old is None and new is not None
    )


_HUNK: Final = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_INDEX: Final = re.compile(r"index ([0-9a-f]+)\.\.([0-9a-f]+)(?: (\d+))?")
_ESCAPE: Final = re.compile(r"\\([0-7]{3}|.)", re.DOTALL)
_ESCAPED: Final = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')


class _Reading:
    """One file of the diff; `at` is the line to go on from."""

    def __init__(self, lines: Sequence[str], at: int) -> None:
        self._lines = lines
        self._begin = at
        self.at = at + 1
        self._old: str | None = None
        self._new: str | None = None
        self._kind: FileKind = "modified"
        self._is_binary = False
        self._modes = ["", ""]
        self._blobs = ["", ""]

    def file(self) -> FileDiff:
        self._header()
        hunks = tuple(self._hunks())
        old, new = self._names()
        lines = self._lines[self._begin : self.at]
        return FileDiff(
            path=old if self._kind == "deleted" else new,
            old_path=new if self._kind == "added" else old,
            kind=self._kind,
            is_binary=self._is_binary,
            hunks=hunks,
            old_mode=self._modes[0],
            new_mode=self._modes[1],
            old_blob=self._blobs[0],
            new_blob=self._blobs[1],
            changed_lines=sum(1 for hunk in hunks for line in hunk.lines if line[0] != " "),
            diff_lines=sum(len(hunk.lines) + 1 for hunk in hunks),
            diff_bytes=sum(len(line) + 1 for line in lines),
        )

    def _header(self) -> None:
        """The extended header lines. https://git-scm.com/docs/diff-format#generate_patch_text_with_p"""
        while self.at < len(self._lines):
            line = self._lines[self.at]
            if line.startswith(("diff --git ", "@@ ")):
                return
            self.at += 1
            if line.startswith("GIT binary patch"):
                self._is_binary = True
                self._skip_binary()
                return
            self._header_line(line)

    def _header_line(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "index" and (index := _INDEX.match(line)):
            self._blobs = [index[1], index[2]]
            if index[3]:
                self._modes = [index[3], index[3]]
        elif word == "---":
            self._old = _name(rest, prefix="a/")
        elif word == "+++":
            self._new = _name(rest, prefix="b/")
        elif word in ("rename", "copy"):
            self._kind = "renamed" if word == "rename" else "copied"
            if rest.startswith("from "):
                self._old = _name(rest[5:], prefix="")
            else:
                self._new = _name(rest[3:], prefix="")
        elif line.startswith("new file mode "):
            self._kind, self._modes[1] = "added", line[14:]
        elif line.startswith("deleted file mode "):
            self._kind, self._modes[0] = "deleted", line[18:]
        elif line.startswith(("old mode ", "new mode ")):
            self._modes[word == "new"] = line[9:]
        elif word == "Binary":
            self._is_binary = True
        elif word not in ("similarity", "dissimilarity"):
            raise DiffUnreadable(f"line {self.at} is no line of a file's head")

    def _skip_binary(self) -> None:
        while self.at < len(self._lines) and not self._lines[self.at].startswith("diff --git "):
            self.at += 1

    def _hunks(self) -> Iterator[Hunk]:
        while self.at < len(self._lines) and (head := _HUNK.match(self._lines[self.at])):
            self.at += 1
            yield self._hunk(head)

    def _hunk(self, head: re.Match[str]) -> Hunk:
        old_lines, new_lines = (1 if head[group] is None else int(head[group]) for group in (2, 4))
        old_left, new_left = old_lines, new_lines
        begin = self.at
        unterminated: set[str] = set()
        taken: list[str] = []
        while self.at < len(self._lines):
            line = self._lines[self.at]
            mark = line[:1] or " "  # git leaves the space out under diff.suppressBlankEmpty
            if mark == "\\":
                unterminated.add(taken[-1][0] if taken else " ")
            elif not (old_left or new_left):
                break
            elif mark in " +-":
                taken.append(line or " ")
                old_left -= mark != "+"
                new_left -= mark != "-"
            else:
                raise DiffUnreadable(f"line {self.at + 1} is no line of a hunk")
            self.at += 1
        if old_left or new_left:
            raise DiffUnreadable(f"the hunk at line {begin} is not whole")
        return Hunk(
            old_start=int(head[1]),
            old_lines=old_lines,
            new_start=int(head[3]),
            new_lines=new_lines,
            lines=tuple(taken),
            old_is_unterminated=not unterminated.isdisjoint(" -"),
            new_is_unterminated=not unterminated.isdisjoint(" +"),
        )

    def _names(self) -> tuple[str, str]:
        """Old and new name. The first line alone is ambiguous, and needed only where both are the same."""
        if self._old is not None and self._new is not None:
            return self._old, self._new
        first = self._lines[self._begin].removeprefix("diff --git ")
        if quoted := _QUOTED.match(first):
            name = _unquoted(quoted[1]).removeprefix("a/")
        else:
            # `a/NAME b/NAME`: two equal names, whatever spaces they hold.
            name = first[2 : (len(first) - 1) // 2]
        if not name:
            raise DiffUnreadable(f"line {self._begin + 1} names no file")
        return (self._old or name, self._new or name)


def _name(text: str, *, prefix: str) -> str | None:
    """A name as git writes it: quoted like a C string if need be, with a tab behind one that has spaces."""
    quoted = _QUOTED.match(text)
    name = _unquoted(quoted[1]) if quoted else text.removesuffix("\t")
    return None if prefix and name == "/dev/null" else name.removeprefix(prefix)


def _unquoted(text: str) -> str:
    raw = bytearray()
    at = 0
    for escape in _ESCAPE.finditer(text):
        raw += text[at : escape.start()].encode()
        code = escape[1]
        if len(code) == 1 and code not in _ESCAPED:
            raise DiffUnreadable(f"an unknown escape in a name: \\{code}")
        raw.append(int(code, 8) & 0xFF if len(code) == 3 else _ESCAPED[code])
        at = escape.end()
    return decoded(bytes(raw + text[at:].encode()))


def _is_type_change(earlier: FileDiff, later: FileDiff) -> bool:
    """git tells a file that became a link (or the other way) as a deletion and an addition of one path."""
    return earlier.kind == "deleted" and later.kind == "added" and earlier.path == later.path


def _type_changed(deleted: FileDiff, added: FileDiff) -> FileDiff:
    return FileDiff(
        path=added.path,
        old_path=added.path,
        kind="type_changed",
        is_binary=deleted.is_binary or added.is_binary,
        old_mode=deleted.old_mode,
        new_mode=added.new_mode,
        old_blob=deleted.old_blob,
        new_blob=added.new_blob,
    )
