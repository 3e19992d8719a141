"""Issues, comments, labels and reactions: behaviours 4, 10, 15 and 18, and the webhooks they send."""

from __future__ import annotations

import re

import pytest
from github import GithubException

from tests.forge.world import World, open_pull

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def test_issues_and_pull_requests_share_their_numbers(world: World, repository: str) -> None:
    """A pull request is also an issue, told apart by `pull_request`."""
    repo = world.client("cole").get_repo(repository)
    first = repo.create_issue("One")
    second = open_pull(repo, branch="two", files={"calc.py": "2\n"})
    third = repo.create_issue("Three")

    listed = list(repo.get_issues(direction="asc"))

    assert [first.number, second.number, third.number] == [1, 2, 3]
    assert [(issue.number, issue.pull_request is not None) for issue in listed] == [
        (1, False),
        (2, True),
        (3, False),
    ]


def test_a_mention_reaches_the_app(world: World, repository: str) -> None:
    """A comment by anyone is told to the App: who, what, where, through which installation."""
    issue = world.client("maya").get_repo(repository).create_issue("It fails", body="See the log.")
    comment = world.client("oskar").get_repo(repository).get_issue(issue.number).create_comment("@darner fix")

    payload = world.wait_for("issue_comment.created", repository)

    assert payload["comment"]["id"] == comment.id
    assert payload["comment"]["body"] == "@darner fix"
    assert payload["comment"]["author_association"] == "NONE"
    assert payload["sender"]["login"] == "oskar"
    assert payload["issue"]["number"] == issue.number
    assert payload["installation"]["id"] == world.forge.seeded.installation.id


def test_the_bots_own_deeds_come_back_to_it(world: World, repository: str) -> None:
    """GitHub does not spare an App its own events: the bot must know itself by its id."""
    token = world.installation_token()
    issue = world.client("maya").get_repo(repository).create_issue("It fails")
    world.with_token(token).get_repo(repository).get_issue(issue.number).create_comment("On it.")

    payload = world.wait_for("issue_comment.created", repository)

    assert (payload["sender"]["login"], payload["sender"]["type"]) == ("darner[bot]", "Bot")
    assert payload["comment"]["performed_via_github_app"]["slug"] == "darner"


def test_an_edit_says_what_was_there_before(world: World, repository: str) -> None:
    """Edits carry the old text, deletions the text that is gone."""
    comment = world.client("maya").get_repo(repository).create_issue("x").create_comment("befor")
    comment.edit("before")
    edited = world.wait_for("issue_comment.edited", repository)
    comment.delete()
    deleted = world.wait_for("issue_comment.deleted", repository)

    assert edited["changes"] == {"body": {"from": "befor"}}
    assert edited["comment"]["body"] == "before"
    assert deleted["comment"]["body"] == "before"
    assert list(world.client("maya").get_repo(repository).get_issue(1).get_comments()) == []


def test_the_life_of_an_issue_is_told(world: World, repository: str) -> None:
    """Opened, labelled, edited, closed, reopened: each is one event."""
    issue = world.client("maya").get_repo(repository).create_issue("x", labels=["bug"])
    issue.edit(title="y", body="why")
    issue.edit(state="closed", state_reason="not_planned")
    issue.edit(state="open")
    issue.remove_from_labels("bug")

    names = [hooked.name for hooked in world.webhooks(repository)]

    assert sorted(names) == [
        "issues.closed",
        "issues.edited",
        "issues.labeled",
        "issues.opened",
        "issues.reopened",
        "issues.unlabeled",
    ]
    closed = next(hooked for hooked in world.webhooks(repository) if hooked.name == "issues.closed")
    assert closed.payload["issue"]["state_reason"] == "not_planned"


