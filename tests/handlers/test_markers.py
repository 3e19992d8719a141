"""Only the bot's own key makes a marker that the bot believes."""

from hypothesis import given
from hypothesis import strategies as st

from handlers.markers import Marker, find_markers, make_marker, verify_marker
from handlers.scan import scan

KEY = b"k" * 32


@given(st.text(min_size=1, max_size=60))
def test_a_marker_is_found_again_and_ends_no_comment_early(name: str) -> None:
    marker = make_marker("comment", name, key=KEY)

    assert find_markers(f"text\n\n{marker}", key=KEY) == (Marker("comment", name),)
    assert marker.index("-->") == len(marker) - 3


def test_a_forged_marker_is_passed_over() -> None:
    forged = make_marker("comment", "a", key=b"guess")
    swapped = make_marker("comment", "a", key=KEY).replace(":a:", ":b:")

    assert find_markers(forged + swapped, key=KEY) == ()
    assert not verify_marker(forged, "comment", "a", key=KEY)


def test_a_marker_in_the_models_words_does_not_leave() -> None:
    """Not even a real one, copied from an older comment."""
    copied = make_marker("comment", "a", key=KEY)

    assert scan(f"text {copied}").text == "text "
