"""One forge for each module, one repository for each test, every exchange held to the descriptions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.forge.rest.api import Request, Response
from tests.forge.world import World, running_world
from tests.github.ledger import Ledger

Create = Callable[..., str]


@pytest.fixture(scope="session")
def ledger(request: pytest.FixtureRequest) -> Ledger:
    """The session's ledger, or one of our own when these tests run without the plugin."""
    if request.config.pluginmanager.has_plugin("tests.github.plugin"):
        shared: Ledger = request.getfixturevalue("github_ledger")
        return shared
    return Ledger.load()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, ledger: Ledger) -> Iterator[World]:
    def on_exchange(request: Request, response: Response) -> None:
        # The descriptions know neither diffs nor that GitHub refuses anything about a check run, and no
        # answer can satisfy exactly one of the two shapes that they give for a conflict of contents.
        is_diff = response.headers.get("content-type", "").startswith("application/vnd.github.")
        refused = (response.status, (request.operation or "").split("/")[0])
        if is_diff or response.status >= 500 or refused in {(422, "checks"), (409, "repos")}:
            return
        ledger.on_exchange(request, response)

    home = tmp_path_factory.mktemp("forge")
    with running_world(home, on_exchange=[on_exchange], on_webhook=[ledger.on_webhook]) as running:
        yield running


@pytest.fixture
def repository(world: World, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """`maya/…`, named after the test: public, cole writes, tess triages, oskar is nobody."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:60]
    return world.create(name, scratch=tmp_path)
