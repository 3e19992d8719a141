"""Pull requests follow their branches and merge for real: behaviours 5, 6, 9 and 11."""

from __future__ import annotations

from pathlib import Path

import pytest
from github import GithubException

from demo.forge import actions
from demo.forge.state import Viewer
from tests.forge.world import FILES, World, clone, open_pull, with_line, write


def test_a_push_moves_the_pull_request(world: World, repository: str, tmp_path: Path) -> None:
    """A real push to the head branch: new head, `push`, then `synchronize` with before and after."""
    repo = world.client("cole").get_repo(repository)
    work = clone(world, repository, tmp_path / "work", token=world.forge.tokens["cole"])
    work.run("checkout", "--quiet", "-b", "fix")
    first = work.commit({"calc.py": with_line(FILES["calc.py"], 3, "three")}, "Fix three")
    work.push("fix")
    pull = repo.create_pull(base="main", head="fix", title="Fix", draft=True)
    second = work.commit({"calc.py": with_line(FILES["calc.py"], 4, "four")}, "Fix four")
    work.push("fix")

    synchronized = world.wait_for("pull_request.synchronize", repository)
    pushed = world.wait_for("push", repository)

    assert pull.head.sha == first
    assert repo.get_pull(pull.number).head.sha == second
    assert (synchronized["before"], synchronized["after"]) == (first, second)
    assert synchronized["pull_request"]["draft"] is True
    assert (pushed["ref"], pushed["before"], pushed["after"]) == ("refs/heads/fix", first, second)
    assert [commit["message"] for commit in pushed["commits"]] == ["Fix four"]
    assert pushed["commits"][0]["modified"] == ["calc.py"]
    assert repo.get_git_ref(f"pull/{pull.number}/head").object.sha == second


def test_a_forced_push_says_so(world: World, repository: str, tmp_path: Path) -> None:
    """Rewritten history is `forced`, and the pull request follows it just the same."""
    repo = world.client("cole").get_repo(repository)
    pull = open_pull(repo, branch="fix", files={"new.py": "1\n"})
    work = clone(world, repository, tmp_path / "work", token=world.forge.tokens["cole"])
    rewritten = work.commit({"other.py": "2\n"}, "Another way")
    work.push("HEAD:fix", "--force")

    assert world.wait_for("push", repository)["forced"] is True
    assert repo.get_pull(pull.number).head.sha == rewritten
    assert [file.filename for file in repo.get_pull(pull.number).get_files()] == ["other.py"]


def test_what_a_pull_request_shows(world: World, repository: str) -> None:
    """Files with patches, commits, counts, and the diff as text."""
    repo = world.client("cole").get_repo(repository)
    pull = open_pull(
        repo, branch="fix", files={"calc.py": with_line(FILES["calc.py"], 3, "three"), "new.py": "1\n"}
    )

    files = [(file.filename, file.status, file.additions, file.deletions) for file in pull.get_files()]
    diff = world.http(
        "GET", f"/repos/{repository}/pulls/1", headers={"Accept": "application/vnd.github.diff"}
    )

    assert files == [("calc.py", "modified", 1, 1), ("new.py", "added", 1, 0)]
    assert [commit.commit.message for commit in pull.get_commits()] == ["Change calc.py", "Add new.py"]
    assert (pull.commits, pull.additions, pull.deletions, pull.changed_files) == (2, 2, 1, 2)
    assert pull.get_files()[0].patch.splitlines()[3:5] == ["-line 3", "+three"]
    assert diff.text.startswith("diff --git a/calc.py b/calc.py\n")


def test_found_by_its_branch(world: World, repository: str) -> None:
    """`head=owner:branch` finds the one pull request of a branch."""
    repo = world.client("cole").get_repo(repository)
    open_pull(repo, branch="one", files={"one": "1\n"})
    two = open_pull(repo, branch="two", files={"two": "2\n"})

    assert [pull.number for pull in repo.get_pulls(head="maya:two")] == [two.number]
    assert list(repo.get_pulls(head="maya:three")) == []


def test_whether_it_merges_is_found_out_after_the_first_look(world: World, repository: str) -> None:
    """`mergeable` is null first, then the result of a real test merge, then null again after a push."""
    repo = world.client("cole").get_repo(repository)
    clean = open_pull(repo, branch="clean", files={"docs/guide.md": "Read it all.\n"})
    torn = open_pull(repo, branch="torn", files={"calc.py": with_line(FILES["calc.py"], 3, "three")})
    world.client("maya").get_repo(repository)
    write(repo, branch="main", files={"calc.py": with_line(FILES["calc.py"], 3, "tres")})

    def look(number: int) -> tuple[bool | None, str]:
        seen = repo.get_pull(number)
        return seen.mergeable, seen.mergeable_state

    assert [look(clean.number), look(clean.number)] == [(None, "unknown"), (True, "clean")]
    assert [look(torn.number), look(torn.number)] == [(None, "unknown"), (False, "dirty")]
    write(repo, branch="clean", files={"more.md": "More.\n"})
    assert look(clean.number) == (None, "unknown")


