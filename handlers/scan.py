"""The one scanner that every outgoing text passes: what the bot says can inform people, never command anyone.

Secrets go from everywhere. Outside code, whatever would act on GitHub or on other bots is shown and made
inert: mentions, slash commands, closing keywords, foreign links, images, raw HTML. A second scan changes
nothing.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from handlers.invisible import strip_invisible
from handlers.markdown import (
    RegionKind,
    code_spans,
    fence_for,
    normalised,
    open_fence,
    split_regions,
    without_comments,
)
from handlers.redact import redact

LIMIT: Final = 65_000
"""GitHub takes 65,536 characters; the rest is for the hidden marker."""
TEMPLATE_TAGS: Final = frozenset({"details", "summary", "sub", "sup", "br", "kbd"})
"""The raw HTML that the bot's own templates use, always without attributes."""


@dataclass(frozen=True, slots=True)
class Scanned:
    text: str
    findings: Mapping[str, int]
    """What was removed or made inert, and how often: for the ledger."""


@dataclass(frozen=True, slots=True)
class _Rules:
    secrets: tuple[str, ...]
    mentions: frozenset[str]
    hosts: frozenset[str]
    tags: frozenset[str]
    may_close: bool


def scan(
    text: str,
    *,
    secrets: Collection[str] = (),
    allowed_mentions: Collection[str] = (),
    own_hosts: Collection[str] = (),
    limit: int = LIMIT,
    origin: Literal["ours", "model"] = "ours",
    form: Literal["markdown", "plain"] = "markdown",
) -> Scanned:
    """`text` as it may leave.

    `allowed_mentions` are logins, `own_hosts` hosts (`github.com`, `127.0.0.1:8080`) that may be linked to.
    Texts of `ours` may hold the templates' tags and the closing line of a pull request; what the model wrote
    has none of these when it comes here inside such a text, because `clean` took them. `plain` is for what
    GitHub does not render as Markdown: commit messages and titles. The hidden marker is added after the scan.
    """
    rules = _Rules(
        tuple(secrets),
        frozenset(login.casefold() for login in allowed_mentions),
        frozenset(host.casefold() for host in own_hosts),
        TEMPLATE_TAGS if origin == "ours" else frozenset(),
        may_close=origin == "ours",
    )
    findings: Counter[str] = Counter()
    kept = limit
    result = _settled(text, rules, form, findings)
    while len(result) > limit:
        kept -= max(len(result) - limit, 1)
        result = _settled(_cut(text, max(kept, 0)), rules, form, findings)
        findings["cut"] = 1
    return Scanned(result, {kind: count for kind, count in findings.items() if count})


def clean(text: str, *, own_hosts: Collection[str] = (), limit: int = LIMIT) -> str:
    """Text of the model, ready to stand inside a text of ours: no HTML at all, no fence left open."""
    scanned = scan(text.strip(), own_hosts=own_hosts, limit=limit, origin="model").text
    return _closed(scanned)


