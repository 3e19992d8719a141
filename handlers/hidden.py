"""Takes out of a text what people do not see on GitHub, and says what was there. Never changes what they see.

Code is left alone but for unseen characters: there, comments and tags are visible text.
"""

import html
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from handlers.invisible import strip_invisible
from handlers.markdown import Region, RegionKind, code_spans, normalised, split_regions, without_comments


@dataclass(frozen=True, slots=True)
class Revealed:
    text: str
    removed: Mapping[str, int]
    """How often each kind of hidden thing was there."""


def remove_hidden(text: str) -> Revealed:
    """`text` as people see it: no comments, unseen characters, alternative texts, titles, unused definitions.

    Folded sections are opened: their text stays, their tags go.
    """
    removed: Counter[str] = Counter()
    source = normalised(text)
    # Taking one thing out can make another of what is left (`<!<!-- -->-- x -->`).
    for _ in range(_MOST_PASSES):
        passed = _pass(source, removed)
        if passed == source:
            break
        source = passed
    look_alikes = sum(1 for word in _WORD.findall(source) if _mixes_scripts(word))
    if look_alikes:
        removed["words with look-alike letters (kept)"] = look_alikes
    return Revealed(source, {kind: count for kind, count in removed.items() if count})


_MOST_PASSES: Final = 10


def _pass(text: str, removed: Counter[str]) -> str:
    stripped = strip_invisible(text)
    removed.update(stripped.removed)
    labels = Counter(_LABEL.findall(stripped.text.casefold()))
    shown: list[str | None] = []
    in_comment = False
    for region in split_regions(stripped.text):
        if in_comment:
            # Markdown ends the block, but the page's comment goes on until raw HTML closes it.
            removed["html comment"] += 1
            if region.kind is not RegionKind.HTML or "-->" not in region.text:
                continue
            region = Region(RegionKind.HTML, region.text.partition("-->")[2])
        in_comment = region.kind is RegionKind.HTML and "<!--" in without_comments(region.text)
        shown.append(_seen_of(region, labels, removed))
    return "\n".join(text for text in shown if text is not None)


_LABEL: Final = re.compile(r"\[[^\[\]\n]+\]")


def _seen_of(region: Region, labels: Mapping[str, int], removed: Counter[str]) -> str | None:
    """What of the region people see; None when it leaves not even an empty line."""
    match region.kind:
        case RegionKind.CODE:
            return _FENCE_INFO.sub(lambda found: _without_extra_info(found, removed), region.text, count=1)
        case RegionKind.DEFINITION:
            return _definitions(region.text, labels, removed)
        case RegionKind.HTML:
            return _seen_in(region.text, removed, is_block=True)
        case RegionKind.PROSE | RegionKind.TABLE:
            return _prose(region.text, labels, removed)
        case RegionKind.BLANK:
            return region.text
        case _:
            assert_never(region.kind)


_FENCE_INFO: Final = re.compile(r"^([ \t>*+\-\d.)]*(?:`{3,}|~{3,})[ \t]*[^\s`]*)([ \t]+\S[^\n]*)")


def _without_extra_info(found: re.Match[str], removed: Counter[str]) -> str:
    removed["text behind a code fence"] += 1
    return found[1]


_DEFINITION: Final = re.compile(
    r"^([ \t>*+\-\d.)]*)\[([^\[\]\n]+)\]:[ \t]*\n?[ \t>]*(\S+)([^\n]*)", re.MULTILINE
)


def _definitions(text: str, labels: Mapping[str, int], removed: Counter[str]) -> str | None:
    """Link definitions are never shown; those that a shown link uses stay, without their titles."""
    kept: list[str] = []
    for found in _DEFINITION.finditer(text):
        prefix, label, target, rest = found.groups()
        is_used = labels.get(f"[{label.casefold()}]", 0) > 1
        if not is_used or rest.strip():
            removed["link definition"] += 1
        if is_used:
            kept.append(f"{prefix}[{label}]: {target}")
    if not kept and not _DEFINITION.search(text):
        removed["link definition"] += 1
    return "\n".join(kept) if kept else None


_FOOTNOTE: Final = re.compile(r"^[ \t>]*(\[\^[^\[\]\s]+\]):")


