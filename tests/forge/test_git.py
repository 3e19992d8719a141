"""Real git against the forge: behaviour 19, with GitHub's refusals as a person reads them."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from github import GithubException

from tests.forge.world import FILES, World, clone, open_pull


def test_everybody_clones_what_is_public(world: World, repository: str, tmp_path: Path) -> None:
    """No token is needed to read."""
    work = clone(world, repository, tmp_path / "work", token=None)

    assert {path: (work.directory / path).read_text() for path in FILES} == FILES


def test_nobody_pushes_without_a_name(world: World, repository: str, tmp_path: Path) -> None:
    """Writing asks for credentials."""
    work = clone(world, repository, tmp_path / "work", token=None)
    work.commit({"x": "1\n"}, "x")

    refused = work.push("HEAD:x", check=False)

    assert refused.returncode != 0
    assert "could not read Username" in refused.stderr


def test_an_outsiders_push_is_denied(world: World, repository: str, tmp_path: Path) -> None:
    """403 in the words that git shows."""
    work = clone(world, repository, tmp_path / "work", token=world.forge.tokens["oskar"])
    work.commit({"x": "1\n"}, "x")

    refused = work.push("HEAD:x", check=False)

    assert f"Permission to {repository}.git denied to oskar." in refused.stderr


def test_a_token_that_may_only_read(world: World, repository: str, tmp_path: Path) -> None:
    """An installation token without contents: write is refused at the door."""
    token = world.installation_token({"permissions": {"contents": "read"}})
    work = clone(world, repository, tmp_path / "work", token=token)
    work.commit({"x": "1\n"}, "x")

    assert "Write access to repository not granted." in work.push("HEAD:x", check=False).stderr


def test_a_wrong_token(world: World, repository: str) -> None:
    """An unknown token is refused, also where none is needed."""
    url = f"{world.forge.url}/{repository}.git/info/refs?service=git-upload-pack"

    refused = httpx2.get(url, auth=("x-access-token", "ghp_wrong"))

    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="GitHub"')
    assert refused.text == (
        "Invalid username or token. Password authentication is not supported for Git operations.\n"
    )


def test_a_private_repository_is_not_found(world: World, tmp_path: Path) -> None:
    """To an outsider's git it does not exist."""
    private = world.create("hidden", scratch=tmp_path, private=True)
    work = clone(world, private, tmp_path / "work", token=world.forge.tokens["maya"])
    outsider = type(work)(work.directory, work.url, world.forge.tokens["oskar"])

    assert "not found" in outsider.run("fetch", work.url, check=False).stderr


def test_fetched_shallow_partial_and_by_sha(world: World, repository: str, tmp_path: Path) -> None:
    """Protocol v2 with depth, filters, single commits, and a pull request's head."""
    pull = open_pull(world.client("cole").get_repo(repository), branch="fix", files={"new.py": "1\n"})
    work = clone(world, repository, tmp_path / "work", token=None)
    lean = tmp_path / "lean"
    work.run("clone", "--quiet", "--bare", "--depth=1", "--filter=blob:none", work.url, str(lean))
    work.run("fetch", "--quiet", work.url, pull.head.sha)
    work.run("fetch", "--quiet", work.url, f"refs/pull/{pull.number}/head:refs/remotes/pull")

    assert work.run("rev-parse", "refs/remotes/pull").stdout.strip() == pull.head.sha
    assert (lean / "shallow").exists()
    listed = work.run("-c", "protocol.version=2", "ls-remote", work.url).stdout
    assert f"{pull.head.sha}\trefs/pull/{pull.number}/head" in listed


def test_the_heads_of_pull_requests_are_read_only(world: World, repository: str, tmp_path: Path) -> None:
    """refs/pull belongs to the forge."""
    open_pull(world.client("cole").get_repo(repository), branch="fix", files={"new.py": "1\n"})
    work = clone(world, repository, tmp_path / "work", token=world.forge.tokens["maya"])
    work.commit({"x": "1\n"}, "x")

    refused = work.push("HEAD:refs/pull/1/head", "--force", check=False)

    assert refused.returncode != 0
    assert "deny updating a hidden ref" in refused.stderr


