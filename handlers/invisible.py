"""Characters that carry text nobody sees: which they are, and the few places where a script needs one."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

ZWNJ: Final = "\u200c"
ZWJ: Final = "\u200d"


@dataclass(frozen=True, slots=True)
class Stripped:
    text: str
    removed: Mapping[str, int]
    """How many characters of each kind."""


def strip_invisible(text: str) -> Stripped:
    """`text` without unseen characters; a single (non-)joiner stays where Persian, Indic or emoji need it."""
    removed: Counter[str] = Counter()

    def judge(match: re.Match[str]) -> str:
        if _is_needed(match):
            return match.group()
        removed[_kind_of(match.group()[0])] += len(match.group())
        return ""

    while True:
        before = sum(removed.values())
        text = _INVISIBLE.sub(judge, text)
        # Taking a character out can leave a joiner between letters that do not need it.
        if sum(removed.values()) == before:
            return Stripped(text, removed)


_KINDS: Final[Mapping[str, str]] = {
    "tag characters": "\\U000e0000-\\U000e007f",
    "variation selectors": "\\ufe00-\\ufe0f\\U000e0100-\\U000e01ef\\u180b-\\u180d\\u180f",
    "zero-width characters": "\\u200b-\\u200d\\u2060-\\u2065\\ufeff\\u180e\\u034f",
    "direction marks": "\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069\\u206a-\\u206f\\u061c",
    "soft hyphens": "\\u00ad",
    "blank letters": "\\u115f\\u1160\\u3164\\uffa0\\u17b4\\u17b5\\u2800",
    "control characters": (
        "\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x84\\x86-\\x9f\\ufff9-\\ufffb\\U0001d173-\\U0001d17a"
        "\\U000e0080-\\U000e00ff\\U000e01f0-\\U000e0fff\\u0085\\u2028\\u2029"
    ),
}
_INVISIBLE: Final = re.compile("|".join(f"[{ranges}]+" for ranges in _KINDS.values()))
_KIND_PATTERNS: Final = {kind: re.compile(f"[{ranges}]") for kind, ranges in _KINDS.items()}

# Scripts in which a (non-)joiner changes how a word is written: Arabic, Syriac, Brahmic, Khmer, Mongolian.
_JOINING_SCRIPT: Final = re.compile(
    "[\\u0600-\\u07ff\\u0840-\\u085f\\u08a0-\\u0dff\\u0f00-\\u109f\\u1780-\\u17ff\\u1800-\\u18aa"
    "\\ufb50-\\ufdff\\ufe70-\\ufefc]"
)
_EMOJI: Final = re.compile("[\\u00a9\\u00ae\\u203c-\\u3299\\U0001f000-\\U0001faff]")
_SKIN_TONE: Final = re.compile("[\\U0001f3fb-\\U0001f3ff]")


def _is_needed(match: re.Match[str]) -> bool:
    text = match.string
    run = match.group()
    before = text[match.start() - 1] if match.start() else ""
    after = text[match.end()] if match.end() < len(text) else ""
    if not before or not after:
        return False
    if run == ZWJ and _EMOJI.match(after):
        return _EMOJI.match(before) is not None or _SKIN_TONE.match(before) is not None
    if run not in (ZWJ, ZWNJ):
        return False
    return _is_letter_of_joining_script(before) and _is_letter_of_joining_script(after)


def _is_letter_of_joining_script(character: str) -> bool:
    return _JOINING_SCRIPT.match(character) is not None and unicodedata.category(character)[0] in "LM"


def _kind_of(character: str) -> str:
    return next(kind for kind, pattern in _KIND_PATTERNS.items() if pattern.match(character))
