"""Keeps the beginning and the end of what a command prints, within a bound. Never interprets it."""


class BoundedOutput:
    """The head and the tail of a stream of bytes, and how many were left out between them."""

    def __init__(self, limit: int) -> None:
        self._head_limit = limit // 2
        self._tail_limit = limit - self._head_limit
        self._head = bytearray()
        self._tail = bytearray()
        self._omitted = 0

    def append(self, data: bytes) -> None:
        """Add what came next."""
        room = self._head_limit - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        excess = len(self._tail) - self._tail_limit
        if excess > 0:
            # Cheap: a bytearray drops its front by moving a pointer.
            del self._tail[:excess]
            self._omitted += excess

    def take(self) -> bytes:
        """Everything kept since the last call, with a line in the place of what was left out."""
        gap = f"\n[... {self._omitted} bytes left out ...]\n".encode() if self._omitted else b""
        kept = b"".join((self._head, gap, self._tail))
        self._head.clear()
        self._tail.clear()
        self._omitted = 0
        return kept
