"""What of a command's output reaches the model: readable, whole characters, never more than allowed."""

import json

from hypothesis import given
from hypothesis import strategies as st

from harness.output import LEAST_BYTES, SHOWN_BYTES, bounded, printed_part, readable, shown_limit


def json_bytes(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode()) - 2


def test_short_output_is_shown_as_it_is() -> None:
    """Nothing is added and nothing taken."""
    assert bounded("two\nlines\n") == "two\nlines\n"


def test_long_output_keeps_head_and_tail_and_says_what_is_missing() -> None:
    """The reader sees how it began, how it ended, and how much lies between."""
    text = "".join(f"{n:04}\n" for n in range(1000))

    assert bounded(text, limit=280) == (
        "".join(f"{n:04}\n" for n in range(16))
        + "[… 4,840 bytes (968 lines) left out here …]\n"
        + "".join(f"{n:04}\n" for n in range(984, 1000))
    )


@given(st.text(alphabet=st.characters(codec="utf-8")), st.integers(1, 40), st.integers(LEAST_BYTES, 2000))
def test_what_is_shown_fits_whatever_was_printed(text: str, times: int, limit: int) -> None:
    """Quotes, line breaks and wide characters count as the bytes that they take in the request."""
    text = readable(text * times)

    shown = bounded(text, limit=limit)

    assert json_bytes(shown) <= limit
    assert (shown == text) == (json_bytes(text) <= limit)


@given(st.binary())
def test_any_bytes_become_printable_text(data: bytes) -> None:
    """No control character but line break and tab is left: nothing can draw on a reader's terminal."""
    text = readable(data.decode("utf-8", errors="replace"))

    assert not [sign for sign in text if sign not in "\n\t" and (ord(sign) < 32 or 127 <= ord(sign) < 160)]


def test_colours_titles_and_progress_bars_are_left_out() -> None:
    """What a terminal would have shown in the end is what the model reads."""
    printed = "\x1b]0;title\x07\x1b[1;31mFAILED\x1b[0m test\r\n 10%\r 50%\r100%\ndone \x1b(B\x07ok"

    assert readable(printed) == "FAILED test\n100%\ndone \N{REPLACEMENT CHARACTER}ok"


def test_an_unfinished_sequence_hides_nothing() -> None:
    """A program cannot make the rest of its output invisible."""
    assert readable("before\x1b]0;no end\nafter\x1b[") == "before0;no end\nafter"


def test_hostile_output_is_read_in_linear_time() -> None:
    """A megabyte of the worst kind takes no minutes (the test's own time limit says so)."""
    for unit in ("\x1b]", "\x1b[0", "\r", "a\r", "0", "\x1b]" + "x" * 100):
        text = unit * (1_000_000 // len(unit))
        assert json_bytes(bounded(readable(text))) <= SHOWN_BYTES


def test_a_model_may_ask_for_less_but_not_for_more() -> None:
    """The bound holds whatever the call says."""
    assert [shown_limit(tokens) for tokens in (0, 100, 10_000, -5)] == [
        LEAST_BYTES,
        400,
        SHOWN_BYTES,
        LEAST_BYTES,
    ]


def test_the_printed_part_of_a_result_is_found() -> None:
    """A program that prints the mark itself cannot hide what it printed before."""
    result = "Wall time: 0.1 seconds\nProcess exited with code 0\nOutput:\nfirst\nOutput:\nsecond"

    assert printed_part(result) == "first\nOutput:\nsecond"
    assert printed_part("No session 4 is running.") == "No session 4 is running."
