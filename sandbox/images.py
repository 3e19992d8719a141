"""Which images a repository may ask for, and what its devcontainer.json says as data. Runs nothing of it.

A devcontainer.json can name programs for the host, mounts, capabilities and more. Only the image and plain
variables are taken: https://containers.dev/implementors/json_reference/.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import json5

from sandbox.inside import LONGEST_ARGUMENT, VARIABLE

LARGEST_DEVCONTAINER: Final = 16 * 1024
"""Bytes. The reader takes two seconds for the worst file of this size."""

_LONGEST_SHOWN: Final = 60
_LIBRARY: Final = "docker.io/library/"
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REGISTRY: Final = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)(?::[0-9]{1,5})?"
_REFERENCE: Final = re.compile(
    rf"(?:(?P<registry>{_REGISTRY})/)?(?P<path>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
"""https://github.com/distribution/reference/blob/main/reference.go"""

_HARMLESS: Final = frozenset({"$schema", "name", "image", "containerEnv", "customizations"})
_HOST: Final = "would run on the host"
_WIDER: Final = "would widen the sandbox"
_NOT_RUN: Final = "is not run; ask for it in the instructions"
_WHY_IGNORED: Final = {
    "initializeCommand": _HOST,
    "build": "images are not built for a turn; name a finished one with `image`",
    "dockerFile": "images are not built for a turn; name a finished one with `image`",
    "dockerComposeFile": "a turn has one container",
    "features": "images are not built for a turn; name a finished one with `image`",
    "mounts": _WIDER,
    "workspaceMount": _WIDER,
    "runArgs": _WIDER,
    "privileged": _WIDER,
    "capAdd": _WIDER,
    "securityOpt": _WIDER,
    "appPort": _WIDER,
    "forwardPorts": _WIDER,
    "hostRequirements": "the operator sets the limits",
    "containerUser": "commands run as the sandbox's own user",
    "remoteUser": "commands run as the sandbox's own user",
    "workspaceFolder": "the checkout is at /workspace",
    "remoteEnv": "use `containerEnv`",
    "secrets": "the sandbox gets none",
    "onCreateCommand": _NOT_RUN,
    "updateContentCommand": _NOT_RUN,
    "postCreateCommand": _NOT_RUN,
    "postStartCommand": _NOT_RUN,
    "postAttachCommand": _NOT_RUN,
}


@dataclass(frozen=True, slots=True)
class Devcontainer:
    """What a devcontainer.json asks for, as far as a turn can have it."""

    image: str | None = None
    """Whether it may be used is the operator's: see `is_allowed`."""
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ignored: tuple[str, ...] = ()
    """A line for each thing that has no effect, for a person: what and why."""


class DevcontainerRefused(Exception):
    """The file cannot be read; the message tells a person what to change."""


def is_image(text: str) -> bool:
    """Whether it names an image in the usual way: `python:3.13-slim`, `ghcr.io/acme/tools@sha256:...`."""
    return _REFERENCE.fullmatch(text) is not None


def is_allowed(image: str, patterns: tuple[str, ...]) -> bool:
    """Whether an operator's list has the image.

    A pattern is an image, `NAME:*` for every tag and digest of a name, or `PLACE/*` for all below a registry
    or an organisation of one. Without a registry it is Docker Hub's, as for Docker. A pattern of another form
    matches nothing.
    """
    wanted = _REFERENCE.fullmatch(image)
    return wanted is not None and any(_fits(wanted, pattern) for pattern in patterns)


def parse_devcontainer(text: str | bytes) -> Devcontainer:
    """The file as data: JSON with comments and trailing commas. Raises `DevcontainerRefused`."""
    data = _mapping_in(text)
    image = data.get("image")
    ignored = [*_ignored_keys(data)]
    if image is not None and not (isinstance(image, str) and is_image(image)):
        ignored.append("`image`: not the name of an image")
        image = None
    variables = data.get("containerEnv", {})
    if not isinstance(variables, dict):
        ignored.append("`containerEnv`: not an object")
        variables = {}
    refused = {name: why for name, value in variables.items() if (why := _why_not_set(name, value))}
    ignored += [f"`containerEnv`: {name!r} {why}" for name, why in refused.items()]
    environment = {name: value for name, value in variables.items() if name not in refused}
    return Devcontainer(image, MappingProxyType(environment), tuple(ignored))


def _fits(wanted: re.Match[str], pattern: str) -> bool:
    if pattern.endswith("/*"):
        place = pattern.removesuffix("*")
        # One word is a registry when it looks like one, as in an image's name.
        as_image = place if _is_registry(place.split("/")[0]) else f"docker.io/{place}"
        return _full_name(wanted).startswith(as_image)
    allowed = _REFERENCE.fullmatch(pattern.removesuffix(":*"))
    if allowed is None or _full_name(wanted) != _full_name(allowed):
        return False
    if pattern.endswith(":*"):
        return allowed["tag"] is None and allowed["digest"] is None
    if allowed["digest"] is not None:
        # The digest decides what is run; a tag beside it is a remark.
        return wanted["digest"] == allowed["digest"]
    return wanted["digest"] is None and _tag(wanted) == _tag(allowed)


def _full_name(reference: re.Match[str]) -> str:
    registry, path = reference["registry"], reference["path"]
    if registry is None:
        return f"{_LIBRARY}{path}" if "/" not in path else f"docker.io/{path}"
    if not _is_registry(registry):
        return f"docker.io/{registry}/{path}"
    if registry == "docker.io" and "/" not in path:
        return f"{_LIBRARY}{path}"
    return f"{registry}/{path}"


def _is_registry(word: str) -> bool:
    return "." in word or ":" in word or word == "localhost"


def _tag(reference: re.Match[str]) -> str:
    return reference["tag"] or "latest"


def _mapping_in(text: str | bytes) -> dict[str, Any]:
    if len(text) > LARGEST_DEVCONTAINER:
        raise DevcontainerRefused(f"The file is longer than {LARGEST_DEVCONTAINER} bytes.")
    try:
        written = text.decode() if isinstance(text, bytes) else text
        data = _parsed(written)
    except (ValueError, RecursionError) as error:
        raise DevcontainerRefused("The file is not JSON with comments.") from error
    if not isinstance(data, dict):
        raise DevcontainerRefused("The file is not a JSON object.")
    return data


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return json5.loads(text)


def _ignored_keys(data: Mapping[str, Any]) -> Iterator[str]:
    for key in data:
        if key not in _HARMLESS:
            yield f"`{key[:_LONGEST_SHOWN]}`: {_WHY_IGNORED.get(key, 'is not supported')}"


def _why_not_set(name: str, value: object) -> str:
    """Empty when it can be."""
    if VARIABLE.fullmatch(name) is None:
        return "is no name of a variable"
    if not isinstance(value, str):
        return "is not a string"
    if "${" in value:
        return "refers to another variable, and nothing of the host's is given to a sandbox"
    if "\0" in value or len(value) >= LONGEST_ARGUMENT:
        return "cannot be set"
    return ""
