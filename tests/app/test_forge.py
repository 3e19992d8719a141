"""The bot's client and its tokens, against the local forge."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from github.GithubException import GithubException, RateLimitExceededException
from pydantic import SecretStr

from app.ci_reports import failures_reported
from app.forge_error import ForgeError, ForgeFault, forge_error
from app.github import Client, GitHub
from app.github_checks import archive_chunks
from app.store.places import RepositoryRef
from app.tokens import AppTokens, PersonalToken, Tokens
from demo import forge as local_forge
from demo import story
from demo.forge import Forge
from demo.forge.actions import artifacts, repos, workflows
from demo.forge.actions.actor import Actor
from demo.forge.git import Git
from demo.forge.person import Person, signed_in
from demo.forge.state import Repository, Viewer
from handlers.ci.reports import NAMES
from handlers.ci.settled import Check
from handlers.effects import ReactionTarget

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def forge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Forge]:
    async with local_forge.serve(tmp_path_factory.mktemp("forge")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def maya(forge: Forge) -> AsyncIterator[Person]:
    async with signed_in("maya", api_url=forge.api_url, token=forge.tokens["maya"]) as person:
        yield person


def installation_of(forge: Forge) -> int:
    return forge.seeded.installation.id


def place(forge: Forge, name: str) -> RepositoryRef:
    repository = forge.create_repository(f"maya/{name}", directory=story.REPOSITORY)
    return RepositoryRef(repository.id, f"maya/{name}", installation_of(forge))


def app_tokens(forge: Forge, *, ahead: float = 0.0) -> AppTokens:
    app = forge.seeded.app
    return AppTokens(
        app_id=app.id,
        private_key=app.private_key,
        api_url=forge.api_url,
        now=lambda: time.time() + ahead,
    )


def github_of(forge: Forge) -> GitHub:
    return GitHub(api_url=forge.api_url, web_url=forge.url, tokens=app_tokens(forge))


@pytest.mark.parametrize(
    ("status", "message", "headers", "fault", "after"),
    [
        (401, "Bad credentials", {}, "signed_out", None),
        (403, "Resource not accessible by integration", {}, "denied", None),
        (403, "You have exceeded a secondary rate limit", {"Retry-After": "7"}, "limited", 7.0),
        (403, "You have triggered an abuse detection mechanism", {}, "limited", 60.0),
        (429, "Slow down", {}, "limited", 60.0),
        (404, "Not Found", {}, "missing", None),
        (410, "Issues are disabled for this repo", {}, "missing", None),
        (409, "Git Repository is empty.", {}, "conflict", None),
        (422, "Validation Failed", {}, "invalid", None),
        (502, "Server Error", {}, "broken", None),
        (503, "Unavailable", {"retry-after": "30"}, "broken", 30.0),
    ],
)
async def test_every_refusal_has_its_class(
    status: int, message: str, headers: dict[str, str], fault: ForgeFault, after: float | None
) -> None:
    """What passes is told from what stays, and how long to wait is taken from the answer."""
    found = forge_error(GithubException(status, {"message": message}, headers))

    assert (found.fault, found.status, found.retry_after) == (fault, status, after)


async def test_a_primary_limit_is_waited_for_until_its_reset() -> None:
    """An exhausted hour says when it is over."""
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()) + 90)}

    found = forge_error(RateLimitExceededException(403, {"message": "API rate limit exceeded"}, headers))

    assert found.retry_after is not None
    assert 80 < found.retry_after <= 90


async def test_the_app_knows_who_it_is(forge: Forge) -> None:
    """The App's user is `<slug>[bot]`, and its id is not the App's."""
    identity = await asyncio.to_thread(app_tokens(forge).identity)

    assert (identity.login, identity.slug) == ("darner[bot]", "darner")
    assert identity.id != forge.seeded.app.id


async def test_tokens_are_narrowed_kept_and_renewed_early(forge: Forge) -> None:
    """One token a repository, minted once for all who ask at once, and again before the hour is over."""
    one, other = place(forge, "narrow-1"), place(forge, "narrow-2")
    tokens = app_tokens(forge)
    seen = [
        token.get_secret_value()
        for token in await asyncio.gather(*(asyncio.to_thread(_token, tokens, one) for _ in range(3)))
    ]
    assert len(set(seen)) == 1
    assert tokens.live() == (seen[0],)

    only_one = GitHub(
        api_url=forge.api_url,
        web_url=forge.url,
        tokens=PersonalToken(SecretStr(seen[0]), api_url=forge.api_url),
    )
    assert await only_one.run(one, lambda client: client.default_branch()) == "main"
    with pytest.raises(ForgeError):
        await only_one.run(other, lambda client: client.post_comment(1, "hello"))

    late = app_tokens(forge, ahead=3600 - 200)
    first = await asyncio.to_thread(_token, late, one)
    assert await asyncio.to_thread(_token, late, one) != first


async def test_an_app_without_checks_still_has_a_voice(forge: Forge) -> None:
    """An installation that grants no check runs gives a token for everything else."""
    ref = place(forge, "no-checks")
    granted = forge.seeded.installation
    without = {name: level for name, level in granted.permissions.items() if name != "checks"}
    forge.state.put(replace(granted, permissions=without))
    try:
        token = await asyncio.to_thread(_token, app_tokens(forge), ref)
    finally:
        forge.state.put(granted)

    spoken = GitHub(
        api_url=forge.api_url, web_url=forge.url, tokens=PersonalToken(token, api_url=forge.api_url)
    )
    assert await spoken.run(ref, lambda client: client.default_branch()) == "main"


def _token(tokens: Tokens, ref: RepositoryRef) -> SecretStr:
    return tokens.token(installation=ref.installation, repository=ref.id)


async def test_a_push_token_is_worth_nothing_once_given_back(forge: Forge) -> None:
    """Revoked means revoked; giving it back twice is no fault."""
    ref = place(forge, "revoked")
    tokens = app_tokens(forge)
    token = await asyncio.to_thread(
        lambda: tokens.push_token(installation=ref.installation, repository=ref.id)
    )
    assert tokens.live() == (token.get_secret_value(),)

    await asyncio.to_thread(tokens.revoke, token)

    assert tokens.live() == ()
    with pytest.raises(ForgeError) as refused:
        await asyncio.to_thread(PersonalToken(token, api_url=forge.api_url).identity)
    assert refused.value.fault == "signed_out"
    await asyncio.to_thread(tokens.revoke, token)


async def test_a_token_that_was_revoked_is_replaced(forge: Forge) -> None:
    """The call that finds out fails as passing; the next one has a new token."""
    ref = place(forge, "replaced")
    github = github_of(forge)
    token = await asyncio.to_thread(_token, github.tokens, ref)
    await asyncio.to_thread(github.tokens.revoke, token)

    with pytest.raises(ForgeError) as refused:
        await github.run(ref, lambda client: client.default_branch())

    assert refused.value.is_passing
    assert await github.run(ref, lambda client: client.default_branch()) == "main"


async def test_a_delivery_without_installation_is_told_for_good(forge: Forge) -> None:
    """An App cannot act where it is not installed, and trying again does not change that."""
    with pytest.raises(ForgeError, match="names no installation") as refused:
        app_tokens(forge).token(installation=None, repository=1)
    assert not refused.value.is_passing


async def test_only_where_the_app_is_installed_is_there_an_installation(forge: Forge) -> None:
    """A fork of somebody who has not installed it has none, and a repository that is gone has none either."""
    ref, tokens = place(forge, "installed"), app_tokens(forge)
    other = forge.create_repository("oskar/not-installed", directory=story.REPOSITORY)

    found = [
        await asyncio.to_thread(tokens.installed_on, name)
        for name in (ref.full_name, "oskar/not-installed", "oskar/gone")
    ]
    personal = PersonalToken(SecretStr(forge.tokens["maya"]), api_url=forge.api_url)

    with pytest.raises(ForgeError) as refused:
        await asyncio.to_thread(
            lambda: tokens.push_token(installation=installation_of(forge), repository=other.id)
        )

    assert found == [installation_of(forge), None, None]
    # For good: a push that is on its way takes the next way at once.
    assert not refused.value.is_passing
    assert personal.installed_on(ref.full_name) is None


async def test_no_key_is_refused_at_once(forge: Forge) -> None:
    """What is no private key is said at the start, not at the first delivery."""
    with pytest.raises(ValueError, match="no PEM private key"):
        AppTokens(app_id=1, private_key="-----BEGIN nonsense-----", api_url=forge.api_url)


async def test_a_renamed_repository_is_found_again(forge: Forge, maya: Person) -> None:
    """A write to the old name is not taken for done; the new name is asked for, and there it works."""
    ref = place(forge, "before")
    number = await maya.opens_issue("maya/before", "Title", "Text")
    owner, repository = forge.state.user("maya"), forge.state.repository("maya", "before")
    assert owner is not None
    assert repository is not None
    repos.rename(Actor(forge.state, Viewer(user=owner)), repository, name="after")
    github = github_of(forge)

    with pytest.raises(ForgeError) as refused:
        await github.run(ref, lambda client: client.post_comment(number, "hello"))
    found = await github.located(ref)
    posted = await github.run(found, lambda client: client.post_comment(number, "hello"))

    assert refused.value.fault == "moved"
    assert found.full_name == "maya/after"
    assert [said.body for said in await maya.reads("maya/after", number)] == ["hello"]
    assert posted.body == "hello"


async def test_rights_belong_to_the_person_not_to_the_name(forge: Forge) -> None:
    """A login that somebody else bears by now has no rights of its former bearer."""
    ref = place(forge, "rights")
    cole, oskar = forge.state.user("cole"), forge.state.user("oskar")
    assert cole is not None
    assert oskar is not None
    github = github_of(forge)

    assert await github.run(ref, lambda client: client.permission("cole", cole.id)) == "write"
    assert await github.run(ref, lambda client: client.permission("cole", oskar.id)) == "none"
    assert await github.run(ref, lambda client: client.permission("nobody-at-all", 1)) == "none"


async def test_what_is_not_there_is_nothing(forge: Forge) -> None:
    """A missing branch, file or pull request is an answer, not a fault."""
    ref = place(forge, "missing")
    github = github_of(forge)

    def look(client: Client) -> tuple[object, ...]:
        return client.branch("nope"), client.file("nope.txt", "main"), client.pull(99), client.find_pull("x")

    assert await github.run(ref, look) == (None, None, None, None)


async def test_a_long_conversation_is_read_to_its_end(forge: Forge, maya: Person) -> None:
    """More than a page of comments is read whole, oldest first."""
    ref = place(forge, "long")
    number = await maya.opens_issue("maya/long", "Title", "Text")
    for count in range(103):
        await maya.says("maya/long", number, f"{count}")

    comments = await github_of(forge).run(ref, lambda client: client.comments(number))

    assert [comment.body for comment in comments] == [f"{count}" for count in range(103)]


async def test_what_has_not_changed_is_free(forge: Forge, maya: Person) -> None:
    """Asked again, the same costs nothing of the hour; what has changed is seen at once, rights above all."""
    ref = place(forge, "unchanged")
    number = await maya.opens_issue("maya/unchanged", "Title", "Text")
    cole = forge.state.user("cole")
    assert cole is not None
    github = github_of(forge)

    def look(client: Client) -> tuple[tuple[object, ...], int]:
        seen = (
            client.permission("cole", cole.id),
            client.branch("main"),
            client.subject(number),
            len(client.comments(number)),
        )
        budget = client.budget()
        assert budget is not None
        return seen, budget.remaining

    first, left = await github.run(ref, look)
    assert await github.run(ref, look) == (first, left)

    await maya.says("maya/unchanged", number, "more")
    owner, repository = forge.state.user("maya"), forge.state.repository("maya", "unchanged")
    assert owner is not None
    assert repository is not None
    repos.set_collaborator(Actor(forge.state, Viewer(user=owner)), repository, user=cole, role="read")
    (role, *_, comments), left_now = await github.run(ref, look)

    assert (role, comments) == ("read", 1)
    # Right, subject (it tells when it last changed) and conversation; the branch is the same.
    assert left_now == left - 3


async def test_a_reaction_may_be_repeated(forge: Forge, maya: Person) -> None:
    """Reacting twice leaves one reaction."""
    ref = place(forge, "react")
    number = await maya.opens_issue("maya/react", "Title", "Text")
    github = github_of(forge)
    for _ in range(2):
        await github.run(ref, lambda client: client.react(number, ReactionTarget("subject", number), "eyes"))

    assert await maya.subject_reactions("maya/react", number) == ["eyes"]


async def test_threads_never_share_a_client(forge: Forge) -> None:
    """Two threads at work at once have two clients; one thread keeps its own."""
    ref = place(forge, "threads")
    github = github_of(forge)
    meeting = threading.Barrier(2, timeout=60)
    used: list[tuple[int, int]] = []

    def work(client: Client) -> None:
        meeting.wait()
        used.append((threading.get_ident(), id(client._github)))  # noqa: SLF001 - what must not be shared
        meeting.wait()

    await asyncio.gather(github.run(ref, work), github.run(ref, work))

    assert len(set(used)) == 2
    assert len({client for _, client in used}) == 2


async def test_reports_that_are_gone_tell_nothing(forge: Forge) -> None:
    """Expired, never there, of a run that is not known, or not wanted: none of it is an error."""
    where, github, state = place(forge, "reports"), github_of(forge), forge.state
    repository, maya = state.get(Repository, where.id), state.user("maya")
    assert maya is not None
    head = Git(state.git_dir(repository)).refs("refs/heads")["refs/heads/main"]
    run = workflows.queue_run(state, repository, head_sha=head, head_branch="main", jobs=("a",), actor=maya)
    case = b'<testsuite><testcase name="t"><failure message="no"/></testcase></testsuite>'
    artifacts.upload(state, run, name="junit", archive=artifacts.packed({"a.xml": case}))
    old = artifacts.upload(state, run, name="junit-old", archive=artifacts.packed({"b.xml": case}))
    artifacts.expire(state, old)

    def ended(number: int) -> Check:
        return Check(
            source="workflow_run",
            id=number,
            name="CI",
            head=head,
            status="completed",
            conclusion="failure",
            started_at=run.created_at,
        )

    told = await failures_reported(github, where, [ended(run.id), ended(7)], NAMES)

    assert {number: [one.test for one in found] for number, found in told.items()} == {run.id: ["t"], 7: []}
    assert await failures_reported(github, where, [ended(run.id)], ()) == {}

    async def fault_of(artifact: int) -> ForgeFault:
        with pytest.raises(ForgeError) as refused:
            await github.run(where, lambda client: b"".join(archive_chunks(client, artifact)))
        return refused.value.fault

    assert [await fault_of(gone) for gone in (old.id, 7)] == ["missing", "missing"]
