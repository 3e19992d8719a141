"""Reads `.github/darner.yml`: a repository's wishes narrow what the operator allows, and never widen it."""

import difflib
from typing import Annotated, Final

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
)

from handlers.view import RepositoryConfig
from sandbox.base import PROTECTED_PATHS, SandboxMode

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
        raise ConfigRefused(f"`{where}`: {_said(first['type'], first['msg'])}") from error
    return RepositoryConfig(
        enabled=wished.enabled,
        mode=wished.mode,
        protected_paths=tuple(dict.fromkeys((*PROTECTED_PATHS, *wished.protected_paths))),
        instructions=wished.instructions.strip(),
    )


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


def _plain_path(path: str) -> str:
    plain = path.removeprefix("./").rstrip("/")
    if not plain or plain.startswith("/") or any(part in ("", ".", "..") for part in plain.split("/")):
        raise ValueError("must be a path inside the repository, such as `deploy` or `deploy/keys.yml`")
    return plain


_Path = Annotated[str, StringConstraints(strict=True, max_length=300), AfterValidator(_plain_path)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: StrictBool = True
    mode: SandboxMode = SandboxMode.WORKSPACE_WRITE
    protected_paths: Annotated[tuple[_Path, ...], Field(max_length=200)] = ()
    instructions: Annotated[str, StringConstraints(strict=True, max_length=8000)] = ""


def _unknown_key(key: str) -> str:
    near = difflib.get_close_matches(key, list(_File.model_fields), n=1)
    known = ", ".join(f"`{name}`" for name in _File.model_fields)
    hint = f" Did you mean `{near[0]}`?" if near else f" Known are {known}."
    return f"`{key[:60]}` is not a setting.{hint}"


def _said(kind: str, message: str) -> str:
    if kind == "enum":
        return "must be `read-only` or `workspace-write`."
    message = message.removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}."
