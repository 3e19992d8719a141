"""What a model reports, made right where that can be done with certainty, else refused with the reason.

`checker` gives the check that a review's turn hands to the tool `report_finding`.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from handlers.review.anchors import Anchored, OutOfDiff, anchor
from handlers.review.diff import FileDiff, numbered, renames_in
from handlers.review.suggestions import NoSuggestion, suggest
from harness.findings import Checked, CheckFinding, Finding, Refused, Side, Taken

LONGEST_TITLE: Final = 120
LONGEST_RANGE: Final = 60
"""Lines; a longer range tells nobody where to look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """What is reviewed: the diff from the merge base to the head, and the texts that it speaks of.

    The texts may be mappings that read a file when it is asked for. A file that is not text is not in them.
    """

    files: Mapping[str, FileDiff]
    """By path after the change."""
    new_texts: Mapping[str, str]
    """The head's files."""
    old_texts: Mapping[str, str]
    """The merge base's files, by their old paths."""

    def text(self, path: str, side: Side) -> str | None:
        """The text that line numbers of this side count in."""
        if side == "RIGHT":
            return self.new_texts.get(path)
        file = self.files.get(path)
        return self.old_texts.get(file.old_path if file else path)

    def anchor(self, finding: Finding) -> Anchored | OutOfDiff:
        """Where a comment on the finding goes."""
        return anchor(
            self.files.get(finding.path),
            side=finding.side,
            start_line=finding.start_line,
            end_line=finding.end_line,
        )


def checker(reviewed: Reviewed) -> CheckFinding:
    """The check for one review's turn."""

    def check(finding: Finding) -> Checked:
        return repaired(finding, reviewed)

    return check


def repaired(finding: Finding, reviewed: Reviewed) -> Checked:
    """The finding as it counts, with a note for each repair; refused where only a guess could repair it."""
    path = _path_meant(finding.path, reviewed)
    if isinstance(path, Refused):
        return path
    notes = [] if path == finding.path else [f"The path was read as {path}."]
    finding = replace(finding, path=path)
    finding = _side_meant(finding, reviewed, notes)
    placed = _lines_meant(finding, reviewed, notes)
    if isinstance(placed, Refused):
        return placed
    finding = _words_meant(placed, notes)
    if not finding.title or not finding.why:
        return Refused("Give a title, and in `why` the input or the path that fails.")
    finding = _replacement_meant(finding, reviewed, notes)
    return Taken(finding, (*notes, *_what_becomes(finding, reviewed)))


def lines_of(text: str) -> list[str]:
    """The lines of a file as git counts them, without their newlines."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return lines


def _path_meant(path: str, reviewed: Reviewed) -> str | Refused:
    for candidate in _spellings(path):
        if candidate in reviewed.files or candidate in reviewed.new_texts:
            return candidate
    renamed = renames_in(tuple(reviewed.files.values()))
    for candidate in _spellings(path):
        if candidate in renamed:
            return renamed[candidate]
    plain = _spellings(path)[-1]
    ends_so = [known for known in reviewed.files if known.endswith(f"/{plain}")]
    if len(ends_so) == 1:
        return ends_so[0]
    near = difflib.get_close_matches(plain, reviewed.files, n=3, cutoff=0.4) or sorted(reviewed.files)[:3]
    return Refused(f"There is no file {path!r} at this commit. Changed files are: {', '.join(near)}.")


def _spellings(path: str) -> tuple[str, ...]:
    """The path as given, and without what models put in front of one."""
    plain = re.sub(r"^(?:\./|/+)+", "", path.strip().replace("\\", "/"))
    without_side = re.sub(r"^[ab]/", "", plain)
    return tuple(dict.fromkeys((path, plain, without_side)))


def _side_meant(finding: Finding, reviewed: Reviewed, notes: list[str]) -> Finding:
    file = reviewed.files.get(finding.path)
    kind = "modified" if file is None else file.kind
    if finding.side == "RIGHT" and kind == "deleted":
        notes.append("The file is deleted, so the lines were read as lines of the old file.")
        return replace(finding, side="LEFT")
    if finding.side == "LEFT" and (file is None or kind == "added"):
        notes.append("The file has no old lines here, so the lines were read as lines of the new file.")
        return replace(finding, side="RIGHT")
    return finding


def _lines_meant(finding: Finding, reviewed: Reviewed, notes: list[str]) -> Finding | Refused:
    start, end = finding.start_line, finding.end_line
    if start > end:
        start, end = end, start
        notes.append("First and last line were swapped.")
    text = reviewed.text(finding.path, finding.side)
    if text is not None:
        count = len(lines_of(text))
        if start > count:
            which = "new" if finding.side == "RIGHT" else "old"
            return Refused(
                f"{finding.path} has {count} lines in its {which} version; there is no line {start}."
            )
        if end > count:
            notes.append(f"The file ends at line {count}, and so do the lines.")
            end = count
    if end - start >= LONGEST_RANGE:
        end = start + LONGEST_RANGE - 1
        notes.append(f"The lines were cut to the first {LONGEST_RANGE}: name the lines that are wrong.")
    return _on_new_lines(replace(finding, start_line=start, end_line=end), reviewed, notes)


def _on_new_lines(finding: Finding, reviewed: Reviewed, notes: list[str]) -> Finding:
    """Context lines are the same on both sides; GitHub's documentation puts them on the right one."""
    if finding.side == "RIGHT":
        return finding
    file = reviewed.files[finding.path]
    pairs = {old: new for hunk in file.hunks for old, new, _ in numbered(hunk) if old is not None}
    wanted = range(finding.start_line, finding.end_line + 1)
    new = [pairs.get(line) for line in wanted]
    first, last = new[0], new[-1]
    if first is None or last is None or None in new:
        return finding
    notes.append("These lines are not removed, so they were read as lines of the new file.")
    return replace(finding, side="RIGHT", start_line=first, end_line=last)


