"""What a finding is known by: the same lines in the same surroundings, whatever happens elsewhere."""

from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.review.fingerprints import Page, find_in, fingerprint
from harness.findings import Finding

LINES = st.sampled_from(
    [
        "",
        "def f():",
        "class A:",
        "    x = 1",
        "    return None",
        "        pass",
        "}",
        "    }",
        "y = 2",
        "\tz()",
    ]
)


def finding(start: int, end: int) -> Finding:
    return Finding(
        path="a.py", start_line=start, end_line=end, severity="P1", confidence=0.9, title="A claim", why="So."
    )


@settings(max_examples=200, deadline=None)
@given(lines=st.lists(LINES, min_size=1, max_size=35), data=st.data(), above=st.integers(0, 12))
def test_lines_are_found_where_they_are(lines: list[str], data: st.DataObject, above: int) -> None:
    """In the text itself, and below lines that came in above it; equal lines are never mistaken."""
    start = data.draw(st.integers(1, len(lines)))
    end = data.draw(st.integers(start, min(start + 3, len(lines))))
    mark = fingerprint(finding(start, end), "\n".join(lines))
    if not mark.lines:
        assert not any(lines)
        return

    for shift in (0, above):
        page = Page("\n".join([*(f"above_{number}()" for number in range(shift)), *lines]))
        at = find_in(page, mark)
        assert at is not None
        assert page.numbers[at] == start + mark.lead + shift


@settings(max_examples=100, deadline=None)
@given(lines=st.lists(LINES, min_size=1, max_size=35), indent=st.sampled_from(["    ", "\t", "  "]))
def test_white_space_does_not_count(lines: list[str], indent: str) -> None:
    """A block that is indented as a whole has the same fingerprint."""
    plain = fingerprint(finding(1, 1), "\n".join(lines))
    deeper = fingerprint(finding(1, 1), "\n".join(f"{indent}{line}  " for line in lines))

    assert (plain.lines, plain.length) == (deeper.lines, deeper.length)
    assert (plain.around.before, plain.around.after) == (deeper.around.before, deeper.around.after)
