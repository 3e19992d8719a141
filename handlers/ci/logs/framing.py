"""From a job's log to clean lines: what runner and terminal put around them goes. Linear, bounded."""

import re
from collections.abc import Iterator
from typing import Final

LONGEST_LINE: Final = 8 * 1024
"""Bytes of a line that are kept: nothing that a tool says of a failure is longer, no pattern sees more."""
_SLICE: Final = 256 * 1024


class Framing:
    """A stream of chunks, cut anywhere, becomes blocks of whole lines, each line with its newline.

    A line has lost the runner's time (`2026-11-20T10:11:12.1234567Z `), colours and other terminal sequences,
    and what a progress bar overwrote. Memory is that of one block, whatever comes.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._is_skipping = False
        """Within a line that is too long: all is dropped up to its end."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        for start in range(0, len(chunk), _SLICE):
            block = self._whole_lines(chunk[start : start + _SLICE])
            if block:
                yield _clean(block)

    def close(self) -> bytes:
        """The last line, where no newline ended it."""
        rest, self._rest = self._rest, b""
        return _clean(rest + b"\n") if rest else b""

    def _whole_lines(self, piece: bytes) -> bytes:
        if self._is_skipping:
            _, newline, piece = piece.partition(b"\n")
            if not newline:
                return b""
            self._is_skipping = False
            self._rest += b"\n"
        end = piece.rfind(b"\n") + 1
        block = self._rest + piece[:end] if end or self._rest.endswith(b"\n") else b""
        self._rest = piece[end:] if block else self._rest + piece
        if len(self._rest) > LONGEST_LINE:
            # Of a progress bar without an end the latest state counts, of anything else the beginning.
            self._rest = self._rest.rpartition(b"\r")[2][:LONGEST_LINE]
            self._is_skipping = True
        return block


_TERMINAL: Final = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[()][0-9A-Za-z]|[@-Z\\^_=>])"
)
_TIME_LENGTH: Final = len("2026-11-20T10:11:12.1234567Z ")


def _clean(block: bytes) -> bytes:
    block = block.removeprefix(b"\xef\xbb\xbf")
    if block[27:29] == b"Z " or b"Z " in block[:4096]:
        block = b"\n".join(
            [
                line[_TIME_LENGTH:] if line[27:29] == b"Z " and line[10:11] == b"T" else line
                for line in block.split(b"\n")
            ]
        )
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
        if b"\r" in block:
            block = b"\n".join([line.rpartition(b"\r")[2] for line in block.split(b"\n")])
    if b"\x1b" in block:
        # The sequence that ends every colour goes by itself, at a fraction of a pattern's cost.
        block = _TERMINAL.sub(b"", block.replace(b"\x1b[0m", b""))
    return block
