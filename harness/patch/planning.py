"""Computes what a patch makes of the files, in memory, and hands all of it over in one atomic edit.

Operations see the results of those before them, as if each had been carried out. It never writes a part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Final, Literal, assert_never

from harness.patch.matching import Haystack
from harness.patch.parser import AddFile, Chunk, DeleteFile, Patch, PatchLine, PatchRefused, UpdateFile
from harness.patch.text import KeptLine, NewLine, TextFile
from sandbox.base import (
    WORKSPACE,
    FileEdit,
    FileMissing,
    Files,
    FileTooLarge,
    PathRefused,
    ReadOnly,
    RemoveFile,
    WriteFile,
)

READ_LIMIT: Final = 16 * 1024 * 1024
"""The largest file, in bytes, that a patch may update."""
QUOTED_LINES: Final = 20
QUOTED_WIDTH: Final = 200


@dataclass(frozen=True, slots=True)
class Summary:
    """What was done, for people and models. A moved file counts as modified, under its new name."""

    added: tuple[str, ...]
    modified: tuple[str, ...]
    deleted: tuple[str, ...]

    def __str__(self) -> str:
        lines = ["Success. Updated the following files:"]
        lines += [f"A {path}" for path in self.added]
        lines += [f"M {path}" for path in self.modified]
        lines += [f"D {path}" for path in self.deleted]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a patch comes to: what `apply` will do."""

    edits: tuple[FileEdit, ...]
    summary: Summary
    lines: Mapping[str, int]
    """The patch line that last named each path."""


def plan(patch: Patch, files: Files) -> Plan:
    """Reads through `files`, writes nothing. Raises `PatchRefused` with the line of the hunk that fails."""
    if not patch.operations:
        raise PatchRefused("No files were modified.", patch.line)
    view = _View(files)
    for operation in patch.operations:
        match operation:
            case AddFile():
                view.add(operation)
            case DeleteFile():
                view.delete(operation)
            case UpdateFile():
                view.update(operation)
            case _:
                assert_never(operation)
    return view.plan()


def apply(plan: Plan, files: Files) -> Summary:
    """All of the plan or nothing. Raises `PatchRefused` when `files` does not take it."""
    try:
        files.apply(plan.edits)
    except (FileMissing, PathRefused, FileTooLarge, ReadOnly) as error:
        first_line = min(plan.lines.values(), default=1)
        raise PatchRefused(str(error), plan.lines.get(_key(error.path), first_line)) from error
    return plan.summary


@dataclass(frozen=True, slots=True)
class _State:
    """A file as the operations so far leave it."""

    data: bytes | None
    """None: there is no such file (any more)."""
    executable: bool | None
    """None: as it is on disk."""
    was_there: bool
    """Whether it is on disk, before the patch."""
    change: Literal["added", "modified", "deleted", "gone"]
    """`gone`: nothing to tell about this path."""
    line: int


