"""A change has the same name after a rebase, by the judgement of `git patch-id`."""

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers.review.diff import parse_diff
from handlers.review.patch_ids import changed_since, patch_ids
from tests.handlers.review.changes import Change, Repository, contents, text

DICE = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def by_git(repository: Repository, diff: bytes) -> dict[str, bytes]:
    """Patch ids of each file by git; names without spaces only."""
    told: dict[str, bytes] = {}
    for part in re.split(rb"^(?=diff --git )", diff, flags=re.MULTILINE)[1:]:
        path = part.split(b"\n")[0].rpartition(b" b/")[2].decode()
        told[path] = repository.run("patch-id", "--verbatim", stdin=part)
    return told


@DICE
@given(one=contents(), other=contents(), above=st.integers(0, 3))
def test_two_patches_are_the_same_when_git_says_so(
    repository: Repository, one: tuple[bytes, bytes], other: tuple[bytes, bytes], above: int
) -> None:
    """Over two changes by dice, and one of them rebased below lines that came in above."""
    before, after = one
    shift = text(*(f"above {number}" for number in range(above + 8)))
    first = repository.diff(Change({"f": shift + before}, {"f": shift + after}))
    second = repository.diff(Change({"f": shift * 2 + before}, {"f": shift * 2 + after}))
    third = repository.diff(Change({"f": other[0]}, {"f": other[1]}))

    for left, right in ((first, second), (first, third)):
        ours = patch_ids(parse_diff(left)), patch_ids(parse_diff(right))
        theirs = by_git(repository, left), by_git(repository, right)
        assert (ours[0] == ours[1]) == (theirs[0] == theirs[1])


def test_a_force_push_that_changes_nothing(repository: Repository) -> None:
    """The branch was rebased: lines came in above, and in another file."""
    lines = [f"line {number}" for number in range(20)]
    edited = [*lines[:9], "nine", *lines[10:]]
    top = [f"import {name}" for name in "abcdefgh"]
    one = Change({"a.py": text(*lines)}, {"a.py": text(*edited), "b.bin": b"\0\1"})
    two = Change(
        {"a.py": text(*top, *lines), "c.py": b"x\n"},
        {"a.py": text(*top, *edited), "b.bin": b"\0\1", "c.py": b"x\n"},
    )
    more = Change(one.old, {**one.new, "a.py": text(*edited, "more"), "d.py": b"d\n"})

    first, second, third = (patch_ids(parse_diff(repository.diff(change))) for change in (one, two, more))

    assert changed_since(first, second) == ()
    assert changed_since(first, third) == ("a.py", "d.py")


def test_indentation_is_a_change(repository: Repository) -> None:
    plain = patch_ids(parse_diff(repository.diff(Change({"a": b""}, {"a": b"return x\n"}))))
    deeper = patch_ids(parse_diff(repository.diff(Change({"a": b""}, {"a": b"    return x\n"}))))

    assert plain != deeper
