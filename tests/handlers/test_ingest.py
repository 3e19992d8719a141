"""Deliveries: only signed ones count, every real payload is understood, what cannot matter is set aside."""

import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers import reasons
from handlers.events import (
    Actor,
    ButtonPressed,
    CheckReported,
    Comment,
    CommentDeleted,
    ExternalEvent,
    IssueCommented,
    Pinged,
    PullChanged,
    Repository,
    ReviewCommented,
    Subject,
    SubjectClosed,
    SubjectOpened,
    ThreadSettled,
    Unhandled,
)
from handlers.ingest import BadPayload, parse, semantic_key, thread_of, triage, verify_signature
from tests.handlers.people import DARNER, DEPENDABOT, OCTOCAT, opened, reviewed, said

PAYLOADS: Final = Path(__file__).parents[1] / "data/github/webhooks"
INDEX: Final[list[dict[str, Any]]] = json.loads((PAYLOADS / "index.json").read_text())
ROBOT: Final = replace(DARNER, mention="robot", login="robot[bot]")


def signed(body: bytes, secret: str) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def payload(number: int) -> bytes:
    file: str = INDEX[number - 1]["file"]
    return (PAYLOADS / file).read_bytes()


def event_of(number: int) -> ExternalEvent:
    return parse(INDEX[number - 1]["event"], payload(number))


def test_githubs_own_test_vector_is_accepted() -> None:
    """https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation"""
    header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

    assert verify_signature(b"Hello, World!", header, ["It's a Secret to Everybody"])


def test_either_of_two_secrets_is_good_while_they_are_rotated() -> None:
    secrets = ["old", "new"]

    assert [
        verify_signature(b"{}", signed(b"{}", secret), secrets) for secret in ("old", "new", "other")
    ] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("header", [None, "", "sha256=", "sha1=abc", "757107ea", "sha256=ä", "SHA256=00"])
def test_a_missing_or_malformed_signature_is_refused(header: str | None) -> None:
    assert not verify_signature(b"{}", header, ["secret"])


@pytest.mark.parametrize("secrets", [[], [""]])
def test_without_a_secret_nothing_is_believed(secrets: list[str]) -> None:
    """An empty secret signs anything: it must not count as one."""
    assert not verify_signature(b"{}", signed(b"{}", ""), secrets)


@given(st.binary(max_size=200), st.text(min_size=1, max_size=20), st.binary(max_size=200))
def test_a_signature_holds_for_its_own_bytes_only(body: bytes, secret: str, other: bytes) -> None:
    header = signed(body, secret)

    assert verify_signature(body, header, [secret])
    assert verify_signature(other, header, [secret]) == (other == body)


@pytest.mark.parametrize("entry", INDEX, ids=[entry["file"] for entry in INDEX])
def test_every_payload_that_github_published_is_understood(entry: dict[str, Any]) -> None:
    """53 payloads, among them deleted accounts and forks, null bodies and members that schemas forgot."""
    event = parse(entry["event"], (PAYLOADS / entry["file"]).read_bytes())

    written = {
        ("issue_comment", "created"): IssueCommented,
        ("issue_comment", "edited"): IssueCommented,
        ("pull_request_review_comment", "created"): ReviewCommented,
        ("pull_request_review_comment", "edited"): ReviewCommented,
        ("issues", "opened"): SubjectOpened,
        ("issues", "edited"): SubjectOpened,
        ("pull_request", "opened"): SubjectOpened,
        ("pull_request", "edited"): SubjectOpened,
        ("issues", "deleted"): SubjectClosed,
        ("issues", "transferred"): SubjectClosed,
        ("pull_request", "closed"): SubjectClosed,
        ("pull_request", "synchronize"): PullChanged,
        ("pull_request", "ready_for_review"): PullChanged,
        ("pull_request", "converted_to_draft"): PullChanged,
        ("pull_request", "reopened"): PullChanged,
        ("pull_request", "labeled"): PullChanged,
        ("pull_request_review_thread", "resolved"): ThreadSettled,
        ("pull_request_review_thread", "unresolved"): ThreadSettled,
        ("issue_comment", "deleted"): CommentDeleted,
        ("check_run", "requested_action"): ButtonPressed,
        ("check_run", "rerequested"): ButtonPressed,
        ("check_run", "completed"): CheckReported,
        ("check_suite", "completed"): CheckReported,
        ("workflow_run", "completed"): CheckReported,
        ("status", None): CheckReported,
        ("ping", None): Pinged,
    }
    expected = written.get((entry["event"], entry["action"]), Unhandled)
    if entry["file"] == "10-issues.opened.json":
        expected = Unhandled  # it came in by a transfer: nobody wrote its text just now
    assert type(event) is expected


