"""Reads the text of a patch into operations, with the line each came from. Never looks at a file.

The format is the one that coding models are trained on; what is accepted beyond its grammar (padding around
markers, a heredoc around the whole, a first chunk without `@@`, blank lines) follows
https://github.com/openai/codex/tree/main/codex-rs/apply-patch.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

BEGIN: Final = "*** Begin Patch"
END: Final = "*** End Patch"
ENVIRONMENT: Final = "*** Environment ID:"
ADD: Final = "*** Add File:"
DELETE: Final = "*** Delete File:"
UPDATE: Final = "*** Update File:"
MOVE: Final = "*** Move to:"
END_OF_FILE: Final = "*** End of File"

HEADERS: Final = (ADD, DELETE, UPDATE)
HEREDOC: Final = re.compile(r"(?:apply_patch\s+)?<<-?\s*(?P<quote>['\"]?)(?P<word>\w+)(?P=quote)")


@dataclass(frozen=True, slots=True)
class PatchLine:
    """One line of a chunk: kept (` `), removed (`-`) or added (`+`)."""

    mark: Literal[" ", "-", "+"]
    text: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """One place of a file to change: where it is, and what it becomes."""

    line: int
    context: str | None
    """A line that stands somewhere above the place (`@@ context`)."""
    lines: tuple[PatchLine, ...]
    at_end: bool = False
    """The lines must be the last ones of the file."""


@dataclass(frozen=True, slots=True)
class AddFile:
    line: int
    path: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeleteFile:
    line: int
    path: str


@dataclass(frozen=True, slots=True)
class UpdateFile:
    line: int
    path: str
    chunks: tuple[Chunk, ...]
    move_to: str | None = None


Operation = AddFile | DeleteFile | UpdateFile


@dataclass(frozen=True, slots=True)
class Patch:
    """The operations of one envelope, in order. `line` is where `*** Begin Patch` stands."""

    line: int
    operations: tuple[Operation, ...]
    environment_id: str | None = None


class PatchRefused(Exception):
    """The patch cannot be read, or does not fit the files. Nothing was changed."""

    def __init__(self, message: str, line: int) -> None:
        # Messages quote files: what is no UTF-8 there must not end whatever shows or stores the message.
        self.message = message.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        self.line = line
        super().__init__(f"patch line {line}: {self.message}")


def parse(text: str) -> Patch:
    """Raises `PatchRefused` with the line (counted from 1 in `text`) that is wrong."""
    _check_encodable(text)
    lines = _without_heredoc(_trimmed(_numbered(text)))
    _check_envelope(lines)
    reader = _Reader(lines[1:-1])
    environment_id = _environment_id(reader)
    operations: list[Operation] = []
    while (line := reader.skip_blank()) is not None:
        operations.append(_operation(reader, line))
    return Patch(lines[0].number, tuple(operations), environment_id)


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str


class _Reader:
    """A position in the lines between the envelope's markers."""

    def __init__(self, lines: Sequence[_Line]) -> None:
        self._lines = lines
        self._position = 0

    def peek(self) -> _Line | None:
        return self._lines[self._position] if self._position < len(self._lines) else None

    def advance(self) -> None:
        self._position += 1

    def skip_blank(self) -> _Line | None:
        """The next line that is not blank, which is not taken yet."""
        while (line := self.peek()) is not None and not line.text.strip():
            self.advance()
        return line


def _check_encodable(text: str) -> None:
    # Bytes that are no UTF-8 travel as lone low surrogates (PEP 383); any other surrogate is no text at all.
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise PatchRefused("a character here is half of a surrogate pair; write it as one.", line) from error


def _numbered(text: str) -> list[_Line]:
    return [_Line(number, line.removesuffix("\r")) for number, line in enumerate(text.split("\n"), start=1)]


def _trimmed(lines: list[_Line]) -> list[_Line]:
    start, end = 0, len(lines)
    while start < end and not lines[start].text.strip():
        start += 1
    while end > start and not lines[end - 1].text.strip():
        end -= 1
    return lines[start:end]


def _without_heredoc(lines: list[_Line]) -> list[_Line]:
    if len(lines) < 4:
        return lines
    opening = HEREDOC.fullmatch(lines[0].text.strip())
    if opening is None or lines[-1].text.strip() != opening["word"]:
        return lines
    return _trimmed(lines[1:-1])


def _check_envelope(lines: list[_Line]) -> None:
    if not lines:
        raise PatchRefused(f"the patch is empty; it begins with '{BEGIN}'.", 1)
    first, last = lines[0], lines[-1]
    if first.text.strip() != BEGIN:
        raise PatchRefused(f"the first line of the patch must be '{BEGIN}'.", first.number)
    if len(lines) == 1 or last.text.strip() != END:
        raise PatchRefused(f"the last line of the patch must be '{END}'.", last.number)


