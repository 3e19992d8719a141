"""Suggestions in review comments: new text for the lines that the comment stands on. Changes nothing."""

from __future__ import annotations

from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from demo.forge.state import ReviewComment

_PARSER: Final = MarkdownIt("commonmark")


def is_suggestion(token: Token) -> bool:
    """Whether a token of Markdown is a suggestion's block."""
    return token.type == "fence" and token.info.strip() == "suggestion"


def suggested(body: str) -> str | None:
    """The text of the first suggestion, its lines ended; None: there is none."""
    return next((token.content for token in _PARSER.parse(body) if is_suggestion(token)), None)


def lines_of(said: ReviewComment) -> tuple[int, int] | None:
    """First and last line that a suggestion would replace; None where the lines are not there any more."""
    if said.line is None or said.side != "RIGHT":
        return None
    return said.start_line or said.line, said.line


def replaced(said: ReviewComment) -> tuple[str, ...]:
    """The lines as they were when the comment was written."""
    if said.original_line is None or said.side != "RIGHT":
        return ()
    count = said.original_line - (said.original_start_line or said.original_line) + 1
    # The hunk ends with the last line that is commented on.
    shown = [line[1:] for line in said.diff_hunk.split("\n")[1:] if not line.startswith(("-", "\\"))]
    return tuple(shown[-count:])