def test_a_comment_becomes_a_fact() -> None:
    author = Actor(21031067, "Codertocat", "User")

    assert event_of(53) == IssueCommented(
        repository=Repository(186853002, "Codertocat/Hello-World", "master", private=False),
        actor=author,
        installation_id=None,
        subject=Subject(
            number=1,
            is_pull=False,
            title="Spelling error in the README file",
            body="It looks like you accidently spelled 'commit' with two 't's.",
            author=author,
            url="https://github.com/Codertocat/Hello-World/issues/1",
            is_open=True,
        ),
        comment=Comment(
            id=492700400,
            body=json.loads(payload(53))["comment"]["body"],
            author=author,
            url="https://github.com/Codertocat/Hello-World/issues/1#issuecomment-492700400",
            created_at="2019-05-15T15:20:21Z",
            updated_at="2019-05-15T15:20:22Z",
        ),
        edited_from="please fix",
    )


def test_a_review_comment_knows_where_it_stands_and_where_answers_go() -> None:
    event = event_of(49)

    assert isinstance(event, ReviewCommented)
    assert (event.path, event.line, event.thread_root, event.subject.is_pull) == (
        "README.md",
        265,
        284312630,
        True,
    )


def test_a_deleted_author_is_no_obstacle() -> None:
    event = event_of(48)

    assert isinstance(event, IssueCommented)
    assert event.comment.author is None


def test_what_nobody_handles_still_says_what_it_was() -> None:
    synchronize = json.loads(payload(50))

    event = parse("pull_request", json.dumps({**synchronize, "action": "locked"}).encode())

    assert isinstance(event, Unhandled)
    assert (event.event, event.action, event.number) == ("pull_request", "locked", 4418)


def test_a_push_to_a_pull_request_is_a_fact() -> None:
    """Also where the fork that it came from was deleted since."""
    event = event_of(50)

    assert isinstance(event, PullChanged)
    assert (event.action, event.subject.number, event.subject.is_pull) == ("pushed", 4418, True)
    assert len(event.head_sha) == 40


@pytest.mark.parametrize(
    ("event", "body", "reason"),
    [
        ("issue_comment", b"{", "not JSON"),
        ("issue_comment", b"\xff\xfe", "not JSON"),
        ("issue_comment", b"[]", "a JSON list, not an object"),
        ("issue_comment", b'{"action": "created"}', "Field required"),
        ("issues", b'{"action": "opened", "repository": {"id": "x"}}', "repository.id"),
        ("push", b'{"repository": 3}', "repository"),
        ("issue_comment", b"[" * 100_000, "not JSON"),
        ("issue_comment", b'{"action": "\\ud800"}', "not JSON"),
    ],
)
def test_a_body_that_is_no_payload_says_why(event: str, body: bytes, reason: str) -> None:
    with pytest.raises(BadPayload) as caught:
        parse(event, body)

    assert reason in str(caught.value)


