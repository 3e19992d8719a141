"""What of a large change is read, with what, and what is not."""

import pytest

from handlers.review.diff import FileDiff, Hunk, parse_diff
from handlers.review.plan import Rank, Unread, plan_reading, rank_of, subject_of
from tests.handlers.review.changes import Change, Repository, text


def changed(path: str, *, lines: int = 10, hunks: int = 1, is_binary: bool = False) -> FileDiff:
    """A file whose change costs about ten tokens a line."""
    hunk = Hunk(1, 0, 1, lines, tuple(f"+{'x' * 39}" for _ in range(lines)))
    return FileDiff(
        path=path,
        old_path=path,
        kind="modified",
        is_binary=is_binary,
        hunks=() if is_binary else (hunk,) * hunks,
        changed_lines=lines * hunks,
    )


@pytest.mark.parametrize(
    ("path", "rank"),
    [
        ("app/wiring.py", Rank.SOURCE),
        ("tests/test_wiring.py", Rank.TEST),
        ("src/money.test.ts", Rank.TEST),
        ("src/MoneyTest.java", Rank.TEST),
        ("pkg/money_test.go", Rank.TEST),
        ("src/latest.py", Rank.SOURCE),
        ("deploy/values.yaml", Rank.CONFIGURATION),
        ("Dockerfile", Rank.CONFIGURATION),
        ("README.md", Rank.PROSE),
        ("package-lock.json", Rank.GENERATED),
        ("web/app.min.js", Rank.GENERATED),
        ("api/money_pb2.py", Rank.GENERATED),
        ("vendor/lib/money.go", Rank.VENDORED),
    ],
)
def test_names_tell_what_a_file_is(path: str, rank: Rank) -> None:
    assert rank_of(changed(path)) is rank


def test_what_the_repository_says_outweighs_the_name() -> None:
    assert rank_of(changed("api/money.py"), "generated") is Rank.GENERATED
    assert rank_of(changed("vendor/ours.py"), "by hand") is Rank.SOURCE
    assert rank_of(changed("logo.png", is_binary=True), "by hand") is Rank.BINARY
    long = FileDiff(
        path="a.js", old_path="a.js", kind="added", hunks=(Hunk(0, 0, 1, 1, ("+" + "x" * 5000,)),)
    )
    assert rank_of(long) is Rank.GENERATED


def test_tests_are_read_with_what_they_test() -> None:
    files = [
        changed("tests/test_money.py"),
        changed("docs/guide.md"),
        changed("src/auth/login.py"),
        changed("src/money.py"),
        changed("src/rates.py"),
        changed("yarn.lock"),
        changed("logo.png", is_binary=True),
    ]

    plan = plan_reading(files, budget=100_000)

    assert [[reading.path for reading in group.readings] for group in plan.groups] == [
        ["src/auth/login.py"],
        ["src/money.py", "tests/test_money.py", "src/rates.py"],
        ["docs/guide.md"],
    ]
    assert plan.unread == (Unread("yarn.lock", "it is generated"), Unread("logo.png", "it is binary"))


def test_the_budget_holds_and_what_it_leaves_out_is_said() -> None:
    """Small sources first, then as much of a large file as fits, and of the rest the names."""
    files = [
        changed("big.py", lines=100, hunks=10),
        changed("small.py"),
        changed("test_small.py"),
        *(changed(f"docs/{number}.md", lines=40) for number in range(5)),
    ]

    plan = plan_reading(files, budget=4_000)

    assert plan.tokens <= 4_000
    readings = {reading.path: reading for group in plan.groups for reading in group.readings}
    assert readings["small.py"].is_whole
    big = readings["big.py"]
    assert 300 < big.lines < big.of_lines == 1000
    assert (
        Unread("big.py", f"only {big.lines} of its diff's 1,000 lines fit this review's budget")
        in plan.unread
    )
    assert {each.path for each in plan.unread} | set(readings) == {file.path for file in files}


def test_a_large_file_is_skimmed_before_others_go_unseen() -> None:
    """Its beginning at first, then what all others of the code have left; prose comes after that."""
    files = [
        changed("auth.py", lines=100, hunks=10),
        *(changed(f"part{number}.py", lines=30) for number in range(8)),
        changed("test_part1.py", lines=30),
        changed("README.md", lines=30),
    ]

    plan = plan_reading(files, budget=4_000)

    readings = {reading.path: reading for group in plan.groups for reading in group.readings}
    assert [path for path, reading in readings.items() if not reading.is_whole] == ["auth.py"]
    assert 80 < readings["auth.py"].lines < 150
    assert plan.tokens <= 4_000
    assert [each.path for each in plan.unread] == ["auth.py", "README.md"]
    alone = plan_reading(files[:1], budget=4_000)
    assert alone.tokens > 3_900


def test_a_thousand_files_make_groups_of_a_size_to_read() -> None:
    files = [changed(f"src/part{number % 30}/file{number}.py", lines=60) for number in range(1000)]

    plan = plan_reading(files, budget=10_000_000)

    assert sum(len(group.readings) for group in plan.groups) == 1000
    assert max(group.tokens for group in plan.groups) <= 20_000
    assert plan.unread == ()


def test_a_real_change(repository: Repository) -> None:
    long = text(*(f"line {number}" for number in range(30_000)))
    files = parse_diff(repository.diff(Change({}, {"long.txt": long, "a.py": b"x = 1\n"})))

    plan = plan_reading(files, budget=50_000)

    assert [group.readings[0].path for group in plan.groups] == ["a.py", "long.txt"]
    assert plan.tokens <= 50_000
    assert [each.path for each in plan.unread] == ["long.txt"]
    nothing_left = plan_reading(files, budget=100)
    assert nothing_left.unread == (Unread("long.txt", "the budget of this review was used up"),)


def test_names_of_tests() -> None:
    names = ["test_money.py", "money_test.go", "money.test.ts", "MoneyTest.java", "money.py", "Money.java"]

    assert {subject_of(name) for name in names} == {"money"}
