"""Event streams, however the network cuts them."""

from hypothesis import given
from hypothesis import strategies as st

from harness.models.sse import Frames

DATA = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1).map(str.encode)


@given(st.lists(DATA), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.data())
def test_the_cuts_change_nothing(events: list[bytes], newline: bytes, data: st.DataObject) -> None:
    """Any stream in any pieces gives the same events, whichever line ends it uses."""
    sent = b"".join(b"event: x" + newline + b"data: " + event + newline * 2 for event in events)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)))))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    frames = Frames()

    assert [event for piece in pieces for event in frames.feed(piece)] == events


@given(st.lists(st.binary()))
def test_no_bytes_break_it(pieces: list[bytes]) -> None:
    """Garbage gives whatever it gives, but no error."""
    frames = Frames()

    assert all(event for piece in pieces for event in frames.feed(piece))


def test_the_fields_are_read_as_specified() -> None:
    """Comments and other fields are skipped, several data lines are one event, a cut event is none."""
    frames = Frames()
    sent = b": ping\n\nid: 1\ndata:a\ndata: b\nretry: 5\n\nevent: x\n\ndata: cut"

    assert list(frames.feed(sent)) == [b"a\nb"]
