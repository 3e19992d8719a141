"""JUnit's reports come out of a job that ran anybody's code: what is not plainly a report is refused."""

import pytest

from handlers.ci.failures import MOST_FAILURES
from handlers.ci.logs import ReportRefused, read_report

BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<testsuite><testcase name="t"><failure message="&b;"/></testcase></testsuite>"""


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (BOMB, "document type or entities"),
        (b'<!DOCTYPE t SYSTEM "file:///etc/passwd"><testsuite/>', "document type or entities"),
        (b"<a>" * 60, "nested deeper than 50"),
        (b"FAILED tests/test_a.py", "it is no XML"),
        (b"<testsuite>", "it is no XML"),
        (b"", "it is no XML"),
        (b"<testsuite>" + b" " * 2000 + b"</testsuite>", "longer than 1000 bytes"),
    ],
)
def test_what_is_no_plain_report_is_refused_with_the_reason(report: bytes, why: str) -> None:
    with pytest.raises(ReportRefused, match=why):
        read_report([report], limit=1000)


def test_a_long_report_gives_a_bounded_number_of_bounded_failures() -> None:
    case = b'<testcase classname="m.C" name="t"><error type="E">' + b"x" * 20_000 + b"</error></testcase>"

    failures = read_report([b"<testsuite>", *[case] * (MOST_FAILURES + 50), b"</testsuite>"])

    assert len(failures) == MOST_FAILURES
    assert {(one.test, len(one.message), len(one.details)) for one in failures} == {("m.C.t", 1_000, 6_000)}


def test_a_report_may_be_cut_anywhere() -> None:
    report = (
        b'<testsuite><testcase name="t" file="a.py" line="3"><failure message="no"/></testcase></testsuite>'
    )

    assert read_report([report[at : at + 1] for at in range(len(report))]) == read_report([report])
    assert [(one.file, one.line, one.message) for one in read_report([report])] == [("a.py", 3, "no")]