class _View:
    """The files as they will be. Owns the states; each operation replaces some."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._states: dict[str, _State] = {}

    def add(self, operation: AddFile) -> None:
        path = _path_of(operation.path, operation.line)
        data = "".join(f"{line}\n" for line in operation.lines).encode("utf-8", "surrogateescape")
        before = self._states.get(path)
        if before is None:
            there = self._is_there(path, operation.line)
            self._states[path] = _State(data, None, there, "added", operation.line)
            return
        executable = before.executable if before.data is not None else False
        self._states[path] = _State(data, executable, before.was_there, "added", operation.line)

    def delete(self, operation: DeleteFile) -> None:
        path = _path_of(operation.path, operation.line)
        before = self._states.get(path)
        if before is None:
            if not self._is_there(path, operation.line):
                raise PatchRefused(f"cannot delete {path}: there is no such file.", operation.line)
            self._states[path] = _State(None, None, was_there=True, change="deleted", line=operation.line)
            return
        if before.data is None:
            raise PatchRefused(
                f"cannot delete {path}: line {before.line} of this patch removed it already.", operation.line
            )
        change: Literal["deleted", "gone"] = "deleted" if before.was_there else "gone"
        self._states[path] = _State(None, None, before.was_there, change, operation.line)

    def update(self, operation: UpdateFile) -> None:
        path = _path_of(operation.path, operation.line)
        before, data = self._read(path, operation.line)
        data = _updated(data, operation, path)
        target = path if operation.move_to is None else _path_of(operation.move_to, operation.line)
        change: Literal["added", "modified"] = "added" if before.change == "added" else "modified"
        if target == path:
            self._states[path] = _State(data, before.executable, before.was_there, change, operation.line)
            return
        there = self._states[target].was_there if target in self._states else None
        if there is None:
            there = self._is_there(target, operation.line)
        self._states[path] = _State(None, None, before.was_there, "gone", operation.line)
        self._states[target] = _State(data, before.executable or False, there, change, operation.line)

    def plan(self) -> Plan:
        removals = [
            RemoveFile(path) for path, state in self._states.items() if state.data is None and state.was_there
        ]
        writes = [
            WriteFile(path, state.data, state.executable)
            for path, state in self._states.items()
            if state.data is not None
        ]
        summary = Summary(self._changed("added"), self._changed("modified"), self._changed("deleted"))
        lines = {path: state.line for path, state in self._states.items()}
        return Plan((*removals, *writes), summary, MappingProxyType(lines))

    def _changed(self, change: Literal["added", "modified", "deleted"]) -> tuple[str, ...]:
        return tuple(path for path, state in self._states.items() if state.change == change)

    def _read(self, path: str, line: int) -> tuple[_State, bytes]:
        state = self._states.get(path)
        if state is not None and state.data is None:
            raise PatchRefused(f"cannot update {path}: line {state.line} of this patch removed it.", line)
        if state is not None and state.data is not None:
            return state, state.data
        try:
            content = self._files.read(path, limit=READ_LIMIT)
        except FileMissing as error:
            raise PatchRefused(f"cannot update {path}: there is no such file.", line) from error
        except FileTooLarge as error:
            raise PatchRefused(
                f"cannot update {path}: it has more than {READ_LIMIT // 1024**2} MiB; edit it by a command.",
                line,
            ) from error
        except PathRefused as error:
            raise PatchRefused(f"cannot update {error}", line) from error
        state = _State(content.data, content.executable, was_there=True, change="modified", line=line)
        return state, content.data

    def _is_there(self, path: str, line: int) -> bool:
        try:
            self._files.read(path, limit=0)
        except FileMissing:
            return False
        except FileTooLarge:
            return True
        except PathRefused as error:
            raise PatchRefused(str(error), line) from error
        return True


def _path_of(path: str, line: int) -> str:
    """The path in the one spelling that the view knows files by. Raises `PatchRefused`."""
    if ".." in path.split("/"):
        raise PatchRefused(f"{path}: '..' has no place in the path of a patch", line)
    return _key(path)


def _key(path: str) -> str:
    relative = path.removeprefix(f"{WORKSPACE}/")
    return str(PurePosixPath(relative)) if relative else path


def _updated(data: bytes, operation: UpdateFile, path: str) -> bytes:
    if not operation.chunks:
        return data
    before = TextFile.from_bytes(data)
    haystack = Haystack([line.text for line in before.lines])
    cursor = 0
    places: list[_Place] = []
    for chunk in operation.chunks:
        place = _place(chunk, haystack, cursor=cursor, path=path)
        places.append(place)
        cursor = place.cursor
    return before.with_lines(_replaced(before.lines, places))


@dataclass(frozen=True, slots=True)
class _Place:
    """The lines of the file from `start` up to `end` are what the chunk's kept and removed lines name."""

    start: int
    end: int
    lines: tuple[PatchLine, ...]
    cursor: int
    """Where the search for the next chunk begins."""


