"""A forge with one repository, an issue and the bot's pull request on it, as the demo leaves them."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from demo.forge import Forge, serve
from demo.forge.actions import issues, pulls, repos
from demo.forge.actions.actor import Actor
from demo.forge.git import Git
from demo.forge.state import Issue, Repository, Viewer
from tests.github.ledger import Ledger

CART = '''\
"""The cart."""


def total(prices):
    result = 0
    for price in prices[1:]:
        result += price
    return result
'''


@pytest.fixture
async def forge(tmp_path: Path, github_ledger: Ledger) -> AsyncIterator[Forge]:
    """Issue 1 is by maya, the owner; pull request 2 by the bot; oskar is an outsider."""
    source = tmp_path / "source"
    (source / "shop").mkdir(parents=True)
    (source / "shop" / "cart.py").write_text(CART)
    (source / "README.md").write_text("# Inventory\n\nSee [the cart](shop/cart.py).\n")
    on_exchange, on_webhook = [github_ledger.on_exchange], [github_ledger.on_webhook]
    async with serve(tmp_path / "forge", on_exchange=on_exchange, on_webhook=on_webhook) as running:
        repo = running.create_repository("maya/inventory", directory=source)
        issue = issues.create_issue(
            acting(running, "maya"),
            repo,
            title="total() forgets the first price",
            body="`total([1, 2])` gives **2**.\n\n<!-- a secret note -->",
            labels=["bug"],
        )
        issues.comment(acting(running, "cole"), issue, body="I see it too.")
        propose(running, repo)
        yield running


def acting(forge: Forge, login: str) -> Actor:
    user = forge.state.user(login)
    assert user is not None
    return Actor(forge.state, Viewer(user=user))


def bot(forge: Forge) -> Actor:
    """The App through its installation."""
    installation = forge.seeded.installation
    user = forge.state.user("darner[bot]")
    return Actor(
        forge.state, Viewer(user=user, installation=installation, permissions=installation.permissions)
    )


def propose(forge: Forge, repo: Repository) -> Issue:
    actor = bot(forge)
    head = Git(forge.state.git_dir(repo)).head_of("main")
    assert head is not None
    repos.create_ref(actor, repo, ref="refs/heads/darner/1-abc", sha=head)
    repos.commit_files(
        actor,
        repo,
        branch="darner/1-abc",
        message="Count the first price\n\nFixes #1",
        files={"shop/cart.py": CART.replace("[1:]", "").encode()},
    )
    return pulls.open_pull(
        actor,
        repo,
        head="darner/1-abc",
        base="main",
        title="Count the first price",
        body="Fixes #1",
        draft=True,
    )


def repository(forge: Forge) -> Repository:
    found = forge.state.repository("maya", "inventory")
    assert found is not None
    return found


def issue(forge: Forge, number: int) -> Issue:
    found = forge.state.issue(repository(forge), number)
    assert found is not None
    return found


@pytest.fixture
async def visitor(forge: Forge) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser without scripts: keeps cookies and sends the origin with every form."""
    async with httpx2.AsyncClient(
        base_url=forge.url, headers={"Origin": forge.url}, follow_redirects=True
    ) as client:
        yield client
