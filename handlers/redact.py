"""Takes secrets out of a text: live ones in any encoding, and whatever looks like a token. Keeps none itself.

Live values matter more than patterns: the form of tokens changes (installation tokens grew from 40 to about
520 characters in 2026, says GitHub's changelog of 2026-04-24), so they are treated as opaque.
"""

import base64
import codecs
import functools
import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

REMOVED: Final = "[secret removed]"
SHORTEST_SECRET: Final = 6
"""Shorter values cannot be told from ordinary text."""
SHORTEST_LOOSE: Final = 16
"""Of a value's letters and digits: what is compared without regard to case and to all other characters."""


@dataclass(frozen=True, slots=True)
class Redacted:
    text: str
    findings: Mapping[str, int]


def redact(text: str, *, secrets: Collection[str]) -> Redacted:
    """`text` without `secrets` and without tokens.

    Secrets are found raw, reversed, in base64, base32, hex and rot13, in base64 of base64 or of hex, with
    escapes of URLs, HTML, JSON, C and mail, in full width, in other case, with anything but letters and
    digits in between. Whoever has a secret can still say it in other words: it is the sandbox that has none.
    """
    findings: Counter[str] = Counter()
    forms = _forms_of(frozenset(secrets))
    # Taking one out may bring the halves of another together.
    while True:
        ranges = [*_live(text, forms), *_patterned(text)]
        if not ranges:
            return Redacted(text, findings)
        text = _without(text, ranges, findings)


@dataclass(frozen=True, slots=True)
class _Range:
    start: int
    end: int
    what: str


@dataclass(frozen=True, slots=True)
class _Forms:
    exact: frozenset[str]
    folded: frozenset[str]
    """Compared without regard to case (hex)."""
    loose: frozenset[str]
    """Letters and digits in lower case."""


@functools.lru_cache(maxsize=8)
def _forms_of(secrets: frozenset[str]) -> _Forms:
    exact: set[str] = set()
    folded: set[str] = set()
    for secret in secrets:
        value = _SEPARATORS.sub("", secret)
        if len(value) < SHORTEST_SECRET:
            continue
        for form in (value, value[::-1]):
            exact.add(form)
            exact.update(_base64_cores(form.encode()))
            exact.add(quote(form, safe=""))
            folded.add(form.encode().hex())
        exact.update(_base64_cores(secret.encode()))
        folded.add(secret.encode().hex())
        exact.update(_loose_forms(value))
    loose = {_NOT_LOOSE.sub("", form).translate(_ASCII_LOWER) for form in exact}
    return _Forms(
        frozenset(form for form in exact if len(form) >= SHORTEST_SECRET),
        frozenset(form for form in folded if len(form) >= SHORTEST_SECRET),
        frozenset(form for form in loose if len(form) >= SHORTEST_LOOSE),
    )


def _loose_forms(value: str) -> Iterator[str]:
    data = value.encode()
    yield codecs.encode(value, "rot13")
    yield base64.b32encode(data).decode().rstrip("=")[:-1]
    for once in (base64.b64encode(data), base64.urlsafe_b64encode(data), data.hex().encode()):
        yield from _base64_cores(once.rstrip(b"="))


