"""What `.gitattributes` say of files, and what a review makes of it."""

import random
from typing import Final

import pytest

from handlers.review.attributes import MOST_RULES, Mark, governing, marks_of, parse_attributes
from handlers.review.plan import Unread, plan_reading
from tests.handlers.review.changes import Change, Repository
from tests.handlers.review.test_plan import changed

READ: Final = ("linguist-generated", "linguist-vendored", "diff")
PATTERNS: Final = (
    *("*.py", "/a/*.py", "a/**/x.py", "**/x.py", "a/b/*", "x.*", "/x.py", "[ab]/x.py", '"s p.py"'),
    *("a/**", "a/", "a", "**", "**/b/**", "b/**/*.txt", "x.py/**"),
)
WORDS: Final = (
    *("linguist-generated", "-linguist-generated", "!linguist-generated", "linguist-generated=true"),
    *("linguist-generated=false", "linguist-vendored", "-linguist-vendored", "-diff", "diff", "!diff"),
    *("binary", "diff=python", "text"),
)


def mark(path: str, text: str) -> Mark | None:
    return marks_of([path], parse_attributes(text)).get(path)


@pytest.mark.parametrize(
    ("line", "path", "said"),
    [
        ("api/*.py linguist-generated", "api/money.py", "generated"),
        ("api/*.py linguist-generated=true", "api/money.py", "generated"),
        ("*.py text eol=lf linguist-generated", "api/money.py", "generated"),
        ("lib/** linguist-vendored", "lib/deep/money.c", "vendored"),
        ("*.sql -diff", "db/dump.sql", "no diff"),
        ("*.dat binary", "a.dat", "no diff"),
        ("*.lock linguist-generated=false", "uv.lock", "by hand"),
        ("vendor/ours/** -linguist-vendored", "vendor/ours/a.go", "by hand"),
        ('"odd \\"name\\".py" linguist-generated', 'odd "name".py', "generated"),
        ("/money.py linguist-generated", "money.py", "generated"),
        ("/money.py linguist-generated", "api/money.py", None),
        ("*.py diff=python", "money.py", None),
        ("*.py diff", "money.py", None),
        ("*.py !linguist-generated", "money.py", None),
        ("*.py linguist-language=Go", "money.py", None),
        ("# *.py linguist-generated", "money.py", None),
        ("!*.py linguist-generated", "money.py", None),
        ("[attr]made linguist-generated", "made", None),
        ("*.py made", "money.py", None),
        ("linguist-generated", "linguist-generated", None),
        ('"unclosed linguist-generated', "unclosed", None),
        ("", "money.py", None),
    ],
)
def test_what_a_line_says(line: str, path: str, said: Mark | None) -> None:
    assert mark(path, line) == said


def test_the_last_word_counts_and_the_nearest_file() -> None:
    top = parse_attributes(
        "*.py linguist-generated\nours.py linguist-generated=false\nfree.py !linguist-generated"
    )
    inner = parse_attributes("/new.py -linguist-generated\n*.c -diff\n", "gen/deep")

    # However they were found.
    marks = marks_of(["a.py", "ours.py", "gen/deep/new.py", "gen/new.py", "gen/deep/x.c", "x.c"], inner + top)

    assert marks == {
        "a.py": "generated",
        "ours.py": "by hand",
        "gen/deep/new.py": "by hand",
        "gen/new.py": "generated",
        "gen/deep/x.c": "no diff",
    }
    assert mark("free.py", "*.py linguist-generated\nfree.py !linguist-generated") is None


def test_git_reads_them_in_the_same_way(repository: Repository) -> None:
    """Of generated files, in two folders, what `git check-attr` tells and what is made of it."""
    chance = random.Random(7)
    paths = ["x.py", "a/x.py", "a/b/x.py", "a/b/c/x.py", "b/x.txt", "a/s p.py"]
    for _ in range(25):
        texts = {
            folder: "".join(f"{chance.choice(PATTERNS)} {chance.choice(WORDS)}\n" for _ in range(lines))
            for folder, lines in (("", 6), ("a", 2))
        }
        tree = {f"{folder}/.gitattributes".lstrip("/"): text.encode() for folder, text in texts.items()}
        repository.hold(Change({}, tree))
        repository.run("read-tree", "new")
        asked = ("check-attr", "--cached", "-z", *READ, "--", *paths)
        told = repository.run(*asked).decode().split("\0")
        states = dict(zip(zip(told[::3], told[1::3], strict=False), told[2::3], strict=False))
        rules = [rule for folder, text in texts.items() for rule in parse_attributes(text, folder)]

        marks = marks_of(paths, rules)

        assert [marks.get(path) for path in paths] == [
            _as_git_has_it(*(states[path, name] for name in READ)) for path in paths
        ], texts


def _as_git_has_it(generated: str, vendored: str, diff: str) -> Mark | None:
    off = ("unset", "false")
    if generated not in (*off, "unspecified"):
        return "generated"
    if vendored not in (*off, "unspecified"):
        return "vendored"
    if diff == "unset":
        return "no diff"
    return "by hand" if generated in off or vendored in off else None


def test_a_file_of_any_length_has_a_bounded_number_of_rules() -> None:
    lines = [f"file{number}.py linguist-generated" for number in range(MOST_RULES + 10)]

    rules = parse_attributes("\n".join(lines))

    assert len(rules) == MOST_RULES
    assert rules[-1].pattern == f"file{MOST_RULES + 9}.py"


def test_which_files_govern_a_change() -> None:
    found = [".gitattributes", "a/.gitattributes", "a/b/.gitattributes", "c/.gitattributes"]

    assert governing(found, ["a/x.py", "d/y.py"]) == [".gitattributes", "a/.gitattributes"]
    assert governing(found, ["y.py"]) == [".gitattributes"]


def test_what_is_not_read_is_said_with_its_reason() -> None:
    """A mark outweighs what a name looks like; a binary file stays one."""
    files = [
        changed("api.py"),
        changed("lib.c"),
        changed("dump.sql"),
        changed("uv.lock"),
        changed("yarn.lock"),
    ]
    picture = changed("logo.png", is_binary=True)
    marked: dict[str, Mark] = {
        "api.py": "generated",
        "lib.c": "vendored",
        "dump.sql": "no diff",
        "uv.lock": "by hand",
        "logo.png": "no diff",
    }

    plan = plan_reading([*files, picture], budget=10_000, marked=marked)

    assert [reading.path for group in plan.groups for reading in group.readings] == ["uv.lock"]
    assert plan.unread == (
        Unread("api.py", "it is generated, as `.gitattributes` says"),
        Unread("lib.c", "it is somebody else's code, as `.gitattributes` says"),
        Unread("dump.sql", "`.gitattributes` lets no diff of it be shown"),
        Unread("yarn.lock", "it is generated"),
        Unread("logo.png", "it is binary"),
    )
