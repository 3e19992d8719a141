"""`darner demo`: the first thing a newcomer types."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

PROGRAM = (sys.executable, "-m", "app", "demo")
QUIET = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "COLUMNS": "200"}


def test_once_ends_with_a_pull_request_whose_tests_pass(tmp_path: Path) -> None:
    """`darner demo --once` exits with 0, says that the model is scripted, and where to look."""
    done = subprocess.run(
        (*PROGRAM, "--once"),
        capture_output=True,
        text=True,
        timeout=110,
        env=QUIET | {"TMPDIR": str(tmp_path)},
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "scripted" in done.stdout
    assert re.search(r"opened a draft pull request after \d", done.stdout)
    assert "OK (Ran 9 tests" in done.stdout
    assert re.search(r"http://127\.0\.0\.1:\d+/maya/purl/pull/2", done.stdout)
    assert "Traceback" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("job", "shown"),
    [
        (
            "review",
            (
                r"darner reviewed [0-9a-f]{7} after .*: 2 to fix, 1 to consider",
                r"darner reviewed [0-9a-f]{7} after .*: 1 to fix, 1 to consider, 1 fixed",
                "✓ the mended one: answered with its commit, and resolved",
                "✓ the disputed one: judged once, withdrawn and resolved",
            ),
        ),
        (
            "ci",
            (
                r"CI ran its tests on [0-9a-f]{7}: failure",
                r"darner pushed [0-9a-f]{7} after .*: Repair the failed checks of #1",
                r"CI ran its tests on [0-9a-f]{7}: success",
                "✓ no other pull request",
            ),
        ),
    ],
)
def test_a_review_and_a_repair_are_played(tmp_path: Path, job: str, shown: tuple[str, ...]) -> None:
    """`darner demo review` and `darner demo ci` exit with 0 only if all is there that they list."""
    done = subprocess.run(
        (*PROGRAM, job, "--once"),
        capture_output=True,
        text=True,
        timeout=110,
        env=QUIET | {"TMPDIR": str(tmp_path)},
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for words in shown:
        assert re.search(words, done.stdout), done.stdout
    assert "✗" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_it_stays_up_until_ctrl_c_and_leaves_nothing(tmp_path: Path) -> None:
    """Without `--once` the pages stay open; Ctrl-C ends every process and removes every file."""
    log = tmp_path / "output"
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with log.open("w") as output:
        process = subprocess.Popen(
            PROGRAM, stdout=output, stderr=subprocess.STDOUT, env=QUIET | {"TMPDIR": str(temporary)}
        )
        try:
            deadline = time.monotonic() + 100
            while "stays up" not in log.read_text() and time.monotonic() < deadline:
                assert process.poll() is None, log.read_text()
                time.sleep(0.2)
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            process.wait(30)
        finally:
            process.kill()
            process.wait()

    printed = log.read_text()
    assert process.returncode == 0, printed
    assert "Traceback" not in printed
    assert re.search(r"what was decided +DARNER_HOME=\S+ \S+ why [0-9a-f-]{36}\n", printed)
    assert "@darner what does this project do?" in printed
    assert [child for child in children if child.is_running()] == []
    assert list(temporary.iterdir()) == []
