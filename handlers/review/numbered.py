"""A file's diff as a review's model reads it: each line with the numbers that a finding names it by.

The text is the change's own, untrusted like all of it: whoever shows it fences it.
"""

from typing import Final

from handlers.review.diff import FileDiff, numbered
from handlers.review.plan import Reading

_LONGEST_LINE: Final = 500


def shown(file: FileDiff, reading: Reading | None = None) -> str:
    """Head and hunks of `file`; as many lines as `reading` says, with a line that tells what is left out.

    The columns: line of the old file (side LEFT), of the new file (side RIGHT), the diff's mark, the text.
    """
    most = reading.lines if reading is not None else sum(len(hunk.lines) for hunk in file.hunks)
    out = [_head(file)]
    for hunk in file.hunks:
        if most <= 0:
            break
        out.append(f"@@ -{hunk.old_start},{hunk.old_lines} +{hunk.new_start},{hunk.new_lines} @@")
        for line, (old, new, text) in zip(hunk.lines[:most], numbered(hunk), strict=False):
            out.append(f"{_number(old)} {_number(new)} {line[0]} {_cut(text)}".rstrip(" "))
        most -= len(hunk.lines)
    if reading is not None and not reading.is_whole:
        out.append(f"[{reading.of_lines - reading.lines:,} more lines of this diff are not shown]")
    return "\n".join(out)


def _head(file: FileDiff) -> str:
    kind = file.kind.replace("_", " ")
    told = kind if file.old_path == file.path else f"{kind} from {file.old_path}"
    parts = [file.path, told, "binary" if file.is_binary else ""]
    if file.old_mode and file.new_mode and file.old_mode != file.new_mode:
        parts.append(f"mode {file.old_mode} to {file.new_mode}")
    return f"=== {' · '.join(part for part in parts if part)}"


def _number(number: int | None) -> str:
    return f"{'' if number is None else number:>6}"


def _cut(text: str) -> str:
    """A line that nobody wrote by hand is not worth its tokens."""
    if len(text) <= _LONGEST_LINE:
        return text.removesuffix("\r")
    return f"{text[:_LONGEST_LINE]} [{len(text) - _LONGEST_LINE:,} more characters]"
