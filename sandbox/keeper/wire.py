"""What the service and the keepers say to each other: small JSON messages, with descriptors.

Each message is one packet of a `SOCK_SEQPACKET` socket. A request, which may be long, travels in an anonymous
file whose descriptor comes first.
"""

import json
import os
import socket
from array import array
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final

_LONGEST_PACKET: Final = 1 << 16
_LONGEST_WORDS: Final = 2000
_ANCILLARY_BYTES: Final = socket.CMSG_LEN(8 * array("i").itemsize)

# Of a packet.
Message = dict[str, Any]


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a new channel, neither inherited by what is started."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def tell(channel: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Send a short message. Raises `OSError`, `BrokenPipeError` when nobody is there."""
    # The signal that comes otherwise would end a keeper.
    socket.send_fds(channel, [json.dumps(message).encode()], descriptors, socket.MSG_NOSIGNAL)


def say(channel: int, message: Message) -> None:
    """As `tell`, for a process that has no use for a socket beyond this. Raises `OSError`."""
    os.write(channel, json.dumps(message).encode())


def hear(channel: socket.socket) -> tuple[Message | None, list[int]]:
    """The next message and its descriptors, which are not inherited; None when the other end is closed."""
    # Not `socket.recv_fds`, which forgets its flags.
    data, ancillary, _, _ = channel.recvmsg(_LONGEST_PACKET, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
    descriptors = array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content)
    return (parsed(data) if data else None), descriptors.tolist()


def ask(channel: socket.socket, request: Message, descriptors: Sequence[int] = ()) -> None:
    """Send a request of any length. Raises `OSError`."""
    file = os.memfd_create("request")
    try:
        data = memoryview(json.dumps(request).encode())
        while data:
            data = data[os.write(file, data) :]
        os.lseek(file, 0, os.SEEK_SET)
        tell(channel, {}, (file, *descriptors))
    finally:
        os.close(file)


def asked(channel: socket.socket) -> tuple[Message | None, list[int]]:
    """The next request and the descriptors that came with it; None when nobody will ask any more."""
    message, descriptors = hear(channel)
    if message is None:
        return None, descriptors
    with os.fdopen(descriptors[0], "rb", buffering=0) as file:
        return parsed(file.readall()), descriptors[1:]


def parsed(data: bytes) -> Message:
    """One message, as JSON."""
    message: Message = json.loads(data)
    return message


class LastWords:
    """Ends this process with the context, and tells of an exception that nobody else did: `failed`.

    Nothing that a keeper or a command's first process prints is seen by anybody.
    """

    def __init__(self, channel: int) -> None:
        self._channel = channel

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Never returns."""
        try:
            if error is not None:
                say(self._channel, {"failed": _words_for(error, traceback)[:_LONGEST_WORDS]})
        finally:
            os._exit(0 if error is None else 1)


def _words_for(error: BaseException, traceback: TracebackType | None) -> str:
    if isinstance(error, OSError) and (name := error.filename or error.filename2):
        return f"{name}: {error.strerror}"
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return repr(error)
    file = traceback.tb_frame.f_code.co_filename.rpartition("/")[2]
    return f"{error!r} in line {traceback.tb_lineno} of {file}"