def _words_meant(finding: Finding, notes: list[str]) -> Finding:
    title = " ".join(finding.title.split())
    why = finding.why.strip()
    if len(title) > LONGEST_TITLE:
        title, rest = _cut_title(title)
        why = f"{rest}\n\n{why}".strip()
        notes.append("The title was too long for one line: its end now begins the explanation.")
    return replace(finding, title=title.rstrip("."), why=why, rule=" ".join(finding.rule.split())[:80])


def _cut_title(title: str) -> tuple[str, str]:
    """At the end of its first sentence if that is short enough, else between two words."""
    sentence = re.match(rf".{{20,{LONGEST_TITLE}}}?[.;:](?=\s)", title)
    if sentence:
        return sentence.group()[:-1], title[sentence.end() :].strip()
    at = title.rfind(" ", 20, LONGEST_TITLE - 1)
    at = LONGEST_TITLE - 1 if at < 0 else at
    return f"{title[:at]}\u2026", f"\u2026{title[at:].strip()}"


def _replacement_meant(finding: Finding, reviewed: Reviewed, notes: list[str]) -> Finding:
    """Models leave the indentation out that all of the replaced lines share."""
    text = reviewed.text(finding.path, finding.side)
    if not finding.replacement or text is None or finding.side == "LEFT":
        return finding
    replaced = lines_of(text)[finding.start_line - 1 : finding.end_line]
    missing = _common_indentation(replaced)
    if not missing or finding.replacement.lstrip("\n")[:1] in ("", " ", "\t"):
        return finding
    lines = [f"{missing}{line}" if line.strip() else line for line in finding.replacement.split("\n")]
    notes.append("The replacement was indented like the lines that it replaces.")
    return replace(finding, replacement="\n".join(lines))


def _common_indentation(lines: list[str]) -> str:
    told = [line[: len(line) - len(line.lstrip(" \t"))] for line in lines if line.strip()]
    if not told:
        return ""
    shortest = min(told, key=len)
    return shortest if all(each.startswith(shortest) for each in told) else ""


def _what_becomes(finding: Finding, reviewed: Reviewed) -> list[str]:
    """Said at once, so that the model can still report a better place."""
    placed = reviewed.anchor(finding)
    if isinstance(placed, OutOfDiff):
        near = f" The nearest line of the diff is {placed.nearest}." if placed.nearest else ""
        return [f"It goes to the summary and not on a line, for {placed.reason}.{near}"]
    notes = []
    if not placed.is_exact:
        notes.append(
            f"It is shown at line {placed.line}, the part or the neighbour of its lines in the diff."
        )
    if finding.replacement is not None:
        offered = suggest(finding, placed, reviewed.text(finding.path, finding.side))
        if isinstance(offered, NoSuggestion):
            notes.append(f"The replacement is not offered as a suggestion, for {offered.reason}.")
    return notes