def test_a_protected_branch(world: World, tmp_path: Path) -> None:
    """GH006: by pull request only, through git and through the API."""
    guarded = world.create("guarded", scratch=tmp_path, protected=["main"])
    work = clone(world, guarded, tmp_path / "work", token=world.forge.tokens["maya"])
    work.commit({"x": "1\n"}, "x")

    refused = work.push("HEAD:main", check=False)

    assert "remote: error: GH006: Protected branch update failed for refs/heads/main." in refused.stderr
    assert "(protected branch hook declined)" in refused.stderr
    assert work.push("HEAD:elsewhere").returncode == 0
    with pytest.raises(GithubException) as denied:
        world.client("maya").get_repo(guarded).create_file("y", "y", "y", branch="main")
    assert denied.value.status == 422


def test_workflow_files_need_their_own_permission(world: World, repository: str, tmp_path: Path) -> None:
    """An App without `workflows` may not bring a workflow file; a person may."""
    work = clone(world, repository, tmp_path / "work", token=world.installation_token())
    work.commit({".github/workflows/ci.yml": "on: push\n"}, "CI")
    persons = type(work)(work.directory, work.url, world.forge.tokens["cole"])

    refused = work.push("HEAD:ci", check=False)

    assert (
        "(refusing to allow a GitHub App to create or update workflow `.github/workflows/ci.yml` without "
        "`workflows` permission)"
    ) in refused.stderr
    assert persons.push("HEAD:ci").returncode == 0


def test_a_file_that_is_too_large(world: World, repository: str, tmp_path: Path) -> None:
    """GH001 at 100 MB, and nothing of the push is kept."""
    work = clone(world, repository, tmp_path / "work", token=world.forge.tokens["cole"])
    work.commit({"big.bin": b"\0" * (100 * 1024 * 1024 + 1)}, "Big")

    refused = work.push("HEAD:big", check=False)

    assert "GH001: Large files detected." in refused.stderr
    assert "File big.bin is 100.00 MB" in refused.stderr
    assert "refs/heads/big" not in work.run("ls-remote", work.url).stdout


def test_a_lease_that_has_run_out(world: World, repository: str, tmp_path: Path) -> None:
    """`--force-with-lease` on another commit than the branch's is refused, and nobody is told of a push."""
    repo = world.client("cole").get_repo(repository)
    main = repo.get_branch("main").commit.sha
    open_pull(repo, branch="fix", files={"new.py": "1\n"})
    work = clone(world, repository, tmp_path / "work", token=world.forge.tokens["cole"])
    work.commit({"x": "1\n"}, "x")
    before = len(world.webhooks(repository))

    refused = work.push("HEAD:fix", f"--force-with-lease=fix:{main}", check=False)

    assert "stale info" in refused.stderr
    assert len(world.webhooks(repository)) == before


def test_several_refs_in_one_push(world: World, repository: str, tmp_path: Path) -> None:
    """Each ref that moved is told; a branch can be made and deleted."""
    work = clone(world, repository, tmp_path / "work", token=world.forge.tokens["cole"])
    work.commit({"x": "1\n"}, "x")
    work.run("push", "--quiet", work.url, "HEAD:one", "HEAD:two", "HEAD:refs/tags/v1")
    work.run("push", "--quiet", work.url, ":two")

    pushes = [
        (payload["ref"], payload["created"], payload["deleted"])
        for payload in (h.payload for h in world.webhooks(repository) if h.event == "push")
    ]

    assert sorted(pushes) == [
        ("refs/heads/one", True, False),
        ("refs/heads/two", False, True),
        ("refs/heads/two", True, False),
        ("refs/tags/v1", True, False),
    ]


def test_a_renamed_repository_is_found_by_git(world: World, repository: str, tmp_path: Path) -> None:
    """The old address redirects."""
    repo = world.client("maya").get_repo(repository)
    repo.edit(name="git-renamed")

    work = clone(world, repository, tmp_path / "work", token=world.forge.tokens["maya"])

    assert (work.directory / "calc.py").exists()


def test_many_files_at_once(world: World, repository: str, tmp_path: Path) -> None:
    """A push larger than git's buffer comes in portions and arrives whole."""
    work = clone(world, repository, tmp_path / "work", token=world.forge.tokens["cole"])
    rows = {f"data/{number}.txt": f"{number}\n" * 500 for number in range(800)}
    sha = work.commit(rows, "Data")
    work.run("-c", "http.postBuffer=4096", "push", "--quiet", work.url, "HEAD:data")

    copy = clone(world, repository, tmp_path / "copy", token=None)

    assert copy.run("rev-parse", "refs/remotes/origin/data").stdout.strip() == sha
