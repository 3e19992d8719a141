"""The server name in the first bytes that a TLS client sends. Reads nothing else of TLS, and no network.

https://www.rfc-editor.org/rfc/rfc8446#section-4.1.2 and https://www.rfc-editor.org/rfc/rfc6066#section-3
"""

from typing import Final

_HANDSHAKE_RECORD: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_HOST_NAME: Final = 0
_LONGEST_RECORD: Final = 1 << 14
_LONGEST_HELLO: Final = 1 << 14
_MOST_RECORDS: Final = 16


class NotTls(ValueError):
    """What was sent is not the begin of a TLS connection."""


class Incomplete(ValueError):
    """The begin of one, as far as it goes: there is nothing new to learn before `needed` bytes."""

    def __init__(self, needed: int) -> None:
        self.needed = needed
        super().__init__(needed)


class Scattered(ValueError):
    """A greeting that is longer, or in more pieces, than any client makes it."""


def server_name(data: bytes) -> str | None:
    """The name that the client asks the server for, None when it names none.

    Raises `Incomplete` until the whole greeting is there, `Scattered` for one that would take too long to put
    together, `NotTls` for anything else.
    """
    hello = _Reader(_handshake(data))
    hello.skip(2 + 32)  # Version, random.
    hello.block(1)  # Session.
    hello.block(2)  # Cipher suites.
    hello.block(1)  # Compression methods.
    if hello.is_at_end:
        return None
    extensions = _Reader(hello.block(2))
    while not extensions.is_at_end:
        kind = extensions.number(2)
        content = extensions.block(2)
        if kind == _SERVER_NAME:
            return _host_name(content)
    return None


def _handshake(data: bytes) -> bytes:
    """The body of the client's first message, which may come in several records."""
    message = bytearray()
    position = 0
    records = 0
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4]):
        header = data[position : position + 5]
        # Told from the first byte, so that other protocols need not send five.
        if header and (header[0] != _HANDSHAKE_RECORD or header[1:2] not in {b"", b"\x03"}):
            raise NotTls
        length = int.from_bytes(header[3:5])
        if len(header) == 5 and not 0 < length <= _LONGEST_RECORD:
            raise NotTls
        needed = position + 5 + length if len(header) == 5 else len(data) + 1
        if len(data) < needed:
            raise Incomplete(needed)
        records += 1
        if records > _MOST_RECORDS:
            raise Scattered
        message += data[position + 5 : position + 5 + length]
        position = needed
        if message[0] != _CLIENT_HELLO:
            raise NotTls
        if len(message) >= 4 and int.from_bytes(message[1:4]) > _LONGEST_HELLO:
            raise Scattered
    return bytes(message[4 : 4 + int.from_bytes(message[1:4])])


def _host_name(content: bytes) -> str:
    names = _Reader(_Reader(content).block(2))
    if names.number(1) != _HOST_NAME:
        raise NotTls
    try:
        return names.block(2).decode("ascii")
    except UnicodeDecodeError as error:
        raise NotTls from error


class _Reader:
    """Takes a message apart. Raises `NotTls` at an end that comes too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def is_at_end(self) -> bool:
        return self._position == len(self._data)

    def skip(self, count: int) -> bytes:
        end = self._position + count
        if end > len(self._data):
            raise NotTls
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.skip(size))

    def block(self, size: int) -> bytes:
        """What follows its own length, a number of `size` bytes."""
        return self.skip(self.number(size))
