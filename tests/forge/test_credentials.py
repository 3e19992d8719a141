"""Whose token may do what: behaviours 1, 2 and 3 of the forge's contract, and what everyone may see."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from github import GithubException, UnknownObjectException

from tests.forge.world import World


def test_an_unknown_token_is_refused_even_where_nobody_needs_one(world: World, repository: str) -> None:
    """A wrong token is worse than none: 401 on a public repository that anonymous readers get."""
    anonymous = world.http("GET", f"/repos/{repository}")
    wrong = world.http("GET", f"/repos/{repository}", token="ghp_wrong")

    assert anonymous.status_code == 200
    assert (wrong.status_code, wrong.json()["message"]) == (401, "Bad credentials")


def test_a_token_ends_with_its_hour(world: World, repository: str) -> None:
    """An installation token older than an hour is as good as none."""
    token = world.installation_token()
    state = world.forge.state
    before = world.http("GET", f"/repos/{repository}", token=token).status_code
    clock = state.clock
    state.clock = lambda: clock() + timedelta(hours=1, seconds=1)
    try:
        after = world.http("GET", f"/repos/{repository}", token=token)
    finally:
        state.clock = clock

    assert before == 200
    assert (after.status_code, after.json()["message"]) == (401, "Bad credentials")


def test_a_revoked_token_is_unknown(world: World, repository: str) -> None:
    """`DELETE /installation/token` ends the token that asks for it."""
    token = world.installation_token()

    assert world.http("DELETE", "/installation/token", token=token).status_code == 204
    assert world.http("GET", f"/repos/{repository}", token=token).status_code == 401


def test_what_was_not_granted_does_not_exist(world: World, repository: str, tmp_path: Path) -> None:
    """A private repository outside the token's choice is 404, not 403."""
    private = world.create("private", scratch=tmp_path, private=True)
    token = world.installation_token({"repositories": [repository.split("/")[1]]})

    assert world.http("GET", f"/repos/{repository}", token=token).status_code == 200
    assert world.http("GET", f"/repos/{private}", token=token).json() == {
        "message": "Not Found",
        "documentation_url": "https://docs.github.com/rest",
        "status": "404",
    }


def test_a_lacking_permission_is_named(world: World, repository: str) -> None:
    """Granted the repository but not the permission: 403, and a header that says which one."""
    token = world.installation_token({"permissions": {"issues": "read"}})

    refused = world.http("POST", f"/repos/{repository}/issues", token=token, json={"title": "x"})

    assert refused.status_code == 403
    assert refused.json()["message"] == "Resource not accessible by integration"
    assert refused.headers["x-accepted-github-permissions"] == "issues=write"


def test_either_permission_opens_a_conversation(world: World, repository: str) -> None:
    """Comments on an issue need issues: write; the header offers both alternatives."""
    world.client("maya").get_repo(repository).create_issue("x")
    writer = world.installation_token({"permissions": {"issues": "write"}})
    reader = world.installation_token({"permissions": {"contents": "write"}})
    path = f"/repos/{repository}/issues/1/comments"

    assert world.http("POST", path, token=writer, json={"body": "hello"}).status_code == 201
    refused = world.http("POST", path, token=reader, json={"body": "hello"})
    assert refused.status_code == 403
    assert refused.headers["x-accepted-github-permissions"] == "issues=write; pull_requests=write"


@pytest.mark.parametrize("asked", [None, {}, {"permissions": {}}])
def test_asking_for_nothing_gives_everything(world: World, asked: dict[str, object] | None) -> None:
    """Absent or empty permissions mean all that the installation has."""
    answer = world.mint(asked).json()

    assert answer["permissions"] == world.forge.seeded.installation.permissions
    assert answer["repository_selection"] == "all"


def test_more_than_was_granted_is_refused(world: World) -> None:
    """A token cannot be wider than its installation."""
    answer = world.mint({"permissions": {"administration": "write"}})

    assert answer.status_code == 422
    assert answer.json()["message"] == "The permissions requested are not granted to this installation."


def test_a_token_names_the_repositories_it_is_for(world: World, repository: str) -> None:
    """Narrowed to one repository, it lists that one and no other."""
    name = repository.split("/")[1]
    answer = world.mint({"repositories": [name], "permissions": {"contents": "write"}}).json()

    assert [repo["full_name"] for repo in answer["repositories"]] == [repository]
    assert answer["permissions"] == {"contents": "write", "metadata": "read"}
    listed = world.http("GET", "/installation/repositories", token=answer["token"]).json()
    assert [repo["full_name"] for repo in listed["repositories"]] == [repository]


def test_an_app_is_known_by_its_signature(world: World, repository: str) -> None:
    """PyGithub's own App authentication works from JWT to installation token."""
    integration = world.integration()
    try:
        installation = integration.get_repo_installation(*repository.split("/"))
        app = integration.get_app()
        token = integration.get_access_token(installation.id)
    finally:
        integration.close()

    assert (app.slug, app.name) == ("darner", "Darner")
    assert token.permissions["contents"] == "write"


def test_a_private_repository_is_hidden_from_outsiders(world: World, tmp_path: Path) -> None:
    """Oskar gets 404 where maya gets the repository."""
    private = world.create("secret-plans", scratch=tmp_path, private=True)

    assert world.client("maya").get_repo(private).private
    with pytest.raises(UnknownObjectException):
        world.client("oskar").get_repo(private)


def test_the_permission_api_tells_roles(world: World, repository: str) -> None:
    """`role_name` is exact; `permission` folds triage into read; everyone reads what is public."""
    repo = world.client("darner[bot]").get_repo(repository)

    told = {
        login: (repo.get_collaborator_permission(login), repo.get_collaborator_role_name(login))
        for login in ("maya", "cole", "tess", "oskar")
    }

    assert told == {
        "maya": ("admin", "admin"),
        "cole": ("write", "write"),
        "tess": ("read", "triage"),
        "oskar": ("read", "read"),
    }


def test_an_outsider_may_not_edit_what_others_wrote(world: World, repository: str) -> None:
    """Users are held to their role: 403 in GitHub's words."""
    issue = world.client("maya").get_repo(repository).create_issue("Mine", body="hands off")

    with pytest.raises(GithubException) as refused:
        world.client("oskar").get_repo(repository).get_issue(issue.number).edit(title="Yours")

    assert refused.value.status == 403
    assert refused.value.message == "Must have admin rights to Repository."
