"""Test reports out of artifacts: which are read, what is refused, and what they add to the logs."""

import io
import struct
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from handlers.ci import reports
from handlers.ci.failures import MOST_FAILURES, Failure, JobLog
from handlers.ci.reports import NAMES, ArchiveLimits, Artifact, added_by, chosen, read_archive, shared_out

BEGAN: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DOCTYPE: Final = b'<!DOCTYPE t SYSTEM "file:///etc/passwd"><testsuite/>'


def report(*names: str, classname: str = "tests.test_rows") -> bytes:
    cases = "".join(
        f'<testcase classname="{classname}" name="{name}"><failure message="no"/></testcase>'
        for name in names
    )
    return f"<testsuite>{cases}</testsuite>".encode()


def archive(files: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as made:
        for path, data in files.items():
            made.writestr(path, data)
    return buffer.getvalue()


def artifact(name: str, number: int = 1, *, size: int = 100, age: int = -60, gone: bool = False) -> Artifact:
    return Artifact(number, name, size, BEGAN - timedelta(seconds=age), gone)


def failed(name: str, *, tool: str = "pytest", file: str | None = None, line: int | None = None) -> Failure:
    return Failure(tool=tool, kind="test", test=name, message="no", file=file, line=line)


def names(failures: tuple[Failure, ...]) -> list[str | None]:
    return [one.test for one in failures]


@pytest.mark.parametrize(
    ("name", "is_read"),
    [
        ("junit", True),
        ("JUnit results (3.11)", True),
        ("linux-test-results", True),
        ("unit_test_reports", True),
        ("coverage", False),
        ("wheels", False),
    ],
)
def test_which_artifacts_look_like_reports(name: str, *, is_read: bool) -> None:
    assert bool(chosen([artifact(name)], NAMES, since=BEGAN)) is is_read


def test_of_one_name_the_newest_of_this_attempt_is_read() -> None:
    known = [
        artifact("junit-a", 1),
        artifact("junit-a", 4),
        artifact("junit-b", 2, age=60),
        artifact("junit-c", 3, gone=True),
        artifact("junit-d", 5, size=reports.PACKED_BYTES + 1),
    ]

    assert [one.id for one in chosen(known, NAMES, since=BEGAN)] == [4]
    assert [one.id for one in chosen(known, NAMES, since=None)] == [4, 2]
    assert chosen(known, (), since=None) == []


def test_reports_lie_anywhere_and_names_in_an_archive_are_no_paths() -> None:
    told = read_archive(
        archive(
            {
                "a/b/c/TEST-rows.XML": report("test_one"),
                "../../etc/cron.d/x.xml": report("test_two"),
                "/root/.ssh/y.xml": report("test_one", "test_three"),
                "notes.txt": report("test_four"),
                "folder.xml/": b"",
            }
        )
    )

    assert names(told.failures) == [
        "tests.test_rows.test_one",
        "tests.test_rows.test_two",
        "tests.test_rows.test_three",
    ]


def beyond_memory(data: bytes) -> bytes:
    """The archive of one file, whose entry says that it lies further on than any memory has places."""
    directory, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = bytearray(data[directory:end])
    entry[42:46] = b"\xff" * 4
    far = struct.pack("<HHQ", 1, 8, 1 << 63)
    entry[30:32] = struct.pack("<H", len(far))
    last = bytearray(data[end:])
    last[12:16] = struct.pack("<I", len(entry) + len(far))
    return data[:directory] + bytes(entry) + far + bytes(last)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no archive"),
        (b"PK\x05\x06 and nothing more", "no archive"),
        (archive({"a.xml": report("t")})[:-30], "no archive"),
        (archive({"a.xml": DOCTYPE}), "a document type or entities"),
        (archive({"a.xml": b"FAILED tests"}), "it is no XML"),
        (archive({"a.xml": b"<a>" * 60}), "nested deeper"),
        (archive({"a.xml": b"<a>" + b" " * (2 << 20)}), "200 times its size"),
        (b"PK\x01\x02" * 10_001, "more than 10000 entries"),
        (beyond_memory(archive({"a.xml": report("t")})), "cannot be unpacked"),
    ],
    ids=["empty", "a stub", "cut", "entities", "no XML", "deep", "a bomb", "many entries", "far away"],
)
def test_what_is_no_plain_archive_of_reports_is_refused_with_the_reason(data: bytes, why: str) -> None:
    told = read_archive(data)

    assert told.failures == ()
    assert [why in said for said in told.refused] == [True]


