"""Reads `.github/darner.yml`: a repository's wishes narrow what the operator allows, and never widen it."""

import difflib
from dataclasses import replace
from typing import Annotated, Any, Final

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
)

from handlers.ci.settings import WrittenCi
from handlers.review.settings import WrittenReview
from handlers.view import RepositoryConfig
from handlers.wishes import Wishes
from handlers.written import Written, WrittenHost, WrittenLimits, WrittenPath
from harness.approvals import Approvals
from sandbox.base import SandboxMode
from sandbox.images import DevcontainerRefused, is_image, parse_devcontainer

PLACE: Final = ".github/darner.yml"
DEVCONTAINERS: Final = (".devcontainer/devcontainer.json", ".devcontainer.json")
"""Where such a file may lie. https://containers.dev/implementors/spec/#devcontainerjson"""
LARGEST: Final = 16 * 1024
_DEEPEST: Final = 8


class ConfigRefused(Exception):
    """The file cannot be used; the message tells a person what to change."""


def parse_config(text: str | bytes) -> RepositoryConfig:
    """The configuration that `text` asks for. Raises `ConfigRefused`."""
    data = _mapping_in(_decoded(text))
    unknown = [str(key) for key in data if key not in _File.model_fields]
    if unknown:
        raise ConfigRefused(_unknown_key(unknown[0]))
    try:
        wished = _File.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigRefused(f"`{where}`: {_said(first['type'], first['msg'], where)}") from error
    return RepositoryConfig(
        enabled=wished.enabled,
        wishes=Wishes(
            mode=wished.mode,
            allowed_hosts=wished.network,
            protected_paths=wished.protected_paths,
            limits=wished.limits.by_field,
            image=wished.image,
            approvals=wished.approvals,
        ),
        devcontainer=wished.devcontainer,
        instructions=wished.instructions.strip(),
        review=wished.review.settings,
        ci=wished.ci.settings,
    )


def with_devcontainer(config: RepositoryConfig, text: str | bytes, *, place: str) -> RepositoryConfig:
    """`config`, with what the devcontainer.json at `place` says added to it. Raises `ConfigRefused`."""
    try:
        told = parse_devcontainer(text)
    except DevcontainerRefused as error:
        raise ConfigRefused(f"`{place}`: {error}") from error
    # An image of its own in the settings file is the later thought.
    image = config.wishes.image or told.image
    wishes = replace(config.wishes, image=image, environment=told.environment)
    return replace(config, wishes=wishes, ignored=told.ignored)


def _decoded(text: str | bytes) -> str:
    if len(text) > LARGEST:
        raise ConfigRefused(f"The file is larger than {LARGEST // 1024} KiB.")
    if isinstance(text, str):
        return text
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise ConfigRefused("The file is not UTF-8 text.") from error


def _mapping_in(text: str) -> dict[object, object]:
    try:
        _check_shape(text)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark is not None else ""
        raise ConfigRefused(f"The file is not valid YAML: {error.problem}{line}.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigRefused("The file is not valid YAML.") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigRefused("The file must hold `key: value` lines.")
    return data


def _check_shape(text: str) -> None:
    """Anchors multiply and nesting exhausts the stack; a settings file needs neither."""
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
            raise ConfigRefused("The file uses YAML anchors; write the values out.")
        if isinstance(token, _OPENING):
            depth += 1
        elif isinstance(token, _CLOSING):
            depth -= 1
        if depth > _DEEPEST:
            raise ConfigRefused("The file is nested too deeply.")


_OPENING: Final = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING: Final = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


def _named_mode(mode: SandboxMode | None) -> SandboxMode | None:
    if mode is SandboxMode.FULL_ACCESS:
        raise ValueError("must be `read-only` or `workspace-write`")
    return mode


def _hosts(value: Any) -> Any:
    # YAML reads the word off as false.
    if value is False:
        return ()
    if value is True:
        raise ValueError("must be `off`, or a list of hosts such as `pypi.org`")
    return value


def _image(text: str) -> str:
    if not is_image(text):
        raise ValueError("must be an image such as `python:3.13-slim`")
    return text


class _File(Written):
    enabled: StrictBool = True
    mode: Annotated[SandboxMode | None, AfterValidator(_named_mode)] = None
    protected_paths: Annotated[tuple[WrittenPath, ...], Field(max_length=200)] = ()
    network: Annotated[tuple[WrittenHost, ...], Field(max_length=200), BeforeValidator(_hosts)] | None = None
    limits: WrittenLimits = WrittenLimits()
    image: Annotated[str, StringConstraints(strict=True), AfterValidator(_image)] | None = None
    devcontainer: StrictBool = False
    approvals: Approvals | None = None
    instructions: Annotated[str, StringConstraints(strict=True, max_length=8000)] = ""
    review: WrittenReview = WrittenReview()
    ci: WrittenCi = WrittenCi()


def _unknown_key(key: str) -> str:
    near = difflib.get_close_matches(key, list(_File.model_fields), n=1)
    known = ", ".join(f"`{name}`" for name in _File.model_fields)
    hint = f" Did you mean `{near[0]}`?" if near else f" Known are {known}."
    return f"`{key[:60]}` is not a setting.{hint}"


_MODES: Final = {
    "mode": "`read-only` or `workspace-write`",
    "review.mode": "`off`, `on-demand` or `auto`",
    "ci.mode": "`off`, `offer` or `auto`",
}


def _said(kind: str, message: str, where: str) -> str:
    if kind == "enum" and where == "approvals":
        return "must be `never`, `on-request` or `untrusted`."
    if kind == "enum" and where in _MODES:
        return f"must be {_MODES[where]}."
    if kind == "extra_forbidden":
        # Of the file's own keys `_unknown_key` has told.
        if not where.startswith("limits."):
            return "is not a setting."
        return f"is not a limit. Known are {', '.join(f'`{name}`' for name in WrittenLimits.model_fields)}."
    message = message.removeprefix("Value error, ").removesuffix(".")
    return f"{message[:1].lower()}{message[1:]}."