def _place(chunk: Chunk, haystack: Haystack, *, cursor: int, path: str) -> _Place:
    start = cursor
    if chunk.context is not None:
        found = haystack.find([chunk.context], start=cursor)
        if found is None:
            raise PatchRefused(
                _context_not_found(chunk.context, haystack, cursor=cursor, path=path), chunk.line
            )
        start = found + 1
    lines = chunk.lines
    wanted = _old_lines(lines)
    if not wanted:
        # Without anything to look for, the new lines belong where the chunk says it is: below its context
        # line, else at the end of the file.
        end = len(haystack) if chunk.at_end or chunk.context is None else start
        return _Place(end, end, lines, start)
    while wanted:
        found = haystack.find(wanted, start=start, at_end=chunk.at_end)
        if found is not None:
            return _Place(found, found + len(wanted), lines, found + len(wanted))
        if wanted[-1]:
            break
        # An empty last line is often the gap before the next header, not a line of the file.
        lines = _without_last_empty(lines)
        wanted = _old_lines(lines)
    raise PatchRefused(_lines_not_found(chunk, haystack, start=start, path=path), chunk.line)


def _old_lines(lines: Sequence[PatchLine]) -> list[str]:
    return [line.text for line in lines if line.mark != "+"]


def _without_last_empty(lines: tuple[PatchLine, ...]) -> tuple[PatchLine, ...]:
    last_old = max(index for index, line in enumerate(lines) if line.mark != "+")
    is_removed = lines[last_old].mark == "-"
    rest = (*lines[:last_old], *lines[last_old + 1 :])
    if is_removed and rest and rest[-1] == PatchLine("+", ""):
        return rest[:-1]
    return rest


def _replaced(lines: Sequence[KeptLine], places: Sequence[_Place]) -> list[KeptLine | NewLine]:
    result: list[KeptLine | NewLine] = []
    position = 0
    # A chunk of new lines only goes to the end of the file, wherever it stands in the patch.
    for place in sorted(places, key=lambda place: place.start):
        result.extend(lines[position : place.start])
        position = place.start
        for line in place.lines:
            match line.mark:
                case " ":
                    # The file's own text, not the patch's: they may differ in white space.
                    result.append(lines[position])
                    position += 1
                case "-":
                    position += 1
                case "+":
                    result.append(NewLine(line.text))
                case _:
                    assert_never(line.mark)
    result.extend(lines[position:])
    return result


def _context_not_found(context: str, haystack: Haystack, *, cursor: int, path: str) -> str:
    message = f"Failed to find context '{context[:QUOTED_WIDTH]}' in {path}{_below(cursor)}."
    earlier = haystack.find([context], start=0)
    if earlier is None:
        return message
    return f"{message} It is line {earlier + 1}; chunks must follow the order of the file."


def _lines_not_found(chunk: Chunk, haystack: Haystack, *, start: int, path: str) -> str:
    wanted = _old_lines(chunk.lines)
    message = f"Failed to find expected lines in {path}{_below(start)}:\n{_quoted(wanted)}"
    hint = _hint(chunk, wanted, haystack)
    return f"{message}\n{hint}" if hint else message


def _below(start: int) -> str:
    return f" below line {start}" if start else ""


def _quoted(lines: Sequence[str]) -> str:
    shown = [line[:QUOTED_WIDTH] for line in lines[:QUOTED_LINES]]
    if len(lines) > QUOTED_LINES:
        shown.append(f"… ({len(lines) - QUOTED_LINES} more lines)")
    return "\n".join(shown)


def _hint(chunk: Chunk, wanted: Sequence[str], haystack: Haystack) -> str:
    elsewhere = haystack.find(wanted, start=0)
    if elsewhere is not None and chunk.at_end:
        return f"They are at line {elsewhere + 1}, but are not the last lines of the file."
    if elsewhere is not None:
        return f"They are at line {elsewhere + 1}; chunks must follow the order of the file."
    position, count = haystack.longest_beginning(wanted)
    if not count:
        return ""
    where = (
        f"The first {count} of them match at line {position + 1}"
        if count > 1
        else (f"The first of them matches at line {position + 1}")
    )
    if position + count >= len(haystack):
        return f"{where}, where the file ends."
    return f"{where}, but then the file has:\n{haystack[position + count][:QUOTED_WIDTH]}"
