"""Pushes and fetches over HTTP: leases, refusals, repetition, and a token that nobody sees."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox.git import GitFailed, Remote
from sandbox.git.mirror import (
    BranchProtected,
    ChangedFile,
    Denied,
    HeadMoved,
    Identity,
    Mirror,
    Pushed,
    RefUnknown,
)
from tests.sandbox_git.origin import DAY, Origin
from tests.sandbox_git.server import TOKEN, Forge, serving

BOT = Identity("darner[bot]", "darner@example.org")


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    with serving(tmp_path) as running:
        yield running


@pytest.fixture
async def base(origin: Origin, mirror: Mirror, forge: Forge) -> str:
    """A commit that is on `main` and in the mirror."""
    sha = origin.commit({"a.txt": "a\n"})
    await mirror.fetch(forge.remote("origin.git"), sha)
    forge.seen.clear()
    return sha


async def write(mirror: Mirror, parent: str, name: str = "b.txt") -> str:
    change = ChangedFile(name, "add", "100644", b"b\n")
    return await mirror.commit(parent=parent, changes=[change], message="b\n", author=BOT, date=DAY)


def contents(name: str) -> dict[str, bytes]:
    """What a file of /proc says, for every process there is."""
    found: dict[str, bytes] = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with suppress(OSError):
                found[place.name] = (place / name).read_bytes()
    return found


async def test_the_token_is_nowhere_while_git_runs(
    origin: Origin, mirror: Mirror, forge: Forge, base: str, tmp_path: Path
) -> None:
    """No argument, no environment and no file of the mirror holds it during a push; the push works."""
    sha = await write(mirror, base)
    found: list[str] = []
    looked: list[str] = []

    def look(_path: str) -> None:
        arguments, variables = contents("cmdline"), contents("environ")
        looked.extend(process for process in arguments if b"remote-http" in arguments[process])
        found.extend(text.decode() for text in arguments.values() if TOKEN.encode() in text)
        found.extend(text.decode() for text in variables.values() if TOKEN.encode() in text)
        files = [path for path in mirror.directory.rglob("*") if path.is_file()]
        found.extend(str(path) for path in files if TOKEN.encode() in path.read_bytes())

    forge.during = look
    outcome = await mirror.push(forge.remote("origin.git"), sha=sha, branch="darner/1-1", expected=None)

    assert outcome == Pushed()
    assert looked
    assert found == []
    assert origin.branch("darner/1-1") == sha


async def test_the_token_goes_to_its_own_host_only(
    mirror: Mirror, forge: Forge, base: str, tmp_path: Path
) -> None:
    """A redirect to another host gets no credential, and the fetch fails."""
    with serving(tmp_path) as elsewhere:
        forge.redirect_to = elsewhere.url
        with pytest.raises(GitFailed) as raised:
            await mirror.fetch(forge.remote("origin.git"), "main")

    assert elsewhere.seen
    assert elsewhere.credentials == []
    assert TOKEN not in str(raised.value)


async def test_nothing_of_a_credential_is_left_behind(
    mirror: Mirror, forge: Forge, base: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is on no disk even while git runs, should the service be killed; a URL never holds it."""
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(private))
    seen: list[list[Path]] = []
    forge.during = lambda _path: seen.append(list(private.iterdir()))

    await mirror.fetch(forge.remote("origin.git"), "main")

    assert forge.credentials
    assert all(files == [] for files in seen)
    assert list(private.iterdir()) == []
    assert TOKEN not in repr(forge.remote("origin.git"))
    with pytest.raises(ValueError, match="no credential"):
        Remote(f"http://x:{TOKEN}@example.org/a.git", "x", TOKEN)


async def test_a_push_can_be_repeated(origin: Origin, mirror: Mirror, forge: Forge, base: str) -> None:
    """After an answer that was lost, the same push finds its work done."""
    sha = await write(mirror, base)
    remote = forge.remote("origin.git")

    first = await mirror.push(remote, sha=sha, branch="darner/1-1", expected=None)
    second = await mirror.push(remote, sha=sha, branch="darner/1-1", expected=None)

    assert (first, second) == (Pushed(), Pushed())


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_lease_holds(origin: Origin, mirror: Mirror, forge: Forge, base: str, is_there: bool) -> None:
    """A branch that should not exist but does, or should exist but does not, is left alone and told."""
    sha = await write(mirror, base)
    expected = None if is_there else base
    branch = "main" if is_there else "gone"

    outcome = await mirror.push(forge.remote("origin.git"), sha=sha, branch=branch, expected=expected)

    assert outcome == HeadMoved(base if is_there else None)
    assert origin.branch(branch) == (base if is_there else None)


