"""Finds the request in a comment: the words after the bot's name. Decides nothing about who may ask.

A mention counts only at the start of a plain-text paragraph or list item: never in code, quotes, raw HTML,
links, emphasis or mid-word, and never behind an escape. The block structure is CommonMark's.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from markdown_it.token import Token

from handlers.markdown import code_spans, normalised, parse_blocks, without_comments


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
    for line, end, paragraph in _plain_paragraphs(parse_blocks(source), len(lines)):
        # In the source, so that entities, escapes, code, links and emphasis do not pass for the plain name.
        if mention.match(paragraph) is None:
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


def _plain_paragraphs(tokens: Sequence[Token], count: int) -> Iterator[tuple[int, int, str]]:
    """Each paragraph that stands in nothing but lists: first line, end of a request made in it, source."""
    enclosing = 0
    ends = [count]
    open_tags: list[str] = []
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
            _follow_tags(token.content, open_tags)
        elif token.type == "inline" and token.map is not None:
            if tokens[index - 1].type == "paragraph_open" and not enclosing and not open_tags:
                yield token.map[0], ends[-1], token.content
            _follow_tags(_without_code(token.content), open_tags)


def _follow_tags(html: str, open_tags: list[str]) -> None:
    """Keep `open_tags` in step with the raw HTML; a comment opens nothing."""
    for match in _TAG.finditer(without_comments(html)):
        name = match["name"].casefold()
        if name not in _ENCLOSING_TAGS:
            continue
        if not match["closing"]:
            open_tags.append(name)
        elif name in open_tags:
            open_tags.remove(name)


_TAG: Final = re.compile(r"<(?P<closing>/?)(?P<name>[A-Za-z][A-Za-z0-9-]*)(?=[\s/>])")


def _without_code(prose: str) -> str:
    if "<" not in prose:
        return ""
    for span in reversed(code_spans(prose)):
        prose = prose[: span.start] + prose[span.end :]
    return prose
