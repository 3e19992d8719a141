"""The ledger tells how much of a session GitHub would recognise, also when several processes ran it."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest

from tests.github.descriptions import Descriptions
from tests.github.graphql import GraphqlDescription
from tests.github.ledger import Ledger

ROOT = Path(__file__).parents[2]
JSON = {"content-type": "application/json; charset=utf-8"}


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"User-Agent": "darner/1"})
    query: str = ""


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)


REACT = Request("POST", "/repos/o/r/issues/comments/1/reactions", b'{"content": "eyes"}')
REACTION = {"id": 1, "node_id": "x", "user": None, "content": "eyes", "created_at": "2026-01-01T00:00:00Z"}
REACTED = Response(201, orjson.dumps(REACTION))
REFUSED = Response(422, b'{"message": "Validation Failed", "documentation_url": "https://d"}')


@pytest.fixture(scope="module")
def described() -> tuple[Descriptions, GraphqlDescription]:
    return Descriptions.load(), GraphqlDescription.load()


@pytest.fixture
def ledger(described: tuple[Descriptions, GraphqlDescription]) -> Ledger:
    return Ledger(*described)


def test_a_session_without_fault(ledger: Ledger) -> None:
    """Legal requests and answers of the described shape make a session with nothing to complain about."""
    ledger.offers([("POST", "/repos/{owner}/{repo}/issues/comments/{id}/reactions"), ("GET", "/zen")])
    ledger.on_exchange(REACT, REACTED)
    assert ledger.failures() == []
    assert ledger.lines() == [
        "requests valid: 100 % (1 of 1)",
        "answers valid: 100 % (1 of 1)",
        "webhooks valid: 100 % (0 of 0)",
        "undocumented members sent: 0",
        "operations: 1 exercised, 1 validated, 2 offered by the forge",
        "offered, never exercised: meta/get-zen",
        "offered, never validated: meta/get-zen",
    ]


def test_wrong_answer_fails_the_session(ledger: Ledger) -> None:
    """One answer of a wrong shape brings the share below 100 %, and the report names what was wrong."""
    ledger.on_exchange(REACT, Response(201, orjson.dumps(REACTION | {"id": "one"})))
    assert ledger.failures() == ["answers: only 0 % (0 of 1) valid"]
    assert any('id: "one" is not of type "integer"' in line for line in ledger.lines())
    assert ledger.tally.validated == {}


def test_undocumented_member_fails_the_session(ledger: Ledger) -> None:
    """A member that GitHub does not send fails the session although the schema lets it pass."""
    ledger.on_exchange(REACT, Response(201, orjson.dumps(REACTION | {"emoji": "👀"})))
    assert ledger.failures() == ["1 members sent that no description names"]


def test_the_bot_may_not_misspell(ledger: Ledger) -> None:
    """A request of the bot with an unknown member is a fault whatever it was answered."""
    misspelt = Request(REACT.method, REACT.path, b'{"content": "eyes", "contents": 1}')
    ledger.on_exchange(misspelt, REFUSED)
    assert ledger.failures() == ["requests: only 0 % (0 of 1) valid"]


def test_a_test_may_send_nonsense_that_is_refused(ledger: Ledger) -> None:
    """What a test sends wrongly on purpose is no fault if the forge refuses it, but one if it takes it."""
    nonsense = Request(REACT.method, REACT.path, b'{"content": "cheese"}', {"User-Agent": "python-httpx2/2"})
    ledger.on_exchange(nonsense, REFUSED)
    assert ledger.failures() == []
    ledger.on_exchange(nonsense, REACTED)
    assert ledger.failures() == ["requests: only 0 % (0 of 1) valid"]


def test_request_to_nowhere(ledger: Ledger) -> None:
    """A request that GitHub has no operation for is a fault of the bot."""
    ledger.on_exchange(Request("GET", "/repos/o/r/isues"), Response(404, b"{}"))
    assert ledger.failures() == ["requests: only 0 % (0 of 1) valid"]


def test_null_after_deleted_fork_is_excused(ledger: Ledger) -> None:
    """A known deviation of today counts as valid and is shown; one of old recordings is no excuse."""
    payload = orjson.loads(
        (
            ROOT / "tests/data/github/webhooks/50-pull_request.synchronize.derived-fork-deleted.json"
        ).read_bytes()
    )
    headers = {
        "User-Agent": "GitHub-Hookshot/abc1234",
        "X-GitHub-Hook-ID": "12",
        "X-GitHub-Event": "pull_request",
        "X-GitHub-Hook-Installation-Target-ID": "34",
        "X-GitHub-Hook-Installation-Target-Type": "integration",
        "X-GitHub-Delivery": "0b989ba4-242f-11e5-81e1-c7b6966d2516",
        "X-Hub-Signature-256": "sha256=" + "6d" * 32,
    }
    ledger.on_webhook("pull_request", payload, headers)
    assert str(ledger.tally.webhooks) == "100 % (1 of 1, 1 of them by a known deviation)"
    old = orjson.loads((ROOT / "tests/data/github/webhooks/35-push.none.json").read_bytes())
    ledger.on_webhook("push", old, headers | {"X-GitHub-Event": "push"})
    assert str(ledger.tally.webhooks) == "50 % (1 of 2, 1 of them by a known deviation)"


@pytest.mark.parametrize(
    ("query", "variables", "wrong"),
    [
        ('query($o: String!) { repository(owner: $o, name: "r") { id } }', {"o": "maya"}, False),
        ('query($o: String!) { repository(owner: $o, name: "r") { idd } }', {"o": "maya"}, True),
        ('query($o: String!) { repository(owner: $o, name: "r") { id } }', {}, True),
        ("query {", {}, True),
    ],
)
def test_graphql_requests(ledger: Ledger, query: str, variables: object, wrong: bool) -> None:
    """A GraphQL request is held to the schema: its fields, its arguments and its variables."""
    body = orjson.dumps({"query": query, "variables": variables})
    ledger.on_exchange(Request("POST", "/graphql", body), Response(200, b'{"data": {"repository": null}}'))
    assert bool(ledger.failures()) == wrong


def test_counts_of_processes_add_up(described: tuple[Descriptions, GraphqlDescription]) -> None:
    """What one process stored, another adds to its own."""
    one, other = Ledger(*described), Ledger(*described)
    one.on_exchange(REACT, REACTED)
    one.offers([("GET", "/zen")])
    other.on_exchange(REACT, Response(201, b"{}"))
    other.merge(one.stored())
    assert str(other.tally.answers) == "50 % (1 of 2)"
    assert other.tally.exercised == {"reactions/create-for-issue-comment": 2}
    assert other.never_validated() == ["meta/get-zen"]


@pytest.mark.parametrize(
    ("workers", "content", "code"),
    [((), "eyes", 0), ((), "cheese", 1), (("-n", "1"), "cheese", 1)],
    ids=["right", "wrong", "wrong in a worker"],
)
def test_plugin_fails_the_run(tmp_path: Path, workers: tuple[str, ...], content: str, code: int) -> None:
    """All tests pass, and yet the run fails when an exchange was wrong; in this process and in a worker."""
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent(
            f"""
            import pytest
            from tests.github.test_ledger import REACT, REACTION, Response
            import orjson

            @pytest.mark.parametrize("number", range(4))
            def test_react(github_ledger, number):
                reaction = REACTION | {{"content": "{content}"}}
                github_ledger.on_exchange(REACT, Response(201, orjson.dumps(reaction)))
            """
        )
    )
    ran = subprocess.run(
        (
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "tests.github.plugin",
            "--rootdir",
            tmp_path,
            *workers,
            tmp_path,
        ),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        # Only against one that never ends: starting Python thrice can take a minute beside other tests.
        timeout=300,
        check=False,
    )
    assert "4 passed" in ran.stdout
    assert ("answers valid: 100 % (4 of 4)" in ran.stdout) == (code == 0)
    assert ("FAILED answers: only 0 % (0 of 4) valid" in ran.stdout) == (code == 1)
    assert ran.returncode == code