def test_a_merge_closes_what_it_says_it_fixes(world: World, repository: str) -> None:
    """Closing keywords in the body act on merge: commit on main, issues closed, everybody told."""
    maya = world.client("maya").get_repo(repository)
    bug, other = maya.create_issue("Bug"), maya.create_issue("Other")
    pull = open_pull(
        maya, branch="fix", files={"new.py": "1\n"}, body=f"Fixes #{bug.number}, see #{other.number}."
    )

    merged = pull.merge()

    assert merged.merged
    assert maya.get_branch("main").commit.sha == merged.sha
    assert [parent.sha for parent in maya.get_commit(merged.sha).parents][1] == pull.head.sha
    assert (maya.get_issue(bug.number).state, maya.get_issue(other.number).state) == ("closed", "open")
    closed = world.wait_for("pull_request.closed", repository)
    assert (closed["pull_request"]["merged"], closed["pull_request"]["merge_commit_sha"]) == (
        True,
        merged.sha,
    )
    assert world.wait_for("issues.closed", repository)["issue"]["number"] == bug.number
    assert world.wait_for("push", repository)["ref"] == "refs/heads/main"


@pytest.mark.parametrize("method", ["squash", "rebase"])
def test_other_ways_to_merge(world: World, repository: str, method: str) -> None:
    """Squashed to one commit, or replayed one by one: main stays a line."""
    repo = world.client("maya").get_repo(repository)
    pull = open_pull(repo, branch="fix", files={"a.py": "1\n", "b.py": "2\n"})
    write(repo, branch="main", files={"c.py": "3\n"})

    pull.merge(merge_method=method)

    messages = [commit.commit.message.splitlines()[0] for commit in repo.get_commits()]
    expected = {
        "squash": [f"Change by fix (#{pull.number})", "Add c.py", "Initial commit"],
        "rebase": ["Add b.py", "Add a.py", "Add c.py", "Initial commit"],
    }
    assert messages == expected[method]


def test_no_merge_of_what_has_changed_meanwhile(world: World, repository: str) -> None:
    """A merge may name the head it means; another head is 409, conflicts and drafts are 405."""
    repo = world.client("maya").get_repo(repository)
    pull = open_pull(repo, branch="fix", files={"calc.py": with_line(FILES["calc.py"], 3, "three")})
    draft = repo.create_pull(base="main", head=open_branch(world, repository), title="Draft", draft=True)
    write(repo, branch="main", files={"calc.py": with_line(FILES["calc.py"], 3, "tres")})

    refusals = []
    for candidate, sha in ((pull, "0" * 40), (pull, pull.head.sha), (draft, draft.head.sha)):
        with pytest.raises(GithubException) as refused:
            candidate.merge(sha=sha)
        refusals.append((refused.value.status, refused.value.message))

    assert refusals == [
        (409, "Head branch was modified. Review and try the merge again."),
        (405, "Pull Request is not mergeable"),
        (405, "Pull Request is still a draft"),
    ]


def open_branch(world: World, repository: str) -> str:
    repo = world.client("maya").get_repo(repository)
    repo.create_git_ref("refs/heads/side", repo.get_branch("main").commit.sha)
    write(repo, branch="side", files={"side.py": "1\n"})
    return "side"


def test_the_same_pull_request_twice(world: World, repository: str) -> None:
    """One open pull request for a branch and base."""
    repo = world.client("cole").get_repo(repository)
    open_pull(repo, branch="fix", files={"new.py": "1\n"})

    with pytest.raises(GithubException) as refused:
        repo.create_pull(base="main", head="fix", title="Again")

    assert refused.value.status == 422
    assert refused.value.data["errors"] == [
        {
            "resource": "PullRequest",
            "code": "custom",
            "message": "A pull request already exists for maya:fix.",
        }
    ]


def test_a_pull_request_of_nothing(world: World, repository: str) -> None:
    """A branch without a commit of its own makes no pull request, and takes no number."""
    repo = world.client("cole").get_repo(repository)
    repo.create_git_ref("refs/heads/empty", repo.get_branch("main").commit.sha)

    with pytest.raises(GithubException) as refused:
        repo.create_pull(base="main", head="empty", title="Nothing")

    assert refused.value.data["errors"][0]["message"] == "No commits between main and empty"
    assert repo.create_issue("Next").number == 1


@pytest.mark.parametrize(
    ("head", "base", "field"), [("nowhere", "main", "head"), ("main", "nowhere", "base")]
)
def test_branches_must_exist(world: World, repository: str, head: str, base: str, field: str) -> None:
    """The member at fault is named."""
    repo = world.client("cole").get_repo(repository)

    with pytest.raises(GithubException) as refused:
        repo.create_pull(base=base, head=head, title="x")

    assert refused.value.data["errors"] == [{"resource": "PullRequest", "code": "invalid", "field": field}]


