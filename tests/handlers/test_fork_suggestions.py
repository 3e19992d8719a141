"""A change as suggestions: what they make when all buttons are pressed, and what cannot be put so."""

from difflib import unified_diff

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.fork_suggestions import LONGEST, MOST, ProposedSuggestion, as_suggestions
from handlers.review.anchors import is_commentable
from handlers.review.diff import FileDiff, by_path, parse_diff
from handlers.review.suggestions import lines_in

PATH = "purl/row.py"


def _diff(old: str, new: str, *, path: str = PATH, head: str = "index 1111111..2222222 100644") -> str:
    """As git would write it."""
    lines = unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{path}", f"b/{path}", n=3
    )
    shown = [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]
    return f"diff --git a/{path} b/{path}\n{head}\n{''.join(shown)}"


def _files(*diffs: str) -> tuple[FileDiff, ...]:
    return parse_diff("".join(diffs))


def _text(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def _proposed(base: str, head: str, left: str) -> tuple[ProposedSuggestion, ...]:
    shown = by_path(_files(_diff(base, head)))
    return as_suggestions(_files(_diff(head, left)), shown, old={PATH: head}, new={PATH: left})


def _pressed(text: str, proposed: tuple[ProposedSuggestion, ...]) -> str:
    """The file once somebody has taken all of them together."""
    lines = text.splitlines()
    for each in sorted(proposed, key=lambda one: one.line, reverse=True):
        first = each.line if each.start_line is None else each.start_line
        wanted = lines_in(each.block)
        assert wanted is not None
        lines[first - 1 : each.line] = wanted
    return _text(*lines)


ROW = tuple(f"row {number}" for number in range(1, 41))
HEAD = _text(*ROW)
ALL_NEW = ""


@pytest.mark.parametrize(
    ("left", "places"),
    [
        (_text("row one", *ROW[1:]), [(None, 1)]),
        (_text("cast on", *ROW), [(None, 1)]),
        (_text(*ROW[:4], "again", *ROW[4:]), [(None, 4)]),
        (_text(*ROW, "bind off"), [(None, 40)]),
        (_text(*ROW[:4], *ROW[7:]), [(5, 7)]),
        (_text(*ROW[:4], "five", "six", *ROW[6:20], "twenty-one", *ROW[21:]), [(5, 6), (None, 21)]),
    ],
    ids=["a line", "before the first", "between two", "behind the last", "three go", "two places"],
)
def test_a_small_change_is_put_so(left: str, places: list[tuple[int | None, int]]) -> None:
    proposed = _proposed(ALL_NEW, HEAD, left)

    assert [(each.start_line, each.line) for each in proposed] == places
    assert _pressed(HEAD, proposed) == left


def test_lines_that_the_pull_request_does_not_show_take_none() -> None:
    """Only what stands in its diff can be commented on; all of the change, or nothing of it."""
    base = _text(*ROW[:9], "row ten", *ROW[10:])
    near, far = _text(*ROW[:11], "twelve", *ROW[12:]), _text(*ROW[:29], "thirty", *ROW[30:])
    both = _text(*ROW[:11], "twelve", *ROW[12:29], "thirty", *ROW[30:])

    assert [each.line for each in _proposed(base, HEAD, near)] == [12]
    assert _proposed(base, HEAD, far) == ()
    assert _proposed(base, HEAD, both) == ()


def test_a_line_that_is_added_takes_the_neighbour_that_the_diff_shows() -> None:
    """Above the first line of a hunk only the line below is there to be replaced."""
    base = _text(*ROW[:9], "row ten", *ROW[10:])

    [above] = _proposed(base, HEAD, _text(*ROW[:6], "new", *ROW[6:]))
    [below] = _proposed(base, HEAD, _text(*ROW[:13], "new", *ROW[13:]))

    assert (above.line, above.block) == (7, "```suggestion\nnew\nrow 7\n```")
    assert (below.line, below.block) == (13, "```suggestion\nrow 13\nnew\n```")


@pytest.mark.parametrize(
    "left",
    [
        _text(*(f"{line}!" if at % 6 == 0 else line for at, line in enumerate(ROW))),
        _text(*ROW[:4], *(f"new {at}" for at in range(LONGEST + 1)), *ROW[4:]),
        _text(*ROW[: 39 - LONGEST], *ROW[40:]),
        _text("row one\r", *ROW[1:]),
        _text(*ROW).removesuffix("\n"),
        _text("token = 'ghp_0123456789abcdefghijklmnopqrstuvwxyz'", *ROW[1:]),
    ],
    ids=["too many places", "too long", "too much goes", "line ends", "the last line's end", "a secret"],
)
def test_what_a_button_would_not_do_exactly_is_not_put_so(left: str) -> None:
    assert _proposed(ALL_NEW, HEAD, left) == ()


def test_whatever_is_no_edit_of_a_text_is_not_put_so() -> None:
    """A new file, one that is gone, another mode, bytes that are no text."""
    shown = by_path(_files(_diff("", HEAD)))
    left = _text("row one", *ROW[1:])
    mode = "old mode 100644\nnew mode 100755\nindex 1111111..2222222"
    for head in ("new file mode 100644\nindex 0000000..2222222", mode):
        changed = _files(_diff(HEAD, left, head=head))
        assert as_suggestions(changed, shown, old={PATH: HEAD}, new={PATH: left}) == ()
    edit = _files(_diff(HEAD, left))
    assert as_suggestions(edit, shown, old={}, new={PATH: left}) == ()
    assert as_suggestions(edit, {}, old={PATH: HEAD}, new={PATH: left}) == ()


def test_several_files_count_together() -> None:
    names = [f"part{at}.py" for at in range(MOST + 1)]
    left = _text("row one", *ROW[1:])
    shown = by_path(_files(*(_diff("", HEAD, path=name) for name in names)))

    def proposed(count: int) -> int:
        few = names[:count]
        changed = _files(*(_diff(HEAD, left, path=name) for name in few))
        old, new = dict.fromkeys(few, HEAD), dict.fromkeys(few, left)
        return len(as_suggestions(changed, shown, old=old, new=new))

    assert (proposed(MOST), proposed(MOST + 1)) == (MOST, 0)


_LINES = st.lists(st.sampled_from(["a", "b", "", "  c", "```", "@here", "-", "+x"]), max_size=30)


@given(base=_LINES, head=_LINES, left=_LINES)
def test_what_is_proposed_makes_the_turns_files_on_lines_that_github_takes(
    base: list[str], head: list[str], left: list[str]
) -> None:
    shown = by_path(_files(_diff(_text(*base), _text(*head))))

    proposed = _proposed(_text(*base), _text(*head), _text(*left)) if base != head and head != left else ()

    for each in proposed:
        assert is_commentable(shown[PATH], side="RIGHT", line=each.line, start_line=each.start_line)
    if proposed:
        assert _pressed(_text(*head), proposed) == _text(*left)
