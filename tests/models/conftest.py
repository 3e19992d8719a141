"""A scripted model whose every exchange is held to the types and to the order, and models opened on it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from demo.model import ScriptedModel, Turn, create_app, serve
from demo.model import Session as Script
from harness.models import WIRES, Patience, WireName, open_model
from harness.protocols import Model
from tests.models.conformance import Conformance

KEY = "sk-test-0123456789abcdef"


@pytest.fixture(params=sorted(WIRES))
def wire(request: pytest.FixtureRequest) -> WireName:
    name: WireName = request.param
    return name


class Stage:
    """Puts a scripted model on a port and opens models on it."""

    def __init__(self) -> None:
        self.conformance = Conformance()
        self.app: ScriptedModel | None = None

    @asynccontextmanager
    async def play(
        self, wire: WireName, *turns: Turn, custom_tools: bool = False, idle_seconds: float = 10.0
    ) -> AsyncIterator[Model]:
        """A model that gives these answers, one after the other."""
        self.app = create_app([Script(name="scripted-test", turns=turns)], observer=self.conformance)
        async with (
            serve(self.app) as url,
            open_model(
                wire=wire,
                model="scripted-test",
                base_url=f"{url}/v1",
                api_key=KEY,
                patience=Patience(idle_seconds=idle_seconds),
                custom_tools=custom_tools,
            ) as model,
        ):
            yield model


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A stage; when the test is over, everything that was said on it must have conformed."""
    stage = Stage()
    yield stage
    assert stage.conformance.problems == []
