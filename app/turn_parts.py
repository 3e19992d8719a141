"""What a turn runs with, made from the settings. Light: serves the command line and the server alike."""

from contextlib import AbstractAsyncContextManager

from app.settings import Settings, SettingsRefused
from harness.compaction import Room
from harness.items import TurnLimits
from harness.models import open_model
from harness.models.windows import window_of
from harness.protocols import Model
from harness.rules import Rules, RulesRefused, read_rules
from sandbox.base import Driver
from sandbox.drivers import Setup, choose


def model_of(settings: Settings) -> AbstractAsyncContextManager[Model]:
    return open_model(
        wire=settings.model_wire,
        model=settings.model,
        base_url=settings.openai_base_url,
        api_key=api_key_of(settings),
    )


def api_key_of(settings: Settings) -> str:
    # Servers of one's own often want none, but the client wants something to send.
    return settings.openai_api_key.get_secret_value() if settings.openai_api_key else "none"


def driver_of(settings: Settings) -> Driver:
    setup = Setup(
        state=settings.home / "sandbox",
        extra_read_only=settings.sandbox_read_only,
        audit=settings.sandbox_audit,
        image=settings.sandbox_image,
        runtime=settings.sandbox_runtime,
        docker_host=settings.docker_host,
    )
    return choose(settings.sandbox, setup)


def rules_of(settings: Settings) -> Rules:
    """Raises `SettingsRefused` when the operator's rules cannot be used."""
    try:
        return read_rules(settings.rules)
    except RulesRefused as error:
        msg = f"DARNER_RULES cannot be used. {error}"
        raise SettingsRefused(msg) from None


def room_of(settings: Settings) -> Room:
    window = settings.context_window or window_of(settings.model)
    return Room(window=window, compact_at=settings.compact_at)


def limits_of(settings: Settings) -> TurnLimits:
    return TurnLimits(
        steps=settings.turn_steps, tokens=settings.turn_tokens, wall_seconds=settings.turn_seconds
    )
