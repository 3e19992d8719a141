"""What of a turn's result may be delivered: judges file by file, never performs."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from handlers.events import ProposedChange
from handlers.invisible import strip_invisible

MOST_FILES: Final = 300
LARGEST_FILE: Final = 5 * 1024 * 1024
LARGEST_RESULT: Final = 25 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Refused:
    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """Every proposed change is in exactly one of the three."""

    deliver: tuple[str, ...]
    held: tuple[str, ...]
    """Protected: delivered when a writer approves the hash of their diff."""
    refused: tuple[Refused, ...]

    def with_delivered(self, paths: Sequence[str]) -> "Judgement":
        """This judgement, when exactly `paths` have been delivered (the rules may have changed since)."""
        done = frozenset(paths)
        missed = tuple(Refused(path, "it was not delivered") for path in self.deliver if path not in done)
        return Judgement(
            tuple(paths),
            tuple(path for path in self.held if path not in done),
            tuple(one for one in self.refused if one.path not in done) + missed,
        )


def judge(changes: Sequence[ProposedChange], protected: Sequence[str]) -> Judgement:
    """Which of `changes` may be delivered now. Too many or too much: all that would go out is refused."""
    deliver: list[ProposedChange] = []
    held: list[str] = []
    refused: list[Refused] = []
    to_hold = protected_among(changes, protected)
    never = {change.path: why for change in changes if (why := _why_never(change)) is not None}
    staying = _directories_above(never)
    for change in sorted(changes, key=lambda one: one.path):
        if change.path in never:
            refused.append(Refused(change.path, never[change.path]))
        elif change.path in to_hold:
            held.append(change.path)
        elif change.kind != "delete" and change.path in staying:
            refused.append(Refused(change.path, "it would take the place of a directory whose files stay"))
        else:
            deliver.append(change)
    too_much = _why_too_much(deliver)
    if too_much is not None:
        refused += [Refused(change.path, too_much) for change in deliver]
        deliver = []
    return Judgement(
        tuple(change.path for change in deliver),
        tuple(held),
        tuple(sorted(refused, key=lambda one: one.path)),
    )


def protected_among(changes: Sequence[ProposedChange], protected: Sequence[str]) -> frozenset[str]:
    """The paths of `changes` that are protected, or whose change would take protected files away.

    A file or a link in the place of a directory removes all that git has below it.
    """
    direct = {change.path for change in changes if is_protected(change.path, protected)}
    above = _directories_above(direct)
    return frozenset(direct | {one.path for one in changes if one.kind != "delete" and one.path in above})


def is_protected(path: str, protected: Sequence[str]) -> bool:
    """Whether `path` is, or lies below or above, one of `protected`; compared without regard to case.

    Above: changes are of files and links, and one in the place of `.github` hides what is protected in it.
    A name without a slash that is an instruction file counts in every directory.
    """
    parts = [part.casefold() for part in PurePosixPath(path).parts]
    for entry in protected:
        wanted = [part.casefold() for part in PurePosixPath(entry).parts]
        shorter = min(len(parts), len(wanted))
        if parts[:shorter] == wanted[:shorter]:
            return True
        if len(wanted) == 1 and wanted[0] in _IN_EVERY_DIRECTORY and wanted[0] in parts:
            return True
    return False


def approval_hash(patch: str) -> str:
    """Names one diff of protected paths: what a writer approves is this text and no other."""
    return hashlib.sha256(patch.encode("utf-8", "surrogateescape")).hexdigest()[:12]


_IN_EVERY_DIRECTORY: Final = frozenset(
    {"agents.md", "claude.md", ".claude", ".cursor", ".git", ".mcp.json", ".gitmodules"}
)


def _directories_above(paths: Collection[str]) -> frozenset[str]:
    return frozenset(str(parent) for path in paths for parent in PurePosixPath(path).parents)


def _why_never(change: ProposedChange) -> str | None:
    if change.problem is not None:
        return change.problem
    path = change.path
    parts = path.split("/")
    if path.startswith("/") or any(part in ("", ".", "..") for part in parts):
        return "the path is not a plain path inside the repository"
    if any(character < " " or character in "\\\x7f" for character in path):
        return "the name has characters that cannot be shown safely"
    if change.kind == "add" and strip_invisible(path).text != path:
        return "the name has characters that nobody sees"
    if any(_looks_like_git_directory(part) for part in parts):
        return "it would be taken for Git's own directory"
    if change.kind != "delete" and change.size > LARGEST_FILE:
        return f"it is larger than {LARGEST_FILE // (1024 * 1024)} MiB"
    return None


def _looks_like_git_directory(part: str) -> bool:
    # `.git` as case-insensitive, NTFS and HFS+ file systems read it; https://github.blog/2014-12-18-vulnerability-announced-update-your-git-clients/
    plain = part.casefold().split(":")[0].rstrip(". ")
    return plain in (".git", "git~1")


def _why_too_much(changes: Sequence[ProposedChange]) -> str | None:
    if len(changes) > MOST_FILES:
        return f"the turn changed {len(changes)} files; at most {MOST_FILES} are delivered at once"
    total = sum(change.size for change in changes)
    if total > LARGEST_RESULT:
        return f"the changed files have {total} bytes; at most {LARGEST_RESULT} are delivered at once"
    return None
