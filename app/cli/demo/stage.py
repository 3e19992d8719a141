"""The stage of a demo: a local forge, the server and a model, wired to one another by settings only."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from app.cli.demo.watching import PATIENCE_SECONDS, SCRIPTED_PATIENCE_SECONDS
from app.settings import Settings

if TYPE_CHECKING:
    from app.cli.transcript import Transcript
    from demo.forge import Forge
    from demo.forge.person import Person
    from demo.runner import Execute

REPOSITORY: Final = "maya/purl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenery:
    """What differs from play to play."""

    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Of the repository: what is other than in the demo's own, by path."""
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Of the operator, beside those that wire the parts."""
    jobs: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """What CI runs for each head, by name; none: there is no CI."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that plays, with its addresses."""

    forge: "Forge"
    maya: "Person"
    cole: "Person"
    settings: Settings
    execute: "Execute"
    """Runs a command on a commit, confined."""
    is_scripted: bool

    @property
    def patience_seconds(self) -> float:
        """How long to wait for each thing that should happen."""
        return SCRIPTED_PATIENCE_SECONDS if self.is_scripted else PATIENCE_SECONDS

    @property
    def url(self) -> str:
        """Of the repository's pages."""
        return f"{self.forge.url}/{REPOSITORY}"


@asynccontextmanager
async def set_up(
    home: Path, real: Settings | None, transcript: "Transcript", scenery: Scenery, *, port: int
) -> AsyncIterator[Stage]:
    """All of it, until the block ends. `real` leads to a real model; without, the scripted one plays."""
    from app.log import configure_logging
    from demo import forge, story
    from demo.forge.person import signed_in

    secret = secrets.token_hex(16)
    # A name beside the demo's display: problems only.
    configure_logging(secrets=lambda: (secret,), level=40)
    async with AsyncExitStack() as stack:
        local = await stack.enter_async_context(forge.serve(home / "forge", port=port))
        source = story.REPOSITORY if not scenery.files else _copied(home / "source", scenery.files)
        local.create_repository(REPOSITORY, directory=source)
        spoken = await stack.enter_async_context(_model(real))
        settings = Settings(
            home=home / "darner",
            github_url=local.url,
            github_app_id=local.seeded.app.id,
            github_app_key=local.seeded.app.private_key,
            webhook_secret=secret,
            **spoken,
            **scenery.settings,
        )
        server_url = await stack.enter_async_context(_server(settings, transcript))
        local.set_webhook(f"{server_url}/webhook", secret=secret)
        maya, cole = [
            await stack.enter_async_context(
                signed_in(login, api_url=local.api_url, token=local.tokens[login])
            )
            for login in ("maya", "cole")
        ]
        execute = _confined(settings, local)
        if scenery.jobs:
            await stack.enter_async_context(_ci(local, execute, scenery.jobs))
        yield Stage(local, maya, cole, settings, execute, is_scripted=real is None)


def _copied(directory: Path, files: Mapping[str, str]) -> Path:
    """The demo's repository with some files changed or added."""
    import shutil

    from demo import story

    shutil.copytree(story.REPOSITORY, directory, ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in files.items():
        place = directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return directory


@asynccontextmanager
async def _model(real: Settings | None) -> AsyncIterator[dict[str, Any]]:
    """The settings that lead to the model: the real one's, or those of a scripted one, served meanwhile."""
    if real is not None:
        yield real.model_dump(include={"model", "model_wire", "openai_base_url", "openai_api_key"})
        return
    from demo import model

    async with model.serve(model.create_app()) as url:
        yield {
            "model": model.BY_CONTENT,
            "openai_base_url": f"{url}/v1",
            "openai_api_key": "the scripted model takes any key",
        }


@asynccontextmanager
async def _server(settings: Settings, transcript: "Transcript") -> AsyncIterator[str]:
    """`darner serve` in this process, with its turns shown."""
    from app.wiring import build
    from demo.serving import serve
    from harness.items import Item, Life, ModelCall

    shown = ""

    def watch(turn: str, life: Life, item: Item) -> None:
        nonlocal shown
        if turn != shown:
            transcript.heading(f"turn {turn}")
            shown = turn
        transcript.item(life, item)
        if isinstance(item, ModelCall):
            transcript.catch_up()

    async with serve(build(settings, watcher=watch), lifespan="on") as url:
        yield url


@asynccontextmanager
async def _ci(forge: "Forge", execute: "Execute", jobs: Mapping[str, tuple[str, ...]]) -> AsyncIterator[None]:
    from demo.runner import Runner

    async with Runner(forge.state, execute, jobs=jobs).running():
        yield


def _confined(settings: Settings, forge: "Forge") -> "Execute":
    from app.cli.demo.confined import Confined

    folder = settings.home.parent / "runs"
    return Confined(settings, forge_url=forge.url, token=forge.tokens["maya"], home=folder).run