def test_a_pull_request_from_a_fork(world: World, repository: str) -> None:
    """Its head lies in the fork, can be read as refs/pull/N/head, follows the fork, and outlives it."""
    oskar, maya = world.client("oskar"), world.client("maya").get_repo(repository)
    fork = oskar.get_repo(repository).create_fork()
    write(fork, branch="main", files={"new.py": "1\n"})
    pull = oskar.get_repo(repository).create_pull(base="main", head="oskar:main", title="From outside")
    write(fork, branch="main", files={"more.py": "2\n"})
    moved = maya.get_pull(pull.number)

    assert (pull.head.label, pull.head.repo.full_name) == ("oskar:main", fork.full_name)
    assert moved.head.sha == fork.get_branch("main").commit.sha
    assert maya.get_git_ref(f"pull/{pull.number}/head").object.sha == moved.head.sha
    fork.delete()
    orphan = world.http("GET", f"/repos/{repository}/pulls/{pull.number}").json()
    assert (orphan["head"]["repo"], orphan["head"]["sha"]) == (None, moved.head.sha)


def test_an_outsider_cannot_propose_other_peoples_branches(world: World, repository: str) -> None:
    """Oskar may propose his fork, not maya's branch."""
    maya = world.client("maya").get_repo(repository)
    maya.create_git_ref("refs/heads/side", maya.get_branch("main").commit.sha)
    write(maya, branch="side", files={"new.py": "1\n"})

    with pytest.raises(GithubException) as refused:
        world.client("oskar").get_repo(repository).create_pull(base="main", head="side", title="Mine")

    assert refused.value.status == 403


def test_a_deleted_branch_closes_its_pull_request(world: World, repository: str) -> None:
    """Nothing is left to merge."""
    repo = world.client("cole").get_repo(repository)
    pull = open_pull(repo, branch="fix", files={"new.py": "1\n"})
    repo.get_git_ref("heads/fix").delete()

    assert repo.get_pull(pull.number).state == "closed"


def test_editing_and_reopening(world: World, repository: str) -> None:
    """Title, base and state change one by one, each told."""
    repo = world.client("cole").get_repo(repository)
    repo.create_git_ref("refs/heads/next", repo.get_branch("main").commit.sha)
    pull = open_pull(repo, branch="fix", files={"new.py": "1\n"})
    pull.edit(title="Better", base="next")
    pull.edit(state="closed")
    pull.edit(state="open")

    seen = repo.get_pull(pull.number)
    names = [hooked.name for hooked in world.webhooks(repository) if hooked.event == "pull_request"]
    assert (seen.title, seen.base.ref, seen.state) == ("Better", "next", "open")
    assert sorted(names) == [
        "pull_request.closed",
        "pull_request.edited",
        "pull_request.edited",
        "pull_request.opened",
        "pull_request.reopened",
    ]


def test_ready_and_draft_again(world: World, repository: str) -> None:
    """Both ways are told; a draft does not merge."""
    repo = world.client("cole").get_repo(repository)
    pull = open_pull(repo, branch="fix", files={"new.py": "1\n"})
    state = world.forge.state
    known, cole = state.repository(*repository.split("/")), state.user("cole")
    assert known is not None
    assert cole is not None
    for draft in (True, False):
        issue = state.issue(known, pull.number)
        assert issue is not None
        actions.set_draft(actions.Actor(state, Viewer(user=cole)), issue, draft=draft)

    assert world.wait_for("pull_request.converted_to_draft", repository)["pull_request"]["draft"] is True
    assert world.wait_for("pull_request.ready_for_review", repository)["pull_request"]["draft"] is False


def test_a_push_to_the_default_branch_closes_too(world: World, repository: str, tmp_path: Path) -> None:
    """Commit messages act like pull request bodies; a branch that got in by a push counts as merged."""
    repo = world.client("cole").get_repo(repository)
    bug = repo.create_issue("Bug")
    pull = open_pull(repo, branch="fix", files={"new.py": "1\n"})
    work = clone(world, repository, tmp_path / "work", token=world.forge.tokens["cole"])
    work.run("merge", "--quiet", "origin/fix")
    work.commit({"x": "1\n"}, f"More\n\nResolves #{bug.number}")
    work.push("HEAD:main")

    assert repo.get_issue(bug.number).state == "closed"
    assert repo.get_pull(pull.number).merged


def test_asking_for_a_review(world: World, repository: str) -> None:
    """Collaborators can be asked; outsiders and the author cannot."""
    repo = world.client("maya").get_repo(repository)
    pull = open_pull(repo, branch="fix", files={"new.py": "1\n"})
    pull.create_review_request(reviewers=["cole"])

    assert [user.login for user in repo.get_pull(pull.number).requested_reviewers] == ["cole"]
    assert (
        world.wait_for("pull_request.review_requested", repository)["requested_reviewer"]["login"] == "cole"
    )
    for login in ("oskar", "maya"):
        with pytest.raises(GithubException) as refused:
            pull.create_review_request(reviewers=[login])
        assert refused.value.status == 422
