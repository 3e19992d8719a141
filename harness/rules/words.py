"""What a word of a command line is worth before bash runs: its text, or nothing that could be known."""

import re
from typing import Final

from tree_sitter import Node

Word = str | None
"""The text that the program would get; None where that is only known when the line runs."""

_EXPANDED: Final = re.compile(r"(?<!\\)(?:\\\\)*[*?\[\]{}]|^~")
"""In a bare word: what bash would make something else of."""
_BACKSLASHED: Final = re.compile(r"\\(\n?)(.?)", re.DOTALL)
_IN_DOUBLE_QUOTES: Final = re.compile(r'\\([$`"\\\n])')
_ANSI_C: Final = re.compile(
    r"\\(?:x(?P<hex>[0-9a-fA-F]{1,2})|u(?P<u4>[0-9a-fA-F]{1,4})|U(?P<u8>[0-9a-fA-F]{1,8})"
    r"|(?P<octal>[0-7]{1,3})|(?P<letter>.))",
    re.DOTALL,
)
_LETTERS: Final = {
    "a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "?": "?",
}  # fmt: skip
"""https://www.gnu.org/software/bash/manual/html_node/ANSI_002dC-Quoting.html"""


def literal(node: Node) -> Word:
    """The value of a word as bash would pass it on, quotes resolved."""
    source = text_of(node)
    match node.type:
        case "word" | "number":
            return None if node.named_child_count or _EXPANDED.search(source) else _unescaped(source)
        case "raw_string":
            return source[1:-1]
        case "ansi_c_string":
            return _ansi_c(source[2:-1])
        case "string":
            known = all(child.type == "string_content" for child in node.named_children)
            return _IN_DOUBLE_QUOTES.sub(_kept, source[1:-1]) if known else None
        case "translated_string":
            return literal(node.children[-1])
        case "concatenation":
            return _joined(node)
        case _:
            # A bare `$` stands for itself; every other kind is made when the line runs.
            return None if node.is_named else source


def text_of(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "surrogateescape")


def _joined(node: Node) -> Word:
    if text_of(node).endswith("{}"):
        # What xargs and find put a name for; to bash it is plain text. The grammar calls it three words.
        return text_of(node)
    parts = [literal(child) for child in node.children]
    known = [part for part in parts if part is not None]
    return "".join(known) if len(known) == len(parts) else None


def _unescaped(source: str) -> str:
    return _BACKSLASHED.sub(lambda found: "" if found[1] else found[2], source)


def _kept(found: re.Match[str]) -> str:
    return "" if found[1] == "\n" else found[1]


def _ansi_c(source: str) -> Word:
    if "\\c" in source:
        return None
    try:
        return _ANSI_C.sub(_escape, source)
    except (ValueError, OverflowError):
        return None


def _escape(found: re.Match[str]) -> str:
    if found["letter"] is not None:
        return _LETTERS.get(found["letter"], found[0])
    if found["octal"] is not None:
        return chr(int(found["octal"], 8) & 0xFF)
    return chr(int(found["hex"] or found["u4"] or found["u8"], 16))
