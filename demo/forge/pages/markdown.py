"""Markdown as people write it in comments, rendered to HTML; only what is on its list gets through."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

from demo.forge.suggestion import is_suggestion

_VOID: Final = {"br", "hr", "img", "input"}
_DROPPED_WITH_CONTENT: Final = {
    "script",
    "style",
    "title",
    "iframe",
    "template",
    "noscript",
    "textarea",
    "select",
}
# A subset of what GitHub keeps: https://github.com/gjtorikian/html-pipeline (its sanitisation list).
_PLAIN: Final = {
    "p",
    "br",
    "hr",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "blockquote",
    "pre",
    "code",
    "samp",
    "kbd",
}
_TEXT: Final = {"em", "strong", "b", "i", "s", "del", "ins", "sub", "sup", "tt", "var", "q", "span"}
_GROUPS: Final = {"ul", "li", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "summary"}
_ALLOWED: Final[dict[str, frozenset[str]]] = {
    **dict.fromkeys(_PLAIN | _TEXT | _GROUPS, frozenset[str]()),
    "a": frozenset({"href", "title"}),
    "img": frozenset({"src", "alt", "title", "width", "height"}),
    "ol": frozenset({"start"}),
    "td": frozenset({"align", "colspan", "rowspan"}),
    "th": frozenset({"align", "colspan", "rowspan"}),
    "details": frozenset({"open"}),
    "div": frozenset({"align"}),
}
_LINKED: Final = re.compile(
    r"(?P<url>https?://[^\s<>\"']*[^\s<>\"'.,;:!?)\]])"
    r"|(?<![\w/`])@(?P<login>[A-Za-z0-9][A-Za-z0-9-]{0,38})(?![\w@/])"
    r"|(?<![\w/&])#(?P<number>\d{1,9})\b"
)
_TASK: Final = re.compile(r"^\[([ xX])\]\s")


class MarkdownRenderer:
    """Renders for one repository: `#12` leads to its issue, `@login` to somebody whom `is_user` knows."""

    def __init__(self, *, repository_path: str, is_user: Callable[[str], bool]) -> None:
        self._repository_path = repository_path
        self._is_user = is_user
        self._parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
        self._parser.add_render_rule("fence", _fence)

    def __call__(self, text: str, *, replaced: Sequence[str] = ()) -> Markup:
        """The text as HTML: comments gone, unknown tags gone, every tag closed.

        `replaced` are the lines that a suggestion in it is for.
        """
        cleaner = _Cleaner(repository_path=self._repository_path, is_user=self._is_user)
        cleaner.feed(self._parser.render(text, {"replaced": replaced}))
        cleaner.close()
        return Markup(cleaner.html())  # noqa: S704 - the cleaner wrote every tag and escaped every text in it


class _Cleaner(HTMLParser):
    """Writes anew, tag by tag, what the list allows; nothing of the input is copied unescaped."""

    def __init__(self, *, repository_path: str, is_user: Callable[[str], bool]) -> None:
        super().__init__(convert_charrefs=True)
        self._repository_path = repository_path
        self._is_user = is_user
        self._written: list[str] = []
        self._open: list[str] = []
        self._dropping: list[str] = []
        self._is_at_item_start = False

    def html(self) -> str:
        return "".join(self._written) + "".join(f"</{tag}>" for tag in reversed(self._open))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _DROPPED_WITH_CONTENT:
            self._dropping.append(tag)
        elif tag in _ALLOWED and not self._dropping:
            kept = "".join(_attribute(tag, name, value or "") for name, value in attrs)
            following = ' rel="nofollow"' if tag == "a" else ""
            self._written.append(f"<{tag}{kept}{following}>")
            if tag not in _VOID:
                self._open.append(tag)
            self._is_at_item_start = tag == "li" or (self._is_at_item_start and tag == "p")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._dropping:
            del self._dropping[self._dropping.index(tag) :]
        elif tag in self._open and not self._dropping:
            while (last := self._open.pop()) != tag:
                self._written.append(f"</{last}>")
            self._written.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self._dropping:
            return
        if self._is_at_item_start and data.strip():
            self._is_at_item_start = False
            if task := _TASK.match(data):
                checked = "" if task[1] == " " else " checked"
                self._written.append(f'<input type="checkbox" disabled{checked}> ')
                data = data[task.end() :]
        is_literal = any(tag in {"a", "code", "pre"} for tag in self._open)
        self._written.append(escape(data, quote=False) if is_literal else self._linked(data))

    def _linked(self, text: str) -> str:
        parts: list[str] = []
        done = 0
        for found in _LINKED.finditer(text):
            link = self._link(found)
            if link is not None:
                parts += [escape(text[done : found.start()], quote=False), link]
                done = found.end()
        return "".join(parts) + escape(text[done:], quote=False)

    def _link(self, found: re.Match[str]) -> str | None:
        shown = escape(found[0])
        if found["url"]:
            return f'<a href="{shown}" rel="nofollow">{shown}</a>'
        if found["number"]:
            return f'<a href="{escape(self._repository_path)}/issues/{found["number"]}">{shown}</a>'
        return f'<strong class="mention">{shown}</strong>' if self._is_user(found["login"]) else None


def _fence(
    renderer: RendererHTML, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
) -> str:
    """A code block; a suggestion as what goes and what comes."""
    token = tokens[idx]
    if not is_suggestion(token):
        return renderer.fence(tokens, idx, options, env)
    gone = "".join(f"<del>{escape(line)}\n</del>" for line in env["replaced"])
    come = "".join(f"<ins>{escape(line)}\n</ins>" for line in token.content.splitlines())
    return f"<p><strong>Suggested change</strong></p>\n<pre>{gone}{come}</pre>\n"


def _attribute(tag: str, name: str, value: str) -> str:
    if name not in _ALLOWED[tag]:
        return ""
    if name in {"href", "src"} and not _is_harmless_address(value):
        return ""
    return f' {name}="{escape(value)}"'


def _is_harmless_address(address: str) -> bool:
    """Whether it is a web, mail or relative address."""
    # Browsers drop control characters and blanks before they read the scheme.
    plain = re.sub(r"[\x00-\x20]", "", address)
    try:
        scheme = urlsplit(plain).scheme
    except ValueError:
        return False
    return scheme in {"http", "https", "mailto"} or (not scheme and ":" not in plain.split("/")[0])
