"""Finds the request in a comment: the words after the bot's name. Decides nothing about who may ask.

A mention counts only at the start of a plain-text paragraph or list item: never in code, quotes, raw HTML,
links, emphasis or mid-word, and never behind an escape. The block structure is CommonMark's.
"""

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Final

from markdown_it.token import Token

from handlers.markdown import normalised, parse_blocks


def find_request(text: str, name: str) -> str | None:
    """The words after the first mention of `name`, perhaps empty; None when nobody is addressed.

    In a paragraph of its own the request goes on to the end of the comment (logs and lists follow a request);
    in a list item it ends with the item.
    """
    # Most comments mention nobody; they are not worth parsing.
    if f"@{name}".casefold() not in text.casefold():
        return None
    source = normalised(text)
    lines = source.split("\n")
    mention = _pattern_for(name)
    for line, end, inline in _plain_paragraphs(parse_blocks(source), len(lines)):
        if not _begins_with_plain_text(inline, mention):
            continue
        found = mention.search(lines[line])
        if found is None:
            continue
        rest = lines[line][found.end() :].lstrip(_ADDRESS_PUNCTUATION)
        return "\n".join([rest, *lines[line + 1 : end]]).strip()
    return None


_ADDRESS_PUNCTUATION: Final = ",:;.!\u2013\u2014- \t"

_ENCLOSING_BLOCKS: Final = frozenset(
    {
        "blockquote_open",
        "table_open",
    }
)

# Text inside these is quoted, shown as code, struck out, folded away or linked: never addressed to the bot.
_ENCLOSING_TAGS: Final = frozenset(
    {
        "a", "blockquote", "code", "del", "details", "kbd", "noscript", "pre", "q", "s", "samp", "script",
        "strike", "style", "summary", "table", "template", "textarea", "title", "tt", "xmp",
    }
)  # fmt: skip


def _pattern_for(name: str) -> re.Pattern[str]:
    # A login goes on with letters, digits and hyphens; `@name/x` is a team and `@name.x` a host.
    return re.compile(rf"(?<![\w`\\/@.])@{re.escape(name)}(?:\[bot\])?(?![\w/-]|\.\w|\[bot\])", re.IGNORECASE)


def _plain_paragraphs(tokens: Sequence[Token], count: int) -> Sequence[tuple[int, int, Token]]:
    """Each paragraph that stands in nothing but lists: first line, end of a request made in it, text."""
    found: list[tuple[int, int, Token]] = []
    enclosing = 0
    ends = [count]
    raw = _OpenTags()
    for index, token in enumerate(tokens):
        if token.type in _ENCLOSING_BLOCKS:
            enclosing += 1
        elif token.type.replace("_close", "_open") in _ENCLOSING_BLOCKS:
            enclosing -= 1
        elif token.type == "list_item_open" and token.map is not None:
            ends.append(token.map[1])
        elif token.type == "list_item_close":
            ends.pop()
        elif token.type == "html_block":
            raw.feed(token.content)
        elif token.type == "inline" and token.map is not None:
            if tokens[index - 1].type == "paragraph_open" and not enclosing and not raw.open:
                found.append((token.map[0], ends[-1], token))
            for child in token.children or ():
                if child.type == "html_inline":
                    raw.feed(child.content)
    return found


def _begins_with_plain_text(inline: Token, mention: re.Pattern[str]) -> bool:
    # The first child is asked too: entities, escapes, links and emphasis are other kinds of token there.
    first = inline.children[0] if inline.children else None
    if first is None or first.type != "text":
        return False
    return mention.match(inline.content) is not None and mention.match(first.content) is not None


class _OpenTags(HTMLParser):
    """Which enclosing elements are open in the raw HTML so far."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag in _ENCLOSING_TAGS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            self.open.remove(tag)
