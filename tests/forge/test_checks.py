"""Check runs: behaviour 12, and the buttons under them."""

from __future__ import annotations

import pytest
from github import GithubException
from github.Repository import Repository

from demo.forge.actions import checks
from demo.forge.seed import acting
from demo.forge.state import CheckRun
from tests.forge.world import World, open_pull


@pytest.fixture
def bots(world: World, repository: str) -> Repository:
    """The repository as the App's installation token sees it."""
    return world.with_token(world.installation_token()).get_repo(repository)


def test_only_apps_make_check_runs(world: World, repository: str) -> None:
    """A person's token cannot, not even the owner's."""
    repo = world.client("maya").get_repo(repository)

    with pytest.raises(GithubException) as refused:
        repo.create_check_run("x", repo.get_branch("main").commit.sha)

    assert (refused.value.status, refused.value.message) == (403, "You must authenticate via a GitHub App.")


def test_a_run_from_queued_to_completed(world: World, repository: str, bots: Repository) -> None:
    """Created, worked on, concluded; it shows at its commit, in its suite and on its pull request."""
    pull = open_pull(world.client("cole").get_repo(repository), branch="fix", files={"new.py": "1\n"})
    run = bots.create_check_run("darner", pull.head.sha, status="queued", external_id="turn-1")
    run.edit(status="in_progress")
    run.edit(status="completed", conclusion="neutral", output={"title": "Done", "summary": "All of it."})

    listed = bots.get_commit(pull.head.sha).get_check_runs()
    suites = bots.get_commit(pull.head.sha).get_check_suites()
    told = world.wait_for("check_run.completed", repository)

    assert [(seen.name, seen.external_id, seen.conclusion) for seen in listed] == [
        ("darner", "turn-1", "neutral")
    ]
    assert [(suite.status, suite.conclusion, suite.head_branch) for suite in suites] == [
        ("completed", "neutral", "fix")
    ]
    assert [seen["number"] for seen in told["check_run"]["pull_requests"]] == [pull.number]
    assert bots.get_check_suite(suites[0].id).get_check_runs().totalCount == 1


def test_annotations_add_up_in_portions_of_fifty(bots: Repository) -> None:
    """51 at once are refused; twice 50 make 100."""
    run = bots.create_check_run("darner", bots.get_branch("main").commit.sha, status="in_progress")

    def output(count: int) -> dict[str, object]:
        notes = [
            {
                "path": "calc.py",
                "start_line": line,
                "end_line": line,
                "annotation_level": "warning",
                "message": f"line {line}",
            }
            for line in range(1, count + 1)
        ]
        return {"title": "Notes", "summary": "Many.", "annotations": notes}

    with pytest.raises(GithubException) as refused:
        run.edit(output=output(51))
    run.edit(output=output(50))
    run.edit(output=output(50))

    assert refused.value.status == 422
    assert refused.value.message == "Invalid request.\n\nNo more than 50 items are allowed; 51 were supplied."
    assert run.get_annotations().totalCount == 100
    assert run.get_annotations()[0].message == "line 1"


def test_the_rerun_button_tells_the_app(world: World, repository: str, bots: Repository) -> None:
    """Someone who may write asks for the run again; its App hears of it."""
    run = bots.create_check_run("darner", bots.get_branch("main").commit.sha, conclusion="failure")
    answer = world.http(
        "POST", f"/repos/{repository}/check-runs/{run.id}/rerequest", token=world.forge.tokens["cole"]
    )

    assert answer.status_code == 201
    assert world.wait_for("check_run.rerequested", repository)["check_run"]["id"] == run.id


def test_a_runs_own_button_tells_which_it_was(world: World, repository: str, bots: Repository) -> None:
    """A press of "Stop" reaches the App with the button's identifier."""
    stop = {"label": "Stop", "description": "Stop the turn", "identifier": "stop"}
    made = bots.create_check_run("darner", bots.get_branch("main").commit.sha, actions=[stop])
    state = world.forge.state
    run, cole = state.get(CheckRun, made.id), state.user("cole")
    assert cole is not None
    checks.request_action(acting(state, cole), run, identifier="stop")

    payload = world.wait_for("check_run.requested_action", repository)

    assert payload["requested_action"] == {"identifier": "stop"}
    assert (payload["check_run"]["id"], payload["sender"]["login"]) == (made.id, "cole")
    assert bots.get_check_run(made.id).status == "queued"


def test_a_run_belongs_to_a_commit(bots: Repository) -> None:
    """An unknown commit has no check runs."""
    with pytest.raises(GithubException) as refused:
        bots.create_check_run("darner", "f" * 40)

    assert (refused.value.status, refused.value.message) == (422, f"No commit found for SHA: {'f' * 40}")


@pytest.mark.parametrize(
    "actions",
    [
        [{"label": "Stop", "description": "Stop the turn", "identifier": "stop"}] * 4,
        [{"label": "L" * 21, "description": "d", "identifier": "i"}],
    ],
)
def test_buttons_are_few_and_short(bots: Repository, actions: list[dict[str, str]]) -> None:
    """At most three, with labels of at most twenty characters."""
    with pytest.raises(GithubException) as refused:
        bots.create_check_run("darner", bots.get_branch("main").commit.sha, actions=actions)

    assert refused.value.status == 422
