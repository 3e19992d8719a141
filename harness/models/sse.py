"""Server-sent events from bytes: yields the data of each event, and knows nothing of what it means."""

from collections.abc import Iterator

DONE = b"[DONE]"
"""What Chat Completions, and some gateways on every wire, send after the last event."""


class Frames:
    """Splits a stream into events' data, however the network cut it.

    Only `data` fields count: compatible servers leave out `event:` lines. An event that the stream's end cuts
    off is dropped, as https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    demands; the reader must notice by the missing end of the answer.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []
        self._skip_newline = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of every event that `chunk` completes."""
        if not chunk:
            return
        if self._skip_newline:
            chunk = chunk.removeprefix(b"\n")
        self._skip_newline = chunk.endswith(b"\r")
        # `splitlines` of bytes ends lines at \n, \r and \r\n only: the three that the specification names.
        for line in chunk.splitlines(keepends=True):
            self._line += line
            if not line.endswith((b"\n", b"\r")):
                return
            complete = bytes(self._line).rstrip(b"\r\n")
            self._line.clear()
            if data := self._take_line(complete):
                yield data

    def _take_line(self, line: bytes) -> bytes:
        if not line:
            data = b"\n".join(self._data)
            self._data.clear()
            return data
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        return b""
