"""What logs say, by logs that the tools themselves wrote; and logs that somebody wrote to do harm."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.ci.failures import MOST_FAILURES, JobLog
from handlers.ci.logs import read_log
from handlers.ci.logs.framing import LONGEST_LINE
from handlers.ci.logs.registry import PARSERS
from tests.handlers.ci.captured import LOGS, RAW, expected, failures_in, told


@pytest.mark.parametrize("name", RAW)
def test_a_captured_log_says_exactly_this(name: str) -> None:
    assert told(failures_in(name)) == expected(name).read_text(encoding="utf-8")


def test_every_tool_has_a_captured_log_with_a_failure_of_it() -> None:
    heard = {failure.tool for name in RAW for failure in failures_in(name)}

    assert heard == {
        *(
            "pytest",
            "unittest",
            "go",
            "cargo",
            "jest",
            "vitest",
            "junit",
            "eslint",
            "ruff",
            "mypy",
            "tsc",
            "cc",
        ),
        *("maven", "gradle"),
    }
    assert len(PARSERS) == len(heard) - 1, "JUnit's reports are no logs"


@pytest.mark.parametrize("name", sorted(path.name for path in LOGS.glob("github_*.txt")))
def test_the_runners_framing_makes_no_difference(name: str) -> None:
    log = read_log([(LOGS / name).read_bytes()])

    assert log.failures == failures_in(name.removeprefix("github_"))
    assert log.complaints == ("Process completed with exit code 1.",)
    assert "2026-11-20T" not in log.tail
    assert log.tail.endswith("##[error]Process completed with exit code 1.\nPost job cleanup.")


def test_colours_make_no_difference() -> None:
    pretty = tuple(replace(one, details="") for one in failures_in("tsc_pretty.txt"))

    assert pretty == failures_in("tsc.txt")
    assert failures_in("eslint_color.txt") == failures_in("eslint_stylish.txt")


@settings(deadline=None)  # A busy machine is no failure.
@given(st.data())
def test_a_log_may_be_cut_anywhere(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["github_pytest.txt", "github_go.txt", "jest_color.txt", "gcc_cpp.txt"]))
    whole = (LOGS / name).read_bytes()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=8)))
    chunks = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    cut, uncut = read_log(chunks), read_log([whole])

    assert cut.failures == uncut.failures
    assert (cut.complaints, cut.tail) == (uncut.complaints, uncut.tail)


def test_several_tools_in_one_log_are_all_heard_in_their_order() -> None:
    logs = [(LOGS / name).read_bytes() for name in ("ruff_concise.txt", "mypy.txt", "pytest.txt")]
    noise = b"collected and fine\n" * 50_000

    log = read_log([logs[0], noise, logs[1], noise, logs[2]])

    tools = [failure.tool for failure in log.failures]
    assert tools == ["ruff"] * 6 + ["mypy"] * 5 + ["pytest"] * 9
    assert log.around.startswith("shop/money.py:1:1: I001")


def first_in(log: str) -> tuple[str, str | None, int | None, str | None, str]:
    (one, *_) = read_log([log.encode()]).failures
    return one.tool, one.file, one.line, one.test, one.message


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (
            (
                "[ERROR] shop.MoneyTest.adds(int)[1] -- Time elapsed: 0.01 s <<< FAILURE!\n"
                "org.opentest4j.AssertionFailedError: expected: <4> but was: <3>\n"
                "\tat org.junit.jupiter.api.AssertionUtils.fail(AssertionUtils.java:55)\n"
                "\tat shop.MoneyTest.adds(MoneyTest.java:15)\n\n"
            ),
            (
                *("maven", "shop/MoneyTest.java", 15, "shop.MoneyTest.adds(int)[1]"),
                "org.opentest4j.AssertionFailedError: expected: <4> but was: <3>",
            ),
        ),
        (
            "[ERROR] Failed to execute goal on project shop: Could not resolve dependencies -> [Help 1]\n",
            ("maven", None, None, None, "on project shop: Could not resolve dependencies"),
        ),
        (
            "e: file:///home/runner/_work/a/a/src/Main.kt:10:5 Unresolved reference: nothing\n",
            ("gradle", "src/Main.kt", 10, None, "Unresolved reference: nothing"),
        ),
        (
            "* What went wrong:\nCould not resolve all files for configuration ':compile'.\n> No host\n\n",
            (
                *("gradle", None, None, None),
                "Could not resolve all files for configuration ':compile'.\n> No host",
            ),
        ),
        (
            "---- a stdout ----\nthread 'a' panicked at 'no price', src/lib.rs:7:5\n\nfailures:\n",
            ("cargo", "src/lib.rs", 7, "a", "no price"),
        ),
        (
            "error: linking with `cc` failed: exit status: 1\n\n",
            ("cargo", None, None, None, "linking with `cc` failed: exit status: 1"),
        ),
        (
            " FAIL  src/a.test.ts > adds\nError: no price\n \u276f src/a.test.ts:9:27\n\u23af\u23af\u23af\n",
            ("vitest", "src/a.test.ts", 9, "src/a.test.ts > adds", "Error: no price"),
        ),
        (
            "=" * 70 + "\nFAIL: test_a (suite.T)\n" + "-" * 70 + "\nTraceback (most recent call last):\n"
            '  File "suite.py", line 3, in test_a\nAssertionError: no\n\nRan 1 test in 0.1s\n',
            ("unittest", "suite.py", 3, "suite.T.test_a", "AssertionError: no"),
        ),
        ("ld.lld: error: undefined symbol: missing\n", ("cc", None, None, None, "undefined symbol: missing")),
        (
            "C:\\dev\\shop\\app.ts(3,5): error TS2304: Cannot find name 'x'.\n",
            ("tsc", "C:/dev/shop/app.ts", 3, None, "TS2304 Cannot find name 'x'."),
        ),
        ("error TS5057: No tsconfig.json\n", ("tsc", None, None, None, "TS5057 No tsconfig.json")),
    ],
)
def test_forms_that_no_tool_at_hand_writes(
    log: str, said: tuple[str, str | None, int | None, str | None, str]
) -> None:
    """Written by hand, after the tools' documentation: newer and older ones than those captured."""
    assert first_in(log) == said