async def test_a_push_moves_the_branch_it_expected(
    origin: Origin, mirror: Mirror, forge: Forge, base: str
) -> None:
    """The lease is on what the turn was pinned to."""
    sha = await write(mirror, base)

    outcome = await mirror.push(forge.remote("origin.git"), sha=sha, branch="main", expected=base)

    assert outcome == Pushed()
    assert origin.branch("main") == sha


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("error: GH006: Protected branch update failed for refs/heads/main.", BranchProtected),
        ("error: GH013: Repository rule violations found for refs/heads/main.", BranchProtected),
        ("refusing to allow a GitHub App to create or update workflow `.github/workflows/x.yml`", Denied),
    ],
)
async def test_a_refusal_is_told_in_the_forge_s_words(
    origin: Origin,
    mirror: Mirror,
    forge: Forge,
    base: str,
    message: str,
    kind: type[BranchProtected | Denied],
) -> None:
    """What the forge says about a push it will not take is kept, and sorted by what can be done about it."""
    hook = origin.directory / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ncat <<'END' >&2\n{message}\nEND\nexit 1\n")
    hook.chmod(0o755)
    sha = await write(mirror, base)

    outcome = await mirror.push(forge.remote("origin.git"), sha=sha, branch="main", expected=base)

    assert outcome == kind(
        f"{message}\n! {sha}:refs/heads/main [remote rejected] (pre-receive hook declined)"
    )


@pytest.mark.parametrize("status", [403, 404])
async def test_a_token_that_may_not_is_denied(mirror: Mirror, forge: Forge, base: str, status: int) -> None:
    """Trying again would not help: this is an answer, not trouble."""
    sha = await write(mirror, base)
    forge.status = status

    outcome = await mirror.push(forge.remote("origin.git"), sha=sha, branch="main", expected=base)

    assert isinstance(outcome, Denied)


async def test_a_wrong_token_is_denied(mirror: Mirror, forge: Forge, base: str) -> None:
    """A revoked token ends the matter without a question to anyone."""
    sha = await write(mirror, base)

    outcome = await mirror.push(
        forge.remote("origin.git", "ghs_revoked"), sha=sha, branch="main", expected=base
    )

    assert isinstance(outcome, Denied)
    assert "ghs_revoked" not in outcome.detail


async def test_trouble_is_raised(mirror: Mirror, forge: Forge, base: str) -> None:
    """A forge that answers 502 has said nothing about the branch."""
    sha = await write(mirror, base)
    forge.status = 502

    with pytest.raises(GitFailed, match="502"):
        await mirror.push(forge.remote("origin.git"), sha=sha, branch="main", expected=base)


async def test_a_known_commit_is_not_fetched_again(
    origin: Origin, mirror: Mirror, forge: Forge, base: str
) -> None:
    """Neither a commit that was fetched nor its ancestors cost a request."""
    child = origin.commit({"b.txt": "b\n"})
    await mirror.fetch(forge.remote("origin.git"), "main")
    forge.seen.clear()

    await mirror.fetch(forge.remote("origin.git"), base, child)

    assert forge.seen == []
    assert await mirror.resolve("main") == child


@pytest.mark.parametrize(
    "name", ["--upload-pack=touch /tmp/x", "a..b", "a b", "+a:b", "refs/heads/x.lock", "", "@{-1}"]
)
async def test_a_name_that_is_no_branch_is_refused(
    mirror: Mirror, forge: Forge, base: str, name: str
) -> None:
    """Options, refspecs and revisions never get as far as git."""
    forge.seen.clear()

    with pytest.raises(RefUnknown):
        await mirror.fetch(forge.remote("origin.git"), name)
    with pytest.raises(RefUnknown):
        await mirror.push(forge.remote("origin.git"), sha=base, branch=name, expected=None)

    assert forge.seen == []


async def test_other_protocols_are_not_spoken(tmp_path: Path) -> None:
    """Only what the mirror was opened for: a file or a command is no remote."""
    mirror = Mirror(tmp_path / "1.git")
    await mirror.ensure()

    for url in ("file:///etc", "ext::sh -c id", "ssh://host/a", "/etc", "git://host/a"):
        with pytest.raises(ValueError, match=r"not allowed|no space"):
            await mirror.fetch(Remote(url, "x", ""), "main")


async def test_the_operator_s_own_git_settings_do_not_matter(
    origin: Origin, forge: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `.gitconfig`, hooks and variables of the account that runs the service change nothing."""
    witness = tmp_path / "witness"
    (tmp_path / ".gitconfig").write_text(
        f'[core]\nfsmonitor = "touch {witness}"\nhooksPath = {tmp_path}\nsshCommand = "touch {witness}"\n'
        f'[credential]\nhelper = "!touch {witness}"\n[url "http://127.0.0.1:9/"]\ninsteadOf = {forge.url}/\n'
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_TRACE", str(witness))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    mirror = Mirror(tmp_path / "mirrors" / "1.git")
    await mirror.ensure()
    monkeypatch.delenv("GIT_DIR")
    sha = origin.commit({"a.txt": "a\n"})

    await mirror.fetch(forge.remote("origin.git"), sha)
    outcome = await mirror.push(
        forge.remote("origin.git"), sha=await write(mirror, sha), branch="darner/1-1", expected=None
    )
    await mirror.close()

    assert outcome == Pushed()
    assert not witness.exists()


async def test_a_cancelled_fetch_leaves_no_process(mirror: Mirror, forge: Forge, base: str) -> None:
    """When the turn is stopped, git and its helpers stop with it."""
    forge.during = lambda _path: time.sleep(3)
    fetching = asyncio.create_task(mirror.fetch(forge.remote("origin.git"), "main"))
    await asyncio.sleep(0.5)

    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching

    assert not [command for command in contents("cmdline").values() if forge.url.encode() in command]
