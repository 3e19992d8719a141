"""Reviews and comments on lines: behaviours 7 and 8."""

from __future__ import annotations

import pytest
from github import GithubException
from github.PullRequest import PullRequest

from demo.forge.actions import reviews
from demo.forge.seed import acting
from tests.forge.world import FILES, World, open_pull, with_line, write

CHANGED = with_line(with_line(FILES["calc.py"], 10, "ten"), 11, "eleven\nand a half")


@pytest.fixture
def pull(world: World, repository: str) -> PullRequest:
    """Maya's pull request, seen by cole: lines 10 and 11 of calc.py changed, one more added."""
    made = open_pull(world.client("maya").get_repo(repository), branch="fix", files={"calc.py": CHANGED})
    return world.client("cole").get_repo(repository).get_pull(made.number)


def test_a_review_with_comments_is_one_deed(world: World, repository: str, pull: PullRequest) -> None:
    """Body, verdict and comments arrive together; each comment knows its line, position and hunk."""
    pull.create_review(
        body="Two things.",
        event="REQUEST_CHANGES",
        comments=[
            {"path": "calc.py", "line": 10, "side": "RIGHT", "body": "why?"},
            {"path": "calc.py", "line": 12, "start_line": 10, "side": "RIGHT", "body": "all of it"},
            {"path": "calc.py", "line": 10, "side": "LEFT", "body": "this was right"},
        ],
    )

    comments = [
        (said.body, said.side, said.start_line, said.line, said.position)
        for said in pull.get_review_comments()
    ]
    told = world.wait_for("pull_request_review.submitted", repository)
    hooks = [h for h in world.webhooks(repository) if h.name == "pull_request_review_comment.created"]

    assert comments == [
        ("why?", "RIGHT", None, 10, 6),
        ("all of it", "RIGHT", 10, 12, 8),
        ("this was right", "LEFT", None, 10, 4),
    ]
    assert (told["review"]["state"], told["review"]["body"]) == ("changes_requested", "Two things.")
    assert len(hooks) == 3
    assert pull.get_review_comments()[0].diff_hunk.splitlines()[-1] == "+ten"


@pytest.mark.parametrize(
    ("comment", "sentence"),
    [
        ({"path": "calc.py", "line": 25, "body": "far away"}, "Line could not be resolved"),
        ({"path": "README.md", "line": 1, "body": "not changed"}, "Path could not be resolved"),
        (
            {"path": "calc.py", "line": 10, "start_line": 12, "body": "upside down"},
            "Line could not be resolved",
        ),
        ({"path": "calc.py", "line": 10, "start_line": 10, "body": "no range"}, "Line could not be resolved"),
    ],
)
def test_one_bad_anchor_refuses_the_whole_review(
    pull: PullRequest, comment: dict[str, object], sentence: str
) -> None:
    """Nothing of such a review is kept, its good comments neither."""
    good = {"path": "calc.py", "line": 10, "body": "good"}

    with pytest.raises(GithubException) as refused:
        pull.create_review(body="x", event="COMMENT", comments=[good, comment])  # type: ignore[list-item]

    assert refused.value.status == 422
    assert refused.value.data["errors"] == [sentence]
    assert list(pull.get_reviews()) == []
    assert list(pull.get_review_comments()) == []


def test_a_single_comment_outside_the_diff(world: World, repository: str, pull: PullRequest) -> None:
    """Its refusal is worded otherwise than a review's."""
    answer = world.http(
        "POST",
        f"/repos/{repository}/pulls/{pull.number}/comments",
        token=world.forge.tokens["cole"],
        json={"body": "x", "commit_id": pull.head.sha, "path": "calc.py", "line": 25, "side": "RIGHT"},
    )

    assert answer.status_code == 422
    assert answer.json()["errors"][0] == {
        "resource": "PullRequestReviewComment",
        "code": "custom",
        "field": "pull_request_review_thread.line",
        "message": "pull_request_review_thread.line must be part of the diff",
    }


def test_nobody_judges_their_own_work(world: World, repository: str, pull: PullRequest) -> None:
    """Maya may comment on her pull request, not approve it nor ask herself for changes."""
    mine = world.client("maya").get_repo(repository).get_pull(pull.number)

    refusals = []
    for event in ("APPROVE", "REQUEST_CHANGES"):
        with pytest.raises(GithubException) as refused:
            mine.create_review(body="x", event=event)
        refusals.append((refused.value.status, refused.value.data["errors"]))
    mine.create_review(body="x", event="COMMENT")

    assert refusals == [
        (422, ["Can not approve your own pull request"]),
        (422, ["Can not request changes on your own pull request"]),
    ]