def test_what_is_told_twice_is_one_failure() -> None:
    once = (LOGS / "jest.txt").read_bytes()

    assert read_log([once, b"Summary of all failing tests\n", once]).failures == failures_in("jest.txt")


def test_a_progress_bar_and_a_byte_order_mark_are_no_text() -> None:
    log = read_log([b"\xef\xbb\xbf2026-11-20T10:11:12.1234567Z 10%\r50%\rdone\r\nnext\r\n"])

    assert log.tail == "done\nnext"


def test_without_a_known_failure_the_lines_above_the_complaint_are_shown() -> None:
    log = read_log([b"building\nwidget exploded: 7\n##[error]Process completed with exit code 2.\nPost\n"])

    assert log == JobLog(
        failures=(),
        complaints=("Process completed with exit code 2.",),
        around="building\nwidget exploded: 7",
        tail="building\nwidget exploded: 7\n##[error]Process completed with exit code 2.\nPost",
        read=78,
    )


def test_an_error_that_the_runner_repeats_as_its_own_is_still_the_tools() -> None:
    log = read_log([b"##[error]src/app.ts(1,25): error TS2307: Cannot find module './a'.\n"])

    assert [(one.tool, one.file, one.line) for one in log.failures] == [("tsc", "src/app.ts", 1)]


def test_beyond_the_limit_nothing_is_read_and_it_is_said() -> None:
    log = read_log([b"a\n" * 10, b"b\n" * 10], limit=30)

    assert (log.read, log.unread) == (30, 10)
    assert log.tail.count("b") == 5


def test_more_failures_than_anybody_reads_are_counted() -> None:
    lines = b"".join(b"a.py:%d:1: F821 Undefined name `n%d`\n" % (n, n) for n in range(1, 1001))

    log = read_log([lines])

    assert len(log.failures) == MOST_FAILURES
    assert log.more_failures == 1000 - MOST_FAILURES


BAIT = {
    "spaces": b" " * LONGEST_LINE,
    "colons": b"a:1:1:" * 1300,
    "brackets": b"FAIL: " + b"(" * 4000 + b")" * 3000,
    "underscores": b"_ " * 4000,
    "equals": b"=" * 8000 + b" x",
    "at": b"    at " + b"a.b (" * 1500,
    "pytest": b"FAILED " + b"a[" * 2000 + b"]" * 2000,
    "eslint": b"  1:1  error  " + b"a  " * 2500,
    "java": b"[ERROR] " + b"a.b(" * 1500 + b" Time elapsed: <<< FAILURE! ",
    "gradle": b"a > " * 2000 + b"FAILED",
    "escapes": b"\x1b[" + b"1;" * 4000,
    "jest": "  ● ".encode() + b"(" * 4000,
    "vitest": b" FAIL  " + b"a." * 3500,
    "arrows": b"  --> " + b"a.py" * 1500,
    "tsc": b"a(" * 3000 + b"error TS1: ",
    "linker": b"(" * 4000 + b": undefined reference to x",
    "panic": b"thread '" + b"' panicked at '" * 500,
}
OPENINGS = [
    b"=" * 30 + b" FAILURES " + b"=" * 30,
    b"=" * 70,
    b"=== RUN   TestX",
    b"panic: x",
    b"error[E0001]: x",
    b"---- a stdout ----",
    "  ● x".encode(),
    b" FAIL  a.js > b",
    b"a.py:1: error: x",
    b"a.ts(1,1): error TS1: x",
    b"a.c:1:1: error: x",
    b"[ERROR] a(b)  Time elapsed: 1 s  <<< FAILURE!",
    b"A > b FAILED",
    b"* What went wrong:",
]


@pytest.mark.parametrize("bait", BAIT, ids=BAIT.keys())
def test_bait_for_patterns_costs_no_more_than_other_lines(bait: str) -> None:
    """A pattern that goes back and forth over such a line would not end within this test's time."""
    lines = b"\n".join([BAIT[bait]] * 20)

    log = read_log([b"\n".join([opening, lines, b""]) for opening in OPENINGS])

    assert log.read == sum(len(opening) + len(lines) + 2 for opening in OPENINGS)


def endless(megabytes: int, piece: bytes) -> Iterator[bytes]:
    chunk = piece * (64 * 1024 // len(piece))
    for _ in range(megabytes * 16):
        yield chunk


@pytest.mark.parametrize("piece", [b"x", b"50%\r", b"\x00\xff", b"=" * 70 + b"\n", "  ● x\n".encode()])
def test_memory_does_not_grow_with_a_hostile_log(piece: bytes) -> None:
    tracemalloc.start()
    try:
        log = read_log(endless(2, piece))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert log.read > 1_900_000
    assert peak < 2_500_000


@settings(deadline=None)  # A busy machine is no failure.
@given(
    st.lists(
        st.one_of(st.binary(max_size=300), st.sampled_from([*OPENINGS, b"\n", *BAIT.values()])), max_size=12
    )
)
def test_any_bytes_are_a_log(chunks: list[bytes]) -> None:
    log = read_log(chunks)

    assert log.read == sum(len(chunk) for chunk in chunks)
    assert all(failure.message for failure in log.failures)
    assert "\0" not in repr(log).replace("\\\\", "").replace("\\x00", "\0")