def _base64_cores(data: bytes) -> Iterator[str]:
    """What base64 of any text that holds `data` has in common: three alignments, without their edges."""
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + data).decode().rstrip("=")
        first = -(-offset * 8 // 6)
        last = len(encoded) - (1 if (offset + len(data)) % 3 else 0)
        core = encoded[first:last]
        yield core
        yield core.replace("+", "-").replace("/", "_")


# Whitespace and everything that is not seen: what a secret may be split by.
_SEPARATORS: Final = re.compile(
    "[\\s\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202f"
    "\\u205f-\\u206f\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\U000e0000-\\U000e0fff]+"
)
_NOT_LOOSE: Final = re.compile(r"[^A-Za-z0-9]+")
_HEX_SEPARATORS: Final = re.compile(r"(?:\\x|0x|[\s:,;_-])+", re.IGNORECASE)


def _live(text: str, forms: _Forms) -> Iterator[_Range]:
    if not forms.exact:
        return
    plain = _Mapped.of(text).without(_SEPARATORS)
    for view in (plain, *_decoded_views(plain)):
        yield from view.find(forms.exact, "secret", fold=False)
    for view in (plain, plain.without(_HEX_SEPARATORS)):
        yield from view.find(forms.folded, "secret", fold=True)
    if forms.loose:
        yield from plain.without(_NOT_LOOSE).find(forms.loose, "secret", fold=True)


def _decoded_views(plain: "_Mapped") -> Iterator["_Mapped"]:
    if "%" in plain.text:
        yield plain.replaced(_PERCENT, _unquoted)
    if "=" in plain.text:
        yield plain.replaced(_MAIL, lambda found: _unquoted(found.replace("=", "%")))
    if "&" in plain.text:
        yield plain.replaced(_ENTITY, html.unescape)
    if "\\" in plain.text:
        yield plain.replaced(_ESCAPE, _character_of)
    if not plain.text.isascii():
        yield plain.replaced(_FULL_WIDTH, lambda found: unicodedata.normalize("NFKC", found))


def _unquoted(escapes: str) -> str:
    # Escaped twice, it says `%25` where a percent sign is meant.
    return unquote_to_bytes(escapes.replace("%25", "%")).decode("utf-8", "replace")


def _character_of(escape: str) -> str:
    if escape[1] in "xu":
        return chr(int.from_bytes(bytes.fromhex(escape[2:]), "big"))
    return chr(int(escape[1:], 8))


_PERCENT: Final = re.compile(r"(?:%(?:25)*[0-9A-Fa-f]{2})+")
_MAIL: Final = re.compile(r"(?:=[0-9A-F]{2})+")
_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|\w{2,24});")
_ESCAPE: Final = re.compile(r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|[0-3][0-7]{2})")
_FULL_WIDTH: Final = re.compile("[\uff01-\uff5e]+")


@dataclass(frozen=True, slots=True)
class _Mapped:
    """A text derived from another, with the place where each of its characters came from."""

    text: str
    starts: list[int]
    ends: list[int]

    @classmethod
    def of(cls, text: str) -> "_Mapped":
        return cls(text, list(range(len(text))), list(range(1, len(text) + 1)))

    def without(self, pattern: re.Pattern[str]) -> "_Mapped":
        return self.replaced(pattern, lambda _: "")

    def replaced(self, pattern: re.Pattern[str], decode: Callable[[str], str]) -> "_Mapped":
        pieces: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        position = 0
        for match in pattern.finditer(self.text):
            kept = slice(position, match.start())
            decoded = decode(match.group())
            pieces += [self.text[kept], decoded]
            starts += self.starts[kept] + [self.starts[match.start()]] * len(decoded)
            ends += self.ends[kept] + [self.ends[match.end() - 1]] * len(decoded)
            position = match.end()
        rest = slice(position, None)
        return _Mapped(
            "".join([*pieces, self.text[rest]]), starts + self.starts[rest], ends + self.ends[rest]
        )

    def find(self, forms: Collection[str], what: str, *, fold: bool) -> Iterator[_Range]:
        # `str.lower` may change the length of non-ASCII text; hex is ASCII, so only ASCII is folded.
        text = self.text.translate(_ASCII_LOWER) if fold else self.text
        for form in forms:
            at = text.find(form)
            while at >= 0:
                yield _Range(self.starts[at], self.ends[at + len(form) - 1], what)
                at = text.find(form, at + len(form))


_ASCII_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}

_PATTERNS: Final[Mapping[str, re.Pattern[str]]] = {
    "github token": re.compile(r"gh[oprsu]_[A-Za-z0-9._-]{30,}|github_pat_[A-Za-z0-9_]{22,}"),
    "model key": re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{20,}"),
    "private key": re.compile(
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL
    ),
    "aws key": re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"),
    "slack token": re.compile(r"xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    "web token": re.compile(
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
    ),
}


def _patterned(text: str) -> Iterator[_Range]:
    for what, pattern in _PATTERNS.items():
        for match in pattern.finditer(text):
            yield _Range(match.start(), match.end(), what)


def _without(text: str, ranges: Collection[_Range], findings: Counter[str]) -> str:
    pieces: list[str] = []
    position = 0
    open_end = -1
    for found in sorted(ranges, key=lambda one: (one.start, -one.end)):
        if found.start < open_end:
            position = open_end = max(open_end, found.end)
            continue
        pieces += [text[position : found.start], REMOVED]
        findings[found.what] += 1
        position = open_end = found.end
    return "".join([*pieces, text[position:]])
