"""What a change does to one file, as one word: the same before and after a rebase that changes nothing.

Like `git patch-id --verbatim`, for each file: where the hunks stand does not count, every character does.
Indentation counts as well, for in some languages it is the program.
"""

import hashlib
from collections.abc import Mapping, Sequence

from handlers.review.diff import FileDiff


def patch_id(file: FileDiff) -> str:
    """Equal for equal changes of a file with equal names, whatever happened around them."""
    digest = hashlib.sha256()

    def add(*words: str) -> None:
        for word in words:
            digest.update(word.encode("utf-8", "surrogatepass"))
            digest.update(b"\0")

    add(file.kind, file.old_path, file.path)
    if file.old_mode != file.new_mode:
        add(file.old_mode, file.new_mode)
    if not file.hunks:
        # A binary file's change is told by what it was and what it is; so is that of a link to a file.
        add(file.old_blob, file.new_blob)
    for hunk in file.hunks:
        add("@@", *hunk.lines)
        add(
            "unterminated", *(str(int(each)) for each in (hunk.old_is_unterminated, hunk.new_is_unterminated))
        )
    return digest.hexdigest()


def patch_ids(files: Sequence[FileDiff]) -> Mapping[str, str]:
    """Patch ids by path."""
    return {file.path: patch_id(file) for file in files}


def changed_since(earlier: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Paths whose patch is another one than at the review before, in order; gone ones are not told.

    Empty for a force-push that changed nothing: there is nothing to review again.
    """
    return tuple(path for path, patch in now.items() if earlier.get(path) != patch)
