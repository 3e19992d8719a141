"""Annotations are failures where the logs have none."""

from dataclasses import replace

from handlers.ci.annotations import Annotation, complaints_in, told_by
from handlers.ci.failures import Failure

ONE = Annotation(
    path="src/app.ts",
    start_line=3,
    start_column=5,
    level="failure",
    title="Check",
    message="no such name",
    raw_details="at app.ts",
)
RUNNER = replace(ONE, path=".github", start_line=1, message="The operation was canceled.")


def test_an_annotation_is_a_failure_with_its_place() -> None:
    assert told_by([ONE, replace(ONE, level="warning"), RUNNER]) == (
        Failure(
            tool="annotation",
            kind="other",
            file="src/app.ts",
            line=3,
            column=5,
            message="Check: no such name",
            details="at app.ts",
        ),
    )


def test_what_the_log_told_is_not_told_again() -> None:
    known = Failure(tool="tsc", kind="type", file="src/app.ts", line=3, message="TS2304 no such name")

    assert told_by([ONE, replace(ONE, start_line=9)], [known]) == told_by([replace(ONE, start_line=9)])


def test_what_the_runner_says_of_itself_is_a_complaint() -> None:
    assert complaints_in([ONE, RUNNER, RUNNER]) == ("The operation was canceled.",)