def test_one_bad_report_spoils_no_other() -> None:
    """Nor one whose bytes are damaged, or packed as memory could not bear."""
    damaged = bytearray(
        archive({"a.xml": report("test_one"), "b.xml": report("test_two")}, zipfile.ZIP_STORED)
    )
    damaged[damaged.index(b"test_one")] ^= 1
    mixed = archive({"a.xml": DOCTYPE, "b.xml": report("test_two")})

    assert names(read_archive(bytes(damaged)).failures) == ["tests.test_rows.test_two"]
    assert names(read_archive(mixed).failures) == ["tests.test_rows.test_two"]
    assert read_archive(archive({"a.xml": report("test_one")}, zipfile.ZIP_LZMA)).failures == ()


def test_all_reports_together_have_a_limit() -> None:
    files = {f"{number}.xml": report(f"test_{number}") for number in range(6)}
    limits = ArchiveLimits(reports=4, report_bytes=200, unpacked_bytes=300)

    few = read_archive(archive(files), limits)
    long = read_archive(archive({"a.xml": report(*"abcdefgh")}), limits)

    assert len(few.failures) == 2
    assert (few.refused[0], few.refused[-1]) == (
        "it has more than 4 reports",
        "its reports are longer than 300 bytes",
    )
    assert long.refused == ("of a report, it is longer than 200 bytes",)


@pytest.mark.parametrize(
    ("logged", "reported", "is_same"),
    [
        (failed("tests/test_rows.py::test_row"), failed("tests.test_rows.test_row"), True),
        (
            failed("tests/test_rows.py::Rows::test_row[a-1]"),
            failed("tests.test_rows.Rows.test_row[a-1]"),
            True,
        ),
        (failed("TestMoney/adds", tool="go test"), failed("example.com/money.TestMoney/adds"), True),
        (failed("rows / are even", tool="jest"), failed("rows are even"), True),
        (failed("src/a.test.ts > rows > are even"), failed("src/a.test.ts > rows > are even"), True),
        (failed("tests/test_rows.py::test_row[a]"), failed("tests.test_rows.test_row[b]"), False),
        (failed("tests/test_rows.py::test_row"), failed("tests.test_cols.test_row"), False),
        (failed("test_row", file="tests/a.py"), failed("tests.b.test_row", file="tests/b.py"), False),
        (failed("one", file="a.py", line=3), failed("another", file="a.py", line=3), True),
    ],
)
def test_what_a_log_tells_is_not_told_again(logged: Failure, reported: Failure, *, is_same: bool) -> None:
    assert added_by([reported], [logged]) == (() if is_same else (reported,))


def test_a_report_is_of_the_only_job_or_of_the_one_whose_log_is_silent() -> None:
    found = (failed("m.test_new"),)
    loud, silent = JobLog(failures=(failed("m.test_old"),)), JobLog(failures=())

    [alone], left = shared_out(found, [loud])
    (first, second), left_of_two = shared_out(found, [loud, silent])
    both, nobodys = shared_out(found, [silent, silent])

    assert (names(alone.failures), left) == (["m.test_old", "m.test_new"], ())
    assert (names(first.failures), names(second.failures), left_of_two) == (
        ["m.test_old"],
        ["m.test_new"],
        (),
    )
    assert (both, nobodys) == ((silent, silent), found)


def test_a_job_keeps_its_bound() -> None:
    full = JobLog(failures=tuple(failed(f"old_{number}") for number in range(MOST_FAILURES - 1)))

    [log], _ = shared_out([failed("new_one"), failed("new_two")], [full])

    assert (len(log.failures), log.more_failures) == (MOST_FAILURES, 1)
