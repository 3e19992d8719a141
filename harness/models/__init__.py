"""The registry of model wires, and the one way to open a model. Importing it loads no client library."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final, Literal, Protocol

from harness.models.chat import ChatModel
from harness.models.endpoint import Endpoint, Patience, open_endpoint
from harness.models.responses import ResponsesModel
from harness.protocols import Model

__all__ = ["WIRES", "Patience", "Wire", "WireName", "open_model"]

WireName = Literal["responses", "chat"]


class Wire(Protocol):
    """Makes a `Model` that speaks one wire to one endpoint."""

    def __call__(self, endpoint: Endpoint, model: str, *, custom_tools: bool) -> Model: ...


WIRES: Final[Mapping[WireName, Wire]] = MappingProxyType({"responses": ResponsesModel, "chat": ChatModel})


@asynccontextmanager
async def open_model(
    *,
    wire: WireName,
    model: str,
    base_url: str,
    api_key: str,
    patience: Patience | None = None,
    custom_tools: bool = False,
) -> AsyncIterator[Model]:
    """A model for as long as the context is open: one connection pool, to be shared by many turns.

    `custom_tools` offers tools with a grammar as freeform tools; only OpenAI's own Responses endpoint is sure
    to take them. The first call in a process loads the client library, which takes seconds of CPU.
    """
    async with open_endpoint(
        base_url, api_key=api_key, wire=wire, patience=patience or Patience()
    ) as endpoint:
        yield WIRES[wire](endpoint, model, custom_tools=custom_tools)