def _prose(text: str, labels: Mapping[str, int], removed: Counter[str]) -> str | None:
    footnote = _FOOTNOTE.match(text)
    if footnote is not None and labels.get(footnote[1].casefold(), 0) < 2:
        removed["unused footnote"] += 1
        return None
    pieces: list[str] = []
    position = 0
    for span in code_spans(text):
        pieces += [_seen(text[position : span.start], removed), text[span.start : span.end]]
        position = span.end
    return "".join([*pieces, _seen(text[position:], removed)])


def _seen(prose: str, removed: Counter[str]) -> str:
    prose = _seen_in(prose, removed, is_block=False)
    prose = _IMAGE.sub(lambda found: _seen_image(found, removed), prose)
    return _TITLED.sub(lambda found: _seen_target(found, removed), prose)


_TITLE: Final = r"\s+(?:\"[^\"]*\"|'[^']*'|\([^()]*\))"
_IMAGE: Final = re.compile(
    rf"!\[(?P<alt>(?:[^\[\]]|\[[^\[\]]*\])*)\](?:\(\s*(?P<to>[^\s()]*)(?P<title>{_TITLE})?\s*\)|(?P<ref>\[[^\[\]]*\]))"
)
_TITLED: Final = re.compile(rf"\]\(\s*(?P<to>[^\s()]+)(?P<title>{_TITLE})\s*\)")


def _seen_image(found: re.Match[str], removed: Counter[str]) -> str:
    if found["alt"].strip():
        removed["image text"] += 1
    if found["title"]:
        removed["link title"] += 1
    return f"![{found['ref']}]" if found["to"] is None else f"![]({found['to']})"


def _seen_target(found: re.Match[str], removed: Counter[str]) -> str:
    removed["link title"] += 1
    return f"]({found['to']})"


_TAG: Final = r"</?(?P<name>[A-Za-z][A-Za-z0-9-]*)(?=[\s/>])(?P<attributes>(?:\"[^\"]*\"|'[^']*'|[^\"'<>])*)>"
_ENTITY: Final = r"&(?:\#\d{1,7}|\#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
_HTML: Final = re.compile(rf"(?P<unseen><![A-Za-z][^<>]*>)|(?P<tag>{_TAG})|(?P<entity>{_ENTITY})")
_UNSEEN: Final = {"<!--": "-->", "<?": "?>", "<![CDATA[": "]]>"}
_SEEN_ATTRIBUTE: Final = re.compile(r"\s(href|src)\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s\"'>]+)", re.IGNORECASE)


def _seen_in(html_or_prose: str, removed: Counter[str], *, is_block: bool) -> str:
    text = without_comments(html_or_prose, openers=_UNSEEN)
    if is_block:
        text = text.partition("<!--")[0]
    if text != html_or_prose:
        removed["html comment"] += 1
    return _HTML.sub(lambda found: _seen_html(found, removed), text)


def _seen_html(found: re.Match[str], removed: Counter[str]) -> str:
    if found["unseen"] is not None:
        removed["html comment"] += 1
        return ""
    if found["entity"] is not None:
        if strip_invisible(html.unescape(found["entity"])).text:
            return found["entity"]
        removed["unseen characters as entities"] += 1
        return ""
    name = found["name"].casefold()
    if name in ("details", "summary"):
        removed["folded section (opened)"] += name == "details" and not found.group().startswith("</")
        return ""
    kept = "".join(f" {key.lower()}={value}" for key, value in _SEEN_ATTRIBUTE.findall(found["attributes"]))
    if len(kept.split()) < len(found["attributes"].strip(" /").split()):
        removed["html attributes"] += 1
    return f"{'</' if found.group().startswith('</') else '<'}{found['name']}{kept}>"


_WORD: Final = re.compile(r"[^\W\d_]{3,}")
_LATIN: Final = re.compile(r"[A-Za-z]")
_LATIN_LIKE: Final = re.compile(r"[\u0370-\u03ff\u0400-\u052f]")


def _mixes_scripts(word: str) -> bool:
    return _LATIN.search(word) is not None and _LATIN_LIKE.search(word) is not None