def _environment_id(reader: _Reader) -> str | None:
    line = reader.peek()
    if line is None or not line.text.strip().startswith(ENVIRONMENT):
        return None
    value = line.text.strip().removeprefix(ENVIRONMENT).strip()
    if not value:
        raise PatchRefused(f"'{ENVIRONMENT}' names no environment.", line.number)
    reader.advance()
    return value


def _operation(reader: _Reader, line: _Line) -> Operation:
    header = line.text.strip()
    reader.advance()
    if header.startswith(ADD):
        return AddFile(line.number, _path(line, header, ADD), _added_lines(reader))
    if header.startswith(DELETE):
        return DeleteFile(line.number, _path(line, header, DELETE))
    if header.startswith(UPDATE):
        return _update(reader, line, _path(line, header, UPDATE))
    raise PatchRefused(_not_a_header(header), line.number)


def _path(line: _Line, header: str, marker: str) -> str:
    path = header.removeprefix(marker).strip()
    if not path:
        raise PatchRefused(f"'{marker}' names no file.", line.number)
    if "\0" in path:
        raise PatchRefused(f"'{marker}' names a path with a NUL character.", line.number)
    return path


def _not_a_header(text: str) -> str:
    if text == END:
        return f"there is more text after '{END}'; one patch has one envelope."
    if text.startswith(ENVIRONMENT):
        return f"'{ENVIRONMENT}' may stand once, right after '{BEGIN}'."
    if text.startswith(MOVE):
        return f"'{MOVE}' must come right after its '{UPDATE}' line."
    if text.startswith(END_OF_FILE):
        return f"'{END_OF_FILE}' must end a chunk of an '{UPDATE}', with nothing after it on its line."
    return (
        f"'{_short(text)}' is not a valid hunk header. Valid hunk headers: "
        f"'{ADD} {{path}}', '{DELETE} {{path}}', '{UPDATE} {{path}}'."
    )


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:120]}…"


def _added_lines(reader: _Reader) -> tuple[str, ...]:
    added: list[str] = []
    while (line := reader.peek()) is not None and line.text.startswith("+"):
        added.append(line.text[1:])
        reader.advance()
    return tuple(added)


def _update(reader: _Reader, header: _Line, path: str) -> UpdateFile:
    move_to = _move_to(reader)
    chunks: list[Chunk] = []
    while (line := reader.skip_blank()) is not None and not line.text.startswith("***"):
        chunks.append(_chunk(reader, line, is_first=not chunks))
    if line is not None and not line.text.startswith(HEADERS):
        raise PatchRefused(_not_a_header(line.text.rstrip()), line.number)
    if not chunks and move_to is None:
        raise PatchRefused(f"the update of '{path}' is empty.", header.number)
    return UpdateFile(header.number, path, tuple(chunks), move_to)


def _move_to(reader: _Reader) -> str | None:
    line = reader.peek()
    if line is None or not line.text.startswith(MOVE):
        return None
    reader.advance()
    return _path(line, line.text.rstrip(), MOVE)


def _chunk(reader: _Reader, first: _Line, *, is_first: bool) -> Chunk:
    context = None
    if first.text.startswith("@@"):
        context = _context(first)
        reader.advance()
    elif not is_first:
        raise PatchRefused(
            f"a chunk begins with '@@' or '@@ <a line above the place>', not with '{_short(first.text)}'.",
            first.number,
        )
    lines = _chunk_lines(reader)
    if not lines:
        raise PatchRefused("the chunk has no lines; write one '@@' line for each chunk.", first.number)
    return Chunk(first.number, context, lines, at_end=_end_of_file(reader))


def _context(line: _Line) -> str | None:
    if not line.text.startswith("@@ ") and line.text.strip() != "@@":
        raise PatchRefused(f"'{_short(line.text)}': a space must follow '@@'.", line.number)
    context = line.text[3:]
    return context if context.strip() else None


def _chunk_lines(reader: _Reader) -> tuple[PatchLine, ...]:
    lines: list[PatchLine] = []
    while (line := reader.peek()) is not None and not line.text.startswith(("@@", "***")):
        lines.append(_chunk_line(line))
        reader.advance()
    return tuple(lines)


def _chunk_line(line: _Line) -> PatchLine:
    match line.text[:1]:
        case "":
            return PatchLine(" ", "")
        case " " | "-" | "+" as mark:
            return PatchLine(mark, line.text[1:])
        case _:
            raise PatchRefused(
                f"'{_short(line.text)}': each line of a chunk begins with ' ' (kept), '-' (removed) or "
                "'+' (added).",
                line.number,
            )


def _end_of_file(reader: _Reader) -> bool:
    line = reader.peek()
    if line is None or line.text.rstrip() != END_OF_FILE:
        return False
    reader.advance()
    return True