@given(
    st.sampled_from([entry["event"] for entry in INDEX]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["action", "issue", "comment", "repository", "sender", "id", "number", "changes"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
)
def test_any_json_is_an_event_or_a_bad_payload(event: str, data: object) -> None:
    """Whatever comes in, the answer is a fact or a reason, never a crash."""
    try:
        parse(event, json.dumps(data).encode())
    except BadPayload as error:
        reason = str(error)
    else:
        return
    assert reason


def test_two_hooks_telling_of_one_act_have_one_key() -> None:
    """An App's hook and a repository's hook differ in the installation alone."""
    by_app = said("@darner fix it")
    by_repository = replace(by_app, installation_id=None)

    assert semantic_key(by_app) == semantic_key(by_repository)
    assert semantic_key(by_app)


def test_different_acts_have_different_keys() -> None:
    first = said("@darner fix it")
    acts: list[ExternalEvent] = [
        first,
        replace(first, edited_from="fix it"),
        said("@darner fix that", edited_from="fix it"),
        replace(first, comment=replace(first.comment, updated_at="2026-11-22T12:00:01Z")),
        replace(first, comment=replace(first.comment, id=56)),
        opened("@darner fix it"),
        reviewed("@darner fix it"),
    ]

    assert len({semantic_key(act) for act in acts}) == len(acts)


def test_what_is_over_is_known_by_who_ended_it_and_when() -> None:
    """Real payloads of issues that were deleted and moved, of a pull request and a comment."""
    deleted, moved, closed = event_of(13), event_of(14), event_of(17)
    taken_back = event_of(4)

    assert isinstance(deleted, SubjectClosed)
    assert (deleted.way, deleted.at, deleted.actor.login) == ("deleted", "", "Codertocat")
    assert isinstance(moved, SubjectClosed)
    assert moved.way == "transferred"
    assert isinstance(closed, SubjectClosed)
    assert (closed.way, closed.at, closed.subject.is_pull) == ("closed", "2019-05-15T15:21:18Z", True)
    assert isinstance(taken_back, CommentDeleted)
    assert thread_of(taken_back) == (taken_back.repository.id, 1)
    assert semantic_key(taken_back) != semantic_key(closed)
    assert [triage(event, DARNER) for event in (deleted, moved, closed, taken_back)] == [None] * 4


def test_a_thread_is_a_repository_and_a_number() -> None:
    assert [thread_of(event) for event in (said("x"), opened("x"), reviewed("x"), Pinged(zen=""))] == [
        (42, 7),
        (42, 7),
        (42, 8),
        None,
    ]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (Pinged(zen="x"), reasons.PINGED),
        (parse("push", payload(34)), reasons.UNHANDLED),
        (said("@darner fix it", by=Actor(99, "renamed", "Bot")), reasons.OWN_EVENT),
        (said("@darner fix it", by=DEPENDABOT), reasons.BOT_NOT_LISTED),
        (said("thanks, darner"), reasons.NO_MENTION),
        (said(""), reasons.NO_MENTION),
        (said("@darner fix it well", edited_from="@darner fix it"), reasons.MENTION_NOT_NEW),
        (said("@darner fix it", edited_from="please fix it"), None),
        (said("@darner fix it"), None),
        (opened("@darner fix it"), None),
        (reviewed("@darner fix it"), None),
    ],
)
def test_what_cannot_matter_is_set_aside_with_its_reason(event: Any, reason: str | None) -> None:
    ignored = triage(event, DARNER)

    assert (None if ignored is None else ignored.reason) == reason


def test_an_edit_of_the_title_does_not_ask_again() -> None:
    """GitHub sends `edited` for titles and base branches too; the text is the same then."""
    raw = json.loads(payload(7))
    raw["issue"]["body"] = "@darner fix it"
    raw["changes"] = {"title": {"from": "Old title"}}

    ignored = triage(parse("issues", json.dumps(raw).encode()), DARNER)

    assert ignored is not None
    assert ignored.reason == reasons.MENTION_NOT_NEW


def test_a_mention_added_by_an_edit_counts() -> None:
    event = parse("issue_comment", payload(53))

    assert triage(event, ROBOT) is None


def test_a_bot_is_heard_when_the_operator_lists_its_id() -> None:
    trusting = replace(DARNER, allowed_bots=frozenset({DEPENDABOT.id}))

    assert triage(said("@darner fix it", by=DEPENDABOT), trusting) is None


def test_before_the_forge_has_told_who_it_is_the_bot_goes_by_its_login() -> None:
    unsure = replace(DARNER, id=None)

    ignored = triage(said("@darner hi", by=Actor(5, "Darner[bot]", "Bot")), unsure)

    assert ignored is not None
    assert ignored.reason == reasons.OWN_EVENT
    assert triage(said("@darner hi", by=OCTOCAT), unsure) is None