def clean_line(text: str, *, limit: int) -> str:
    """Text of the model as one line for a title or a commit message."""
    line = " ".join(scan(text, origin="model", form="plain", limit=10 * LIMIT).text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "\u2026"


_MOST_PASSES: Final = 12


def _settled(text: str, rules: _Rules, form: Literal["markdown", "plain"], findings: Counter[str]) -> str:
    """Passes until nothing changes: making one thing inert can uncover another."""
    for _ in range(_MOST_PASSES):
        passed = _pass(text, rules, form, findings)
        if passed == text:
            return text
        text = passed
    # Whatever it is that never settles: as code it can do nothing.
    fence = fence_for(text)
    findings["fenced"] += 1
    return redact(f"{fence}\n{text}\n{fence}", secrets=rules.secrets).text


def _pass(text: str, rules: _Rules, form: Literal["markdown", "plain"], findings: Counter[str]) -> str:
    redacted = redact(text, secrets=rules.secrets)
    findings.update(redacted.findings)
    stripped = strip_invisible(normalised(redacted.text))
    findings.update({"hidden characters": sum(stripped.removed.values())})
    if form == "plain":
        return _plain(stripped.text, findings)
    return "\n".join(
        _inert(region.kind, region.text, rules, findings) for region in split_regions(stripped.text)
    )


def _inert(kind: RegionKind, text: str, rules: _Rules, findings: Counter[str]) -> str:
    match kind:
        case RegionKind.CODE:
            # Bots that read the source line by line obey what stands in a fence; a space in front stops them.
            return _COMMAND_LINE.sub(" ", text)
        case RegionKind.BLANK:
            return text
        case RegionKind.PROSE:
            return _Prose(text, rules, findings).inert()
        case RegionKind.TABLE:
            # A code span cannot reach beyond its cell.
            return "\n".join(
                "|".join(_Prose(cell, rules, findings).inert() for cell in _CELL.split(line))
                for line in text.split("\n")
            )
        case RegionKind.HTML:
            return _html(text, rules, findings)
        case RegionKind.DEFINITION:
            findings["link definition"] += 1
            # Escaped, it is a paragraph like any other, and made inert as such in the next pass.
            return _UNESCAPED_BRACKET.sub(r"\\[", text)


_COMMAND_LINE: Final = re.compile(r"^(?=/[A-Za-z][\w-]*(?![\w/.-]))", re.MULTILINE)
_UNESCAPED_BRACKET: Final = re.compile(r"(?<!\\)\[")
_CELL: Final = re.compile(r"(?<!\\)\|")
_LOGIN: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_URL: Final = r"(?:https?|ftp)://[^\s<>`\[\]|\"]+|www\.[^\s<>`\[\]|\"]+"
# Not `\b`, here and before mentions: an underscore may be the beginning of emphasis (`_@bob_`).
_CLOSING: Final = (
    r"(?<![A-Za-z0-9])(?P<verb>close[sd]?|fix(?:e[sd])?|resolve[sd]?)(?P<gap>:?\s+)"
    r"(?P<ref>(?:[\w.-]+/[\w.-]+)?\#(?P<number>\d+)(?![A-Za-z0-9])|GH-\d+(?![A-Za-z0-9])|https?://[^\s<>`]+/(?:issues|pull)/\d+)"
)
# Words at the start of a line that other bots take as commands without slash or mention.
_BARE_COMMANDS: Final = r"atlantis|bors|digger|recheck|retest|ok\ to\ test|add\ to\ whitelist"
_PIECE: Final = re.compile(
    rf"""
      (?P<escape>\\[\\`*_\[\]{{}}()+.|~>$-])
    | (?P<unescaped>\\(?=[@<&!/\#"':]))
    | (?P<ticks>`+)
    | (?P<command>(?m:^)(?P<prefix>[ \t>*+\-\d.)\#]*)(?P<word>/[A-Za-z][\w-]*|(?:{_BARE_COMMANDS})\b))
    | (?P<comment><!--)
    | (?P<autolink><(?:https?|ftp)://[^\s<>]*>)
    | (?P<tag></?(?P<name>[A-Za-z]+)[ ]*/?>)
    | (?P<angle><(?=[A-Za-z/!?]))
    | (?P<entity>&(?=\#[0-9xX]|[A-Za-z]))
    | (?P<image>!(?=\[))
    | (?P<link>\]\()
    | (?P<closing>{_CLOSING})
    | (?P<url>{_URL})
    | (?P<mention>(?<![A-Za-z0-9])@(?P<login>{_LOGIN})(?P<team>(?:/[A-Za-z0-9._-]+)?))
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_SAFE_ENTITY: Final = re.compile(r"&(?:amp|lt|gt|quot|nbsp|middot|mdash|ndash|hellip);")
_SAFE_TARGET: Final = re.compile(r"\]\((?P<target>[A-Za-z0-9._~:/?\#@!$&'*+,;=%-]+)\)")
_TRAILING: Final = ".,:;!?*_~'\")}"


def _as_far_as_balanced(address: str) -> str:
    """Up to a parenthesis that closes none of its own: what follows one (`(…/x)@bob`) is read for itself."""
    depth = 0
    for at, character in enumerate(address):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            return address[:at]
    return address


class _Prose:
    """One prose region on its way out."""

    def __init__(self, text: str, rules: _Rules, findings: Counter[str]) -> None:
        self._text = text
        self._rules = rules
        self._findings = findings
        self._out: list[str] = []
        self._may_have_comments = True
        self._spans = {span.start: span.end for span in code_spans(text)}

    def inert(self) -> str:
        position = 0
        while (match := _PIECE.search(self._text, position)) is not None:
            self._put(self._text[position : match.start()])
            position = self._take(match)
        self._put(self._text[position:])
        return "".join(self._out)

    def _put(self, text: str) -> None:
        if text:
            self._out.append(text)

    def _count(self, what: str) -> None:
        self._findings[what] += 1

    def _as_code(self, text: str, end: int) -> None:
        """Show `text` as code, kept apart from backticks on either side."""
        if self._out and self._out[-1].endswith("`"):
            self._put(" ")
        self._put(f"`{text}`")
        if self._text[end : end + 1] == "`":
            self._put(" ")

    def _take(self, match: re.Match[str]) -> int:
        """Emit the matched piece, inert; where to go on from."""
        takers: dict[str, Callable[[re.Match[str]], int]] = {
            "escape": self._verbatim,
            "unescaped": self._unescaped,
            "ticks": self._ticks,
            "command": self._command,
            "comment": self._comment,
            "autolink": self._autolink,
            "tag": self._tag,
            "angle": self._angle,
            "entity": self._entity,
            "image": self._image,
            "link": self._link,
            "closing": self._closing,
            "url": self._bare_url,
            "mention": self._mention,
        }
        kind = next(kind for kind in takers if match[kind] is not None)
        return takers[kind](match)

    def _verbatim(self, match: re.Match[str]) -> int:
        self._put(match.group())
        return match.end()

    def _unescaped(self, match: re.Match[str]) -> int:
        # GitHub looks for mentions and references in the rendered text, where the backslash is gone.
        return match.end()

    def _ticks(self, match: re.Match[str]) -> int:
        span_end = self._spans.get(match.start())
        if span_end is not None:
            if self._out and self._out[-1].endswith("`"):
                self._put(" ")
            self._put(_COMMAND_LINE.sub(" ", self._text[match.start() : span_end]))
            return span_end
        # A stray backtick could pair with those that we add.
        self._put("\\`" * len(match.group()))
        return match.end()

    def _command(self, match: re.Match[str]) -> int:
        self._count("command")
        self._put(match["prefix"])
        self._as_code(match["word"], match.end())
        return match.end()

    def _comment(self, match: re.Match[str]) -> int:
        end = self._text.find("-->", match.start() + 2) if self._may_have_comments else -1
        if end < 0:
            # Looked for once: a search from each of many openings would take forever.
            self._may_have_comments = False
            return self._angle(match)
        self._count("html comment")
        return end + 3

    def _autolink(self, match: re.Match[str]) -> int:
        self._url(match.group()[1:-1], match.group(), match.end())
        return match.end()

    def _tag(self, match: re.Match[str]) -> int:
        if match["name"].casefold() in self._rules.tags:
            return self._verbatim(match)
        return self._angle(match)

    def _angle(self, match: re.Match[str]) -> int:
        self._count("html")
        self._put("&lt;")
        return match.start() + 1

    def _entity(self, match: re.Match[str]) -> int:
        safe = _SAFE_ENTITY.match(self._text, match.start())
        if safe is not None:
            self._put(safe.group())
            return safe.end()
        self._put("&amp;")
        return match.end()

    def _link(self, match: re.Match[str]) -> int:
        target = _SAFE_TARGET.match(self._text, match.start())
        if target is not None and self._may_link(target["target"]):
            self._put(target.group())
            return target.end()
        self._count("foreign link")
        self._put("] (")
        return match.end()

    def _image(self, match: re.Match[str]) -> int:
        """An image becomes a link to it."""
        self._count("image")
        return match.end()

    def _closing(self, match: re.Match[str]) -> int:
        if self._rules.may_close and _is_closing_line(match):
            return self._verbatim(match)
        self._count("closing keyword")
        self._put(match["verb"] + match["gap"])
        self._as_code(match["ref"], match.end())
        return match.end()

    def _bare_url(self, match: re.Match[str]) -> int:
        address = _as_far_as_balanced(match.group()).rstrip(_TRAILING)
        end = match.start() + len(address)
        self._url(address, address, end)
        return end

    def _url(self, address: str, shown: str, end: int) -> None:
        if self._may_link(address):
            self._put(shown)
            return
        self._count("foreign link")
        self._as_code(address, end)

    def _mention(self, match: re.Match[str]) -> int:
        if not match["team"] and match["login"].casefold() in self._rules.mentions:
            return self._verbatim(match)
        self._count("mention")
        self._as_code(match.group(), match.end())
        return match.end()

    def _may_link(self, address: str) -> bool:
        if re.fullmatch(r"#[\w-]*", address):
            return True
        if not address.casefold().startswith(("http://", "https://")) or "\\" in address:
            return False
        try:
            host = urlsplit(address).netloc
        except ValueError:
            return False
        return host.casefold() in self._rules.hosts


# In raw HTML there are no code spans; the full-width signs look alike and mean nothing.
_HTML_PIECE: Final = re.compile(
    rf"""
      (?P<tag></?(?P<name>[A-Za-z]+)[ ]*/?>)
    | (?P<angle><(?=[A-Za-z/!?]))
    | (?P<closing>{_CLOSING})
    | (?P<command>(?m:^)[ \t]*/(?=[A-Za-z]))
    | (?P<entity>&(?=\#[0-9xX]|[A-Za-z]))
    | (?P<mention>(?<![A-Za-z0-9])@(?=[A-Za-z0-9]))
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def _html(text: str, rules: _Rules, findings: Counter[str]) -> str:
    def replace(match: re.Match[str]) -> str:
        if match["tag"] is not None and match["name"].casefold() in rules.tags:
            return match.group()
        if match["tag"] is not None or match["angle"] is not None:
            findings["html"] += 1
            return "&lt;" + match.group()[1:]
        if match["entity"] is not None:
            return "&" if _SAFE_ENTITY.match(text, match.start()) else "&amp;"
        return _full_width(match, findings)

    bare = without_comments(text)
    findings["html comment"] += bare != text
    return _HTML_PIECE.sub(replace, bare)


_PLAIN_PIECE: Final = re.compile(
    rf"(?P<closing>{_CLOSING})|(?P<command>(?m:^)[ \t]*/(?=[A-Za-z]))"
    r"|(?P<mention>(?<![A-Za-z0-9])@(?=[A-Za-z0-9]))"
    # https://docs.github.com/en/actions/how-tos/manage-workflow-runs/skip-workflow-runs
    r"|(?P<skip>\[(?=(?:skip[ ]ci|ci[ ]skip|no[ ]ci|skip[ ]actions|actions[ ]skip)\]))"
    r"|(?P<unchecked>(?m:^)[ \t]*skip-checks(?=[ \t]*:))",
    re.VERBOSE | re.IGNORECASE,
)


def _plain(text: str, findings: Counter[str]) -> str:
    def replace(match: re.Match[str]) -> str:
        if match["skip"] is None and match["unchecked"] is None:
            return _full_width(match, findings)
        # Whoever titles an issue must not decide that nothing checks the change.
        findings["skipped checks"] += 1
        return "\uff3b" if match["skip"] is not None else match.group().replace("-", " ")

    return _PLAIN_PIECE.sub(replace, text)


def _is_closing_line(match: re.Match[str]) -> bool:
    """Whether this is a template's closing keyword: a line of its own, in exactly these words."""
    line_start = match.string.rfind("\n", 0, match.start()) + 1
    line = match.string[line_start:].partition("\n")[0]
    return re.fullmatch(r"Closes #\d+", line) is not None


def _full_width(match: re.Match[str], findings: Counter[str]) -> str:
    if match["closing"] is not None:
        findings["closing keyword"] += 1
        return f"{match['verb']}{match['gap']}issue {match['ref'].rpartition('#')[2].rpartition('/')[2]}"
    if match["command"] is not None:
        findings["command"] += 1
        return match.group().replace("/", "\uff0f")
    findings["mention"] += 1
    return "\uff20"


_CUT_MARK: Final = "\u2026 *(cut here: {} more characters)*"


def _cut(text: str, kept: int) -> str:
    mark = _CUT_MARK.format(len(text) - kept)
    head = _closed(text[: max(kept - len(mark) - 40, 0)].rstrip())
    opened = head.count("<details>") - head.count("</details>")
    return head + "\n" * 2 + mark + "\n\n</details>" * max(opened, 0)


def _closed(text: str) -> str:
    """`text` with its last code fence closed."""
    fence = open_fence(text)
    return f"{text}\n{fence}" if fence else text
