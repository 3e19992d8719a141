"""Replacements as GitHub's `suggestion` blocks, only where pressing the button does what was meant.

A suggestion replaces the anchored lines of the new file exactly. What is offered here has been applied once.
https://docs.github.com/en/pull-requests/collaborating-with-pull-requests/reviewing-changes-in-pull-requests/incorporating-feedback-in-your-pull-request
"""

from dataclasses import dataclass
from typing import Final

from handlers.markdown import fence_for, parse_blocks
from handlers.review.anchors import Anchored
from handlers.scan import scan
from harness.findings import Finding

LONGEST: Final = 20
"""Lines of a suggestion, and lines that it replaces: more is a change for a commit, not for a button."""
_NOT_ON_ALL: Final = "the comment cannot stand on all of the lines that it replaces"


@dataclass(frozen=True, slots=True)
class Suggestion:
    block: str
    """The fenced block; passes the scanner unchanged."""


@dataclass(frozen=True, slots=True)
class NoSuggestion:
    reason: str
    """In words that finish the sentence "it is not offered, for …"."""


def suggest(finding: Finding, anchored: Anchored, text: str | None) -> Suggestion | NoSuggestion:
    """The finding's replacement as a block under a comment at `anchored`; `text` is the new file."""
    if finding.replacement is None:
        return NoSuggestion("none was given")
    if (anchored.first_line, anchored.line) != (finding.start_line, finding.end_line):
        return NoSuggestion(_NOT_ON_ALL)
    return suggest_instead(finding.replacement, anchored, text)


def suggest_instead(replacement: str, anchored: Anchored, text: str | None) -> Suggestion | NoSuggestion:
    """`replacement` instead of the lines at `anchored`, as a block; `text` is the new file."""
    if anchored.side != "RIGHT":
        return NoSuggestion("the lines are deleted ones")
    if not anchored.is_exact:
        return NoSuggestion(_NOT_ON_ALL)
    lines = None if text is None else text.split("\n")
    if lines is None or anchored.line > len(lines) - (lines[-1] == ""):
        return NoSuggestion("the file's text does not have these lines")
    replaced = lines[anchored.first_line - 1 : anchored.line]
    wanted = _replacement_lines(replacement)
    if max(len(wanted), len(replaced)) > LONGEST:
        return NoSuggestion(f"it is longer than {LONGEST} lines")
    if any("\r" in line for line in (*replaced, *wanted)):
        # GitHub's button is known to change the line ends of such files.
        return NoSuggestion("the lines end with carriage returns")
    if wanted == replaced:
        return NoSuggestion("it changes nothing")
    block = _block(wanted)
    # The button takes what the comment holds: what the scanner alters or Markdown reads otherwise is not it.
    offered = lines_in(scan(block).text)
    if offered != wanted:
        return NoSuggestion("it would not leave the comment as it is")
    return Suggestion(block)


def applied(text: str, anchored: Anchored, body: str) -> str | None:
    """`text` after the button under a comment with this body was pressed; None where there is no button."""
    wanted = lines_in(body)
    if wanted is None:
        return None
    lines = text.split("\n")
    return "\n".join((*lines[: anchored.first_line - 1], *wanted, *lines[anchored.line :]))


def _replacement_lines(replacement: str) -> list[str]:
    """Nothing is no line, a newline alone is an empty one; else the last newline only ends the last line."""
    if not replacement:
        return []
    return replacement.removesuffix("\n").split("\n")


def _block(lines: list[str]) -> str:
    fence = fence_for("\n".join(lines))
    return "\n".join((f"{fence}suggestion", *lines, fence))


def lines_in(body: str) -> list[str] | None:
    """The lines of the first suggestion in a comment; None where there is none."""
    for token in parse_blocks(body):
        if token.type == "fence" and token.info.strip() == "suggestion":
            return token.content.split("\n")[:-1]
    return None
