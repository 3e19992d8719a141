"""The rest of the operations, each called as PyGithub calls it, and the tables held to GitHub's facts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from github import Auth, GithubException
from github.AuthenticatedUser import AuthenticatedUser

from demo.forge.rest import OPERATIONS
from demo.forge.rest.accepted import ACCEPTED
from tests.forge.world import FILES, World, open_pull, running_world, with_line, write
from tests.github.ledger import Ledger

DATA = Path(__file__).parent.parent / "data" / "github"


def test_operations_are_githubs_own() -> None:
    """Ids, methods and paths are those of the official description."""
    described = {
        operation["operationId"]: (method.upper(), path)
        for path, methods in json.loads((DATA / "openapi.trimmed.json").read_text())["paths"].items()
        for method, operation in methods.items()
        if isinstance(operation, dict) and "operationId" in operation
    }

    ours = {operation.id: (operation.method, operation.path) for operation in OPERATIONS}

    assert len(ours) == len(OPERATIONS)
    assert ours == {name: described[name] for name in ours}


def test_permissions_are_githubs_own() -> None:
    """What each operation asks of a token is what the compiled facts say; none is without an entry."""
    facts = json.loads((DATA / "permissions.json").read_text())

    def written(needs: str | list[dict[str, str]]) -> str:
        if isinstance(needs, str):
            return f"@{needs}"
        return "; ".join(
            ", ".join(f"{name}={level}" for name, level in alternative.items()) for alternative in needs
        )

    assert {operation.id for operation in OPERATIONS} - ACCEPTED.keys() == set()
    assert dict(ACCEPTED) == {name: written(facts[name]["needs"]) for name in ACCEPTED}


def test_looking_around_a_repository(world: World, repository: str) -> None:
    """People, branches, commits, trees, files, comparisons: reads that a bot or a person makes."""
    repo = world.client("maya").get_repo(repository)
    pull = open_pull(repo, branch="fix", files={"calc.py": with_line(FILES["calc.py"], 3, "three")})
    comparison = repo.compare("main", "fix")
    readme = repo.get_readme()
    root = repo.get_contents("")
    tree = repo.get_git_tree("main", recursive=True)

    assert sorted(user.login for user in repo.get_collaborators()) == ["cole", "darner[bot]", "maya", "tess"]
    assert repo.has_in_collaborators("cole")
    assert not repo.has_in_collaborators("oskar")
    assert sorted(branch.name for branch in repo.get_branches()) == ["fix", "main"]
    assert (comparison.status, comparison.ahead_by, comparison.behind_by) == ("ahead", 1, 0)
    assert readme.decoded_content.decode() == FILES["README.md"]
    assert isinstance(root, list)
    assert [(entry.name, entry.type) for entry in root] == [
        ("README.md", "file"),
        ("calc.py", "file"),
        ("docs", "dir"),
    ]
    assert [entry.path for entry in tree.tree] == ["README.md", "calc.py", "docs", "docs/guide.md"]
    assert [ref.ref for ref in repo.get_git_matching_refs("heads/")] == ["refs/heads/fix", "refs/heads/main"]
    assert [found.number for found in repo.get_commit(pull.head.sha).get_pulls()] == [pull.number]
    assert repo.get_git_commit(pull.head.sha).tree.sha == repo.get_commit(pull.head.sha).commit.tree.sha
    assert world.client("maya").get_user("oskar").name == "Oskar Brandt"
    assert world.client("oskar").get_user().login == "oskar"


def test_labels_of_a_repository(world: World, repository: str) -> None:
    """Made, changed, put on, taken off, deleted."""
    repo = world.client("maya").get_repo(repository)
    label = repo.create_label("darner", "0e8a16", "for the bot")
    issue = repo.create_issue("x")
    issue.set_labels("darner", "bug")
    label.edit("robot", "0e8a17")

    assert sorted(known.name for known in issue.get_labels()) == ["bug", "robot"]
    assert repo.get_label("robot").color == "0e8a17"
    repo.get_label("robot").delete()
    assert [known.name for known in issue.get_labels()] == ["bug"]
    issue.delete_labels()
    assert list(issue.get_labels()) == []
    with pytest.raises(GithubException) as refused:
        repo.create_label("bad", "nocolor")
    assert refused.value.data["errors"] == [{"resource": "Label", "code": "invalid", "field": "color"}]
    assert "bug" in {known.name for known in repo.get_labels()}


def test_conversations_as_lists(world: World, repository: str) -> None:
    """All comments, all review comments, assignees, events, reactions of a repository or issue."""
    repo = world.client("cole").get_repo(repository)
    maya = world.client("maya").get_repo(repository)
    pull = open_pull(maya, branch="fix", files={"calc.py": with_line(FILES["calc.py"], 3, "three")})
    issue = repo.get_issue(pull.number)
    issue.create_comment("hello")
    issue.add_to_assignees("cole", "tess")
    issue.remove_from_assignees("tess")
    issue.create_reaction("rocket")
    seen = repo.get_pull(pull.number)
    said = seen.create_review_comment("why?", repo.get_commit(pull.head.sha), "calc.py", line=3)
    said.edit("why three?")
    reaction = said.create_reaction("eyes")

    assert [comment.body for comment in repo.get_issues_comments()] == ["hello"]
    assert [comment.body for comment in repo.get_pulls_review_comments()] == ["why three?"]
    assert [user.login for user in repo.get_issue(pull.number).assignees] == ["cole"]
    assert [event.event for event in issue.get_events()] == ["assigned", "assigned", "unassigned"]
    assert [given.content for given in issue.get_reactions()] == ["rocket"]
    assert [given.content for given in said.get_reactions()] == ["eyes"]
    review = seen.get_reviews()[0]
    assert [one.id for one in seen.get_single_review_comments(review.id)] == [said.id]
    assert seen.get_review_comment(said.id).body == "why three?"
    assert said.delete_reaction(reaction.id)
    issue.delete_reaction(issue.get_reactions()[0].id)
    said.delete()
    assert list(seen.get_review_comments()) == []


def test_a_review_taken_back(world: World, repository: str) -> None:
    """A pending review can be deleted, a sent one edited."""
    pull = open_pull(world.client("maya").get_repo(repository), branch="fix", files={"new.py": "1\n"})
    seen = world.client("cole").get_repo(repository).get_pull(pull.number)
    pending = seen.create_review(body="wait")
    pending.delete()
    sent = seen.create_review(body="godo", event="COMMENT")
    sent.edit("good")

    assert [review.body for review in seen.get_reviews()] == ["good"]


def test_reviewers_merges_and_branches(world: World, repository: str) -> None:
    """Who is asked, whether it is merged, and bringing a branch up to date."""
    repo = world.client("maya").get_repo(repository)
    pull = open_pull(repo, branch="fix", files={"new.py": "1\n"})
    write(repo, branch="main", files={"other.py": "2\n"})
    pull.create_review_request(reviewers=["cole"])
    users, teams = pull.get_review_requests()
    pull.update_branch()
    updated = repo.get_pull(pull.number)

    assert ([user.login for user in users], list(teams)) == (["cole"], [])
    assert len(repo.get_commit(updated.head.sha).parents) == 2
    assert not updated.is_merged()
    pull.delete_review_request(reviewers=["cole"])
    updated.merge()
    assert repo.get_pull(pull.number).is_merged()


def test_files_and_refs_through_the_api(world: World, repository: str) -> None:
    """Written, deleted, moved; a stale blob is a conflict and a rewind needs force."""
    repo = world.client("maya").get_repo(repository)
    first = repo.get_branch("main").commit.sha
    made = repo.create_file("x.txt", "Add x", "1", branch="main")
    content = made["content"]
    with pytest.raises(GithubException) as stale:
        repo.update_file("x.txt", "Change x", "2", "f" * 40, branch="main")
    repo.delete_file("x.txt", "Remove x", content.sha, branch="main")
    messages = [commit.commit.message for commit in repo.get_commits()]
    ref = repo.get_git_ref("heads/main")
    with pytest.raises(GithubException) as rewind:
        ref.edit(first)
    ref.edit(first, force=True)

    assert stale.value.status == 409
    assert (rewind.value.status, rewind.value.message) == (422, "Update is not a fast forward")
    assert messages == ["Remove x", "Add x", "Initial commit"]
    assert repo.get_branch("main").commit.sha == first


def test_repositories_and_their_people(world: World, repository: str) -> None:
    """Made, shared, hooked, listed, deleted by their owner."""
    maya = world.client("maya")
    user = maya.get_user()
    assert isinstance(user, AuthenticatedUser)
    made = user.create_repo("scratch", description="to try")
    made.add_to_collaborators("oskar", "push")
    hook = made.create_hook(
        "web", {"url": "http://127.0.0.1:9/", "secret": "s", "content_type": "json"}, events=["push"]
    )
    fork = world.client("oskar").get_repo(repository).create_fork()

    hook.ping()

    assert made.get_collaborator_role_name("oskar") == "write"
    assert made.get_hook(hook.id).active
    assert [delivery.event for delivery in made.get_hook_deliveries(hook.id)] == ["ping", "ping"]
    assert [copy.full_name for copy in maya.get_repo(repository).get_forks()] == [fork.full_name]
    assert "maya/scratch" in {repo.full_name for repo in user.get_repos()}
    made.edit(description="tried", private=True)
    assert (made.description, made.private) == ("tried", True)
    made.delete()
    with pytest.raises(GithubException) as gone:
        maya.get_repo("maya/scratch")
    assert gone.value.status == 404


def test_a_repositorys_deliveries(world: World, repository: str) -> None:
    """The log of its own hook: one delivery in full, and sent again."""
    repo, token = world.client("maya").get_repo(repository), world.forge.tokens["maya"]
    hook = repo.create_hook("web", {"url": world.receiver.url, "secret": "s"}, events=["issues"])
    world.webhooks()
    path = f"/repos/{repository}/hooks/{hook.id}/deliveries"
    newest = world.http("GET", path, token=token).json()[0]
    detail = world.http("GET", f"{path}/{newest['id']}", token=token).json()
    again = world.http("POST", f"{path}/{newest['id']}/attempts", token=token)
    world.webhooks()

    assert (detail["event"], detail["request"]["payload"]["hook_id"]) == ("ping", hook.id)
    assert again.status_code == 202
    log = world.http("GET", path, token=token).json()
    assert [(one["guid"], one["redelivery"]) for one in log] == [
        (newest["guid"], True),
        (newest["guid"], False),
    ]


def test_an_app_taken_away(tmp_path: Path, ledger: Ledger) -> None:
    """Its hook can move; without its installation its tokens are worth nothing."""
    home = tmp_path / "home"
    with running_world(home, on_exchange=[ledger.on_exchange], on_webhook=[ledger.on_webhook]) as world:
        app, installation = world.forge.seeded.app, world.forge.seeded.installation
        jwt = Auth.AppAuth(app.id, app.private_key).create_jwt()
        token = world.installation_token()
        moved = world.http("PATCH", "/app/hook/config", token=jwt, json={"url": "http://127.0.0.1:9/x"})
        world.http("PATCH", "/app/hook/config", token=jwt, json={"url": world.receiver.url})
        gone = world.http("DELETE", f"/app/installations/{installation.id}", token=jwt)

        assert moved.json()["url"] == "http://127.0.0.1:9/x"
        assert gone.status_code == 204
        assert world.http("GET", "/installation/repositories", token=token).status_code == 401
        assert world.http("GET", f"/app/installations/{installation.id}", token=jwt).status_code == 404
        assert "installation.deleted" in {hooked.name for hooked in world.webhooks()}


def test_what_an_app_sees_of_itself(world: World, repository: str) -> None:
    """Its installations, its hook, its page, and the API's own facts."""
    forge = world.forge
    jwt = Auth.AppAuth(forge.seeded.app.id, forge.seeded.app.private_key).create_jwt()
    installation = forge.seeded.installation.id

    def get(path: str) -> object:
        answer = world.http("GET", path, token=jwt)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    listed = get("/app/installations")
    assert isinstance(listed, list)
    assert [one["id"] for one in listed] == [installation]
    assert get(f"/app/installations/{installation}") == listed[0]
    assert get(f"/repos/{repository}/installation") == get("/users/maya/installation")
    assert get("/app/hook/config") == {
        "content_type": "json",
        "insecure_ssl": "0",
        "secret": "********",
        "url": world.receiver.url,
    }
    assert world.http("GET", "/apps/darner").json()["slug"] == "darner"
    assert world.http("GET", "/").json()["current_user_url"] == f"{forge.api_url}/user"
    assert world.http("GET", "/meta").status_code == 200
    assert world.http("GET", "/rate_limit").json()["rate"]["limit"] == 60
    assert world.http("GET", "/zen").text == "Practicality beats purity."
    assert world.http("GET", "/nowhere").status_code == 404
