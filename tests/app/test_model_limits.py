"""A model endpoint's limit is shared: what one turn hears, all keep, in every process on the database."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from app.model_limits import SharedModel
from app.store.database import Database
from harness.items import HistoryEntry, Usage
from harness.protocols import ModelError, ModelRequest, ModelResponse

ENDPOINT = "https://key@models.example:8443/v1"
REQUEST = ModelRequest(instructions="", tools=(), history=b"", cache_key="t")
ANSWER = ModelResponse(output=(), usage=Usage(), stop="completed")


@dataclass
class Endpoint:
    """Answers, or fails as it was told to."""

    faults: list[ModelError] = field(default_factory=list)
    asked: int = 0
    name: str = "m"

    def encode(self, entry: HistoryEntry) -> bytes:
        return repr(entry).encode()

    async def respond(self, request: ModelRequest, *, on_text: Callable[[str], None]) -> ModelResponse:
        del request, on_text
        self.asked += 1
        if self.faults:
            raise self.faults.pop(0)
        return ANSWER


def shared(endpoint: Endpoint, database: Database, *, at: float, url: str = ENDPOINT) -> SharedModel:
    return SharedModel(endpoint, database, base_url=url, now=lambda: at, jitter=lambda: 1.0)


async def ask(model: SharedModel) -> ModelResponse:
    return await model.respond(REQUEST, on_text=lambda text: None)


async def test_what_one_turn_is_told_holds_the_requests_of_all(database: Database) -> None:
    """The endpoint is not asked again before the time that it named; then it is."""
    endpoint = Endpoint([ModelError("rate_limited", "slow down", retry_after=90.0)])
    with pytest.raises(ModelError, match="slow down"):
        await ask(shared(endpoint, database, at=1000.0))

    with pytest.raises(ModelError) as held:
        await ask(shared(endpoint, database, at=1040.0))
    assert held.value.fault == "rate_limited"
    assert held.value.retry_after == 50 + 5
    assert endpoint.asked == 1
    assert await ask(shared(endpoint, database, at=1090.5)) == ANSWER


async def test_other_endpoints_and_other_faults_hold_nobody(database: Database) -> None:
    """A limit is one host's; a fault that names no time is the asking turn's own to wait out."""
    faults = [
        ModelError("rate_limited", "no time named"),
        ModelError("server", "broken", retry_after=60.0),
        ModelError("rate_limited", "later", retry_after=60.0),
    ]
    endpoint = Endpoint(faults)
    for _ in range(3):
        with pytest.raises(ModelError):
            await ask(shared(endpoint, database, at=1000.0))

    assert endpoint.asked == 3
    with pytest.raises(ModelError, match="another turn"):
        await ask(shared(endpoint, database, at=1001.0))
    assert await ask(shared(endpoint, database, at=1001.0, url="https://other.example/v1")) == ANSWER
