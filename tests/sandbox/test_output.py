"""What is kept of a command's output."""

from hypothesis import given
from hypothesis import strategies as st

from sandbox.output import BoundedOutput


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(2, 60))
def test_the_beginning_and_the_end_are_kept(pieces: list[bytes], limit: int) -> None:
    """However it arrives: whole when it fits, else its head and its tail with the count between."""
    output = BoundedOutput(limit)
    for piece in pieces:
        output.append(piece)
    whole = b"".join(pieces)
    if len(whole) <= limit:
        assert output.take() == whole
    else:
        head, tail = limit // 2, limit - limit // 2
        gap = f"\n[... {len(whole) - limit} bytes left out ...]\n".encode()
        assert output.take() == whole[:head] + gap + whole[-tail:]
    assert output.take() == b""


def test_taking_makes_room_again() -> None:
    """Each call gives what came since the last one, with the whole bound at its disposal."""
    output = BoundedOutput(10)
    output.append(b"0123456789")
    assert output.take() == b"0123456789"
    output.append(b"abcdefghij")
    assert output.take() == b"abcdefghij"
