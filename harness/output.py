"""What of a command's output the model is shown: text without control sequences, bounded. No I/O."""

import re
from typing import Final

SHOWN_BYTES: Final = 10_000
"""Of any output, whatever `max_output_tokens` asks for, counted as JSON: every line break, quote and
backslash is two bytes in the request. Codex shows up to 10,000 tokens (about 40 kB), and each later request
of the turn carries them again; head and tail serve a reader of logs as well, and the model can look at the
middle with a command. The whole text stays in the journal.
"""
LEAST_BYTES: Final = 256
BYTES_PER_TOKEN: Final = 4
"""Codex's estimate."""
OUTPUT_FOLLOWS: Final = "Output:\n"
"""Ends the head of a command's result."""

_TERMINAL_SEQUENCE: Final = re.compile(
    r"\x1b(?:"
    r"\[[0-?]{0,64}[ -/]{0,8}[@-~]"  # CSI: colours, cursor moves
    r"|[\]PX^_][^\x07\x1b\n]{0,2048}(?:\x07|\x1b\\)"  # OSC, DCS, SOS, PM, APC and their terminator
    r"|[ -/]{0,8}[0-~]"  # two-character escapes
    r")?"
)
"""ECMA-48 section 5. Bounded: an unterminated one must not swallow the text after it."""
_CONTROLS: Final = bytes([*range(9), 11, 12, *range(14, 32), 127])
_REPLACE_CONTROLS: Final = dict.fromkeys((*_CONTROLS, *range(0x80, 0xA0)), "\N{REPLACEMENT CHARACTER}")
_ESCAPED: Final = (b'"', b"\\", b"\n", b"\t", b"\r")


def readable(text: str) -> str:
    """Without colours, overwritten progress bars and control characters (these are replaced)."""
    if "\x1b" in text:
        text = _TERMINAL_SEQUENCE.sub("", text)
    if "\r" in text:
        text = "\n".join(_last_drawn(line) if "\r" in line else line for line in text.split("\n"))
    # The cheap question first: most output has none, and it may be megabytes.
    if not text.isascii() or len(text.encode("ascii").translate(None, _CONTROLS)) != len(text):
        text = text.translate(_REPLACE_CONTROLS)
    return text


def _last_drawn(line: str) -> str:
    """What stays on a terminal of a line that was drawn over: a progress bar's last state."""
    return line.rstrip("\r").rpartition("\r")[2]


def bounded(text: str, *, limit: int = SHOWN_BYTES) -> str:
    """`text`, or head and tail around a mark that says how much is missing; at most `limit` bytes of JSON."""
    data = text.encode()
    if len(data) <= limit and _json_bytes(data) <= limit:
        return text
    room = limit - 80  # For the mark.
    head = _to_line_end(_fitting(data[:room], room // 2, from_end=False))
    tail = _from_line_start(_fitting(data[-room:], room - room // 2, from_end=True))
    left_out = data[len(head) : len(data) - len(tail)]
    lines = left_out.count(b"\n")
    separator = "" if head.endswith(b"\n") else "\n"
    mark = f"{separator}[… {len(left_out):,} bytes ({lines:,} lines) left out here …]\n"
    return head.decode() + mark + tail.decode()


def _to_line_end(head: bytes) -> bytes:
    """Up to its last line break, when that costs little."""
    end = head.rfind(b"\n") + 1
    return head[:end] if end > len(head) * 3 // 4 else head


def _from_line_start(tail: bytes) -> bytes:
    start = tail.find(b"\n") + 1
    return tail[start:] if start < len(tail) // 4 else tail


def shown_limit(max_output_tokens: int) -> int:
    """How many bytes of output a call that asks for `max_output_tokens` gets to see."""
    return max(LEAST_BYTES, min(SHOWN_BYTES, max_output_tokens * BYTES_PER_TOKEN))


def token_count(text: str) -> int:
    """An estimate, as codex makes it."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def _json_bytes(data: bytes) -> int:
    return len(data) + sum(data.count(mark) for mark in _ESCAPED)


def _fitting(data: bytes, budget: int, *, from_end: bool) -> bytes:
    """The longest head (or tail) of `data` that takes at most `budget` bytes of JSON; cuts no character."""
    fits, too_long = 0, min(len(data), budget) + 1
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        part = data[len(data) - middle :] if from_end else data[:middle]
        if _json_bytes(part) <= budget:
            fits = middle
        else:
            too_long = middle
    part = data[len(data) - fits :] if from_end else data[:fits]
    # A cut character loses its other bytes: only the cut edge can be bad, the text was whole before.
    return part.decode("utf-8", errors="ignore").encode()


def printed_part(result: str) -> str:
    """What the command printed, of a result with its head; a result without one as it is."""
    head, mark, printed = result.partition(OUTPUT_FOLLOWS)
    return printed if mark and head.startswith("Wall time: ") else result


def one_line(text: str, longest: int = 200) -> str:
    """All of the text in a line, cut where it is too long for one."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