def test_comments_move_with_their_lines_or_become_outdated(
    world: World, repository: str, pull: PullRequest
) -> None:
    """After a push: a moved line keeps its comment, a changed line loses it but `original_line` stays."""
    pull.create_review(
        body="x",
        event="COMMENT",
        comments=[
            {"path": "calc.py", "line": 10, "side": "RIGHT", "body": "stays"},
            {"path": "calc.py", "line": 12, "side": "RIGHT", "body": "goes"},
        ],
    )
    writer = world.client("maya").get_repo(repository)
    write(writer, branch="fix", files={"calc.py": "line 0\n" + CHANGED.replace("and a half\n", "")})

    comments = world.http("GET", f"/repos/{repository}/pulls/{pull.number}/comments").json()

    assert [(said["body"], said["line"], said["original_line"]) for said in comments] == [
        ("stays", 11, 10),
        ("goes", None, 12),
    ]
    assert [said["position"] is None for said in comments] == [False, True]
    assert comments[1]["diff_hunk"].splitlines()[-1] == "+and a half"


def test_replies_hang_on_the_first_comment(world: World, repository: str, pull: PullRequest) -> None:
    """A reply takes the thread's place and names its first comment; a reply to a reply is refused."""
    first = pull.create_review_comment("why?", pull.base.repo.get_commit(pull.head.sha), "calc.py", line=10)
    maya = world.client("maya").get_repo(repository).get_pull(pull.number)
    answer = maya.create_review_comment_reply(first.id, "because")

    assert (answer.in_reply_to_id, answer.path, answer.line) == (first.id, "calc.py", 10)
    with pytest.raises(GithubException) as refused:
        maya.create_review_comment_reply(answer.id, "really?")
    assert refused.value.status == 404


def test_a_comment_on_a_whole_file(pull: PullRequest) -> None:
    """For what no line of the diff can carry."""
    commit = pull.base.repo.get_commit(pull.head.sha)
    said = pull.create_review_comment("split this file", commit, "calc.py", subject_type="file")

    assert (said.subject_type, said.path, said.raw_data.get("line")) == ("file", "calc.py", None)


def test_a_pending_review_is_its_authors_secret(world: World, repository: str, pull: PullRequest) -> None:
    """Until it is submitted nobody else sees it, and there is only one."""
    token = world.forge.tokens["cole"]
    path = f"/repos/{repository}/pulls/{pull.number}/reviews"
    pending = world.http("POST", path, token=token, json={"body": "wait"}).json()
    again = world.http("POST", path, token=token, json={"body": "wait"})
    seen_by_maya = world.http("GET", path, token=world.forge.tokens["maya"]).json()
    sent = world.http("POST", f"{path}/{pending['id']}/events", token=token, json={"event": "APPROVE"})

    assert pending["state"] == "PENDING"
    assert again.json()["errors"] == ["User can only have one pending review per pull request"]
    assert seen_by_maya == []
    assert sent.json()["state"] == "APPROVED"


def test_a_verdict_can_be_dismissed(pull: PullRequest, world: World, repository: str) -> None:
    """A writer dismisses a review with a reason; the state tells."""
    review = pull.create_review(body="no", event="REQUEST_CHANGES")
    world.client("maya").get_repo(repository).get_pull(pull.number).get_review(review.id).dismiss("settled")

    assert pull.get_review(review.id).state == "DISMISSED"


def test_a_commit_that_is_not_the_pull_requests(world: World, repository: str, pull: PullRequest) -> None:
    """A review names a commit of the pull request or none."""
    answer = world.http(
        "POST",
        f"/repos/{repository}/pulls/{pull.number}/reviews",
        token=world.forge.tokens["cole"],
        json={"body": "x", "event": "COMMENT", "commit_id": pull.base.sha},
    )

    assert answer.status_code == 422
    assert answer.json()["errors"] == ["commit_id is not part of the pull request"]


def test_a_thread_is_resolved_and_opened_again(world: World, repository: str, pull: PullRequest) -> None:
    """The App hears of both, with the thread and its comments."""
    first = pull.create_review_comment("why?", pull.base.repo.get_commit(pull.head.sha), "calc.py", line=10)
    state = world.forge.state
    known = state.repository(*repository.split("/"))
    cole = state.user("cole")
    assert known is not None
    assert cole is not None
    issue = state.issue(known, pull.number)
    assert issue is not None
    for resolved in (True, False):
        reviews.resolve(acting(state, cole), issue, thread_id=first.id, resolved=resolved)

    threads = [
        hooked for hooked in world.webhooks(repository) if hooked.event == "pull_request_review_thread"
    ]
    assert sorted(hooked.name for hooked in threads) == [
        "pull_request_review_thread.resolved",
        "pull_request_review_thread.unresolved",
    ]
    assert [said["id"] for said in threads[0].payload["thread"]["comments"]] == [first.id]
