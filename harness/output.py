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
    r"\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor moves
    r"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC, DCS, SOS, PM, APC up to their terminator
    r"|[ -/]*[0-~]"  # two-character escapes
    r")?"
)
"""ECMA-48 section 5."""
_OVERWRITTEN: Final = re.compile(r"[^\n]*\r(?=[^\r\n])")
"""What a progress bar drew before it returned to the start of the line."""
_CONTROLS: Final = bytes([*range(9), 11, 12, *range(14, 32), 127])
_REPLACE_CONTROLS: Final = dict.fromkeys(_CONTROLS, "\N{REPLACEMENT CHARACTER}")
_ESCAPED: Final = (b'"', b"\\", b"\n", b"\t", b"\r")


def readable(data: bytes) -> str:
    """As text: bad UTF-8 and control characters replaced, colours and overwritten progress bars left out."""
    text = data.decode("utf-8", errors="replace")
    if b"\x1b" in data:
        text = _TERMINAL_SEQUENCE.sub("", text)
    if b"\r" in data:
        text = _OVERWRITTEN.sub("", text.replace("\r\n", "\n")).replace("\r", "")
    if len(data.translate(None, _CONTROLS)) != len(data):
        text = text.translate(_REPLACE_CONTROLS)
    return text


def bounded(text: str, *, limit: int = SHOWN_BYTES) -> str:
    """`text`, or head and tail around a mark that says how much is missing; at most `limit` bytes of JSON."""
    data = text.encode()
    if len(data) <= limit and _json_bytes(data) <= limit:
        return text
    room = limit - 80  # For the mark.
    head = _fitting(data[:room], room // 2, from_end=False)
    tail = _fitting(data[-room:], room - room // 2, from_end=True)
    left_out = data[len(head) : len(data) - len(tail)]
    lines = left_out.count(b"\n")
    return f"{head.decode()}\n[… {len(left_out):,} bytes ({lines:,} lines) left out here …]\n{tail.decode()}"


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