def test_longer_than_a_comment_can_be(world: World, repository: str) -> None:
    """65,536 characters are taken, one more is refused."""
    issue = world.client("maya").get_repo(repository).create_issue("x")
    issue.create_comment("a" * 65_536)

    with pytest.raises(GithubException) as refused:
        issue.create_comment("a" * 65_537)

    assert refused.value.status == 422
    assert refused.value.data["errors"] == [
        {
            "resource": "IssueComment",
            "code": "custom",
            "field": "body",
            "message": "body is too long (maximum is 65536 characters)",
        }
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"body": " "}, "Validation Failed"),
        ({}, 'Invalid request.\n\n"body" wasn\'t supplied.'),
        ({"body": 3}, "Invalid request.\n\nFor 'properties/body', 3 is not a string."),
    ],
)
def test_a_comment_that_says_nothing(
    world: World, repository: str, body: dict[str, object], message: str
) -> None:
    """Blank, missing and mistyped bodies are three different mistakes."""
    world.client("maya").get_repo(repository).create_issue("x")

    answer = world.http(
        "POST", f"/repos/{repository}/issues/1/comments", token=world.forge.tokens["maya"], json=body
    )

    assert (answer.status_code, answer.json()["message"]) == (422, message)


def test_outsiders_labels_are_dropped_in_silence(world: World, repository: str) -> None:
    """Without triage rights an issue is made, but not labelled or assigned."""
    issue = world.client("oskar").get_repo(repository).create_issue("x", labels=["bug"], assignees=["cole"])

    assert (issue.labels, issue.assignees) == ([], [])


def test_one_reaction_a_person(world: World, repository: str) -> None:
    """The first is 201, the same again 200 with the same id; taking it back needs that id."""
    comment = world.client("maya").get_repo(repository).create_issue("x").create_comment("hi")
    path = f"/repos/{repository}/issues/comments/{comment.id}/reactions"
    token = world.forge.tokens["cole"]

    first = world.http("POST", path, token=token, json={"content": "eyes"})
    second = world.http("POST", path, token=token, json={"content": "eyes"})
    shown = world.client("maya").get_repo(repository).get_issue(1).get_comment(comment.id).reactions
    gone = world.http("DELETE", f"{path}/{first.json()['id']}", token=token)

    assert (first.status_code, second.status_code, gone.status_code) == (201, 200, 204)
    assert first.json() == second.json()
    assert (shown["eyes"], shown["total_count"]) == (1, 1)
    assert world.http("GET", path).json() == []


def test_an_unknown_reaction_is_refused(world: World, repository: str) -> None:
    """Eight reactions exist, and a thumb is spelt +1."""
    world.client("maya").get_repo(repository).create_issue("x")

    answer = world.http(
        "POST",
        f"/repos/{repository}/issues/1/reactions",
        token=world.forge.tokens["maya"],
        json={"content": "thumbsup"},
    )

    assert answer.status_code == 422


def test_times_are_whole_seconds_in_utc(world: World, repository: str) -> None:
    """No timestamp carries a fraction or another zone."""
    issue = world.client("maya").get_repo(repository).create_issue("x")
    comment = issue.create_comment("y").raw_data

    stamps = [
        value
        for shape in (issue.raw_data, comment)
        for name, value in shape.items()
        if name.endswith("_at") and value is not None
    ]

    assert len(stamps) == 4
    assert all(TIMESTAMP.fullmatch(stamp) for stamp in stamps)


def test_only_writers_speak_where_it_is_locked(world: World, repository: str) -> None:
    """A locked conversation is closed to outsiders and open to those who write."""
    issue = world.client("maya").get_repo(repository).create_issue("x")
    issue.lock("resolved")

    with pytest.raises(GithubException) as refused:
        world.client("oskar").get_repo(repository).get_issue(1).create_comment("But!")
    world.client("cole").get_repo(repository).get_issue(1).create_comment("Indeed.")

    issue.unlock()
    world.client("oskar").get_repo(repository).get_issue(1).create_comment("Thanks.")

    assert refused.value.status == 403
    assert [comment.body for comment in issue.get_comments()] == ["Indeed.", "Thanks."]


def test_the_timeline_tells_it_in_order(world: World, repository: str) -> None:
    """Comments and events of one issue, as they happened."""
    issue = world.client("maya").get_repo(repository).create_issue("x")
    issue.create_comment("first")
    issue.add_to_labels("bug")
    issue.add_to_assignees("cole")
    issue.edit(title="better")
    issue.edit(state="closed")

    assert [event.event for event in issue.get_timeline()] == [
        "commented",
        "labeled",
        "assigned",
        "renamed",
        "closed",
    ]
