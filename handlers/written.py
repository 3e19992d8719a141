"""What people write, in settings and in `.github/darner.yml`: sections, limits, patterns, paths and hosts."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    StringConstraints,
)

from sandbox.egress.rules import parse_host

Mode = TypeVar("Mode", bound=StrEnum)


class Written(BaseModel):
    """A section: a word that it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


WrittenPattern = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)]
"""Of paths, names or titles."""
WrittenPatterns = Annotated[tuple[WrittenPattern, ...], Field(max_length=100)]


class WrittenChoice(Written):
    """Only what is included, empty for all, without what is excluded."""

    include: WrittenPatterns = ()
    exclude: WrittenPatterns = ()


def narrowest(first: Mode, *others: Mode | None) -> Mode:
    """Of those that have an opinion; each word of the enumeration allows what stands before it."""
    order = list(type(first))
    return min((first, *(mode for mode in others if mode is not None)), key=order.index)


_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?(s|m|min|h)")
_SIZE: Final = re.compile(r"\d{1,18}(?:\.\d{1,3})? ?(?:[KMGTP]i?B?|B)?", re.IGNORECASE)
_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600}
_KIB: Final = 1024
_MIB: Final = 1024**2


def seconds_written(value: Any) -> Any:
    """A duration with its unit, in seconds; what is no text passes. Raises ValueError."""
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value.strip())
    if found is None:
        raise ValueError("must be a duration such as `90s`, `10m` or `1h`")
    return float(found[1]) * _SECONDS[found[2]]


def _bytes(value: Any) -> Any:
    if isinstance(value, str) and not _SIZE.fullmatch(value.strip()):
        raise ValueError("must be a size such as `512MiB` or `4GiB`")
    return value


def _not_yes_or_no(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be an amount")  # noqa: TRY004  pydantic tells the person of a ValueError
    return value


_Amount = BeforeValidator(_not_yes_or_no)
_Size = BeforeValidator(_bytes)


class WrittenLimits(Written):
    """Any of the limits; the least values are those that a command can still run with."""

    wall_time: (
        Annotated[float, Field(ge=1, le=24 * 3600), BeforeValidator(seconds_written), _Amount] | None
    ) = None
    output: Annotated[ByteSize, Field(ge=_KIB), _Size, _Amount] | None = None
    processes: Annotated[int, Field(ge=16), _Amount] | None = None
    memory: Annotated[ByteSize, Field(ge=64 * _MIB), _Size, _Amount] | None = None
    cpus: Annotated[float, Field(ge=0.1, allow_inf_nan=False), _Amount] | None = None
    file_size: Annotated[ByteSize, Field(ge=_MIB), _Size, _Amount] | None = None
    disk: Annotated[ByteSize, Field(ge=_MIB), _Size, _Amount] | None = None

    @property
    def by_field(self) -> Mapping[str, Any]:
        """What is set, by the names of `sandbox.base.Limits`."""
        written = self.model_dump(exclude_none=True)
        return {FIELDS[name]: value for name, value in written.items()}


FIELDS: Final = {
    "wall_time": "wall_seconds",
    "output": "output_bytes",
    "processes": "processes",
    "memory": "memory_bytes",
    "cpus": "cpus",
    "file_size": "file_bytes",
    "disk": "disk_bytes",
}
"""What people write → the field of `sandbox.base.Limits`."""


NAMES: Final = {field: name for name, field in FIELDS.items()} | {
    "allowed_hosts": "network",
    "protected_paths": "protected paths",
}
"""Field of a policy or of its limits → the word that people use for it, where it is another."""


def shown(field: str, value: float) -> str:
    """An amount of that field as a person would write it."""
    if field.endswith("_bytes"):
        return ByteSize(value).human_readable(separator=" ").replace(".0 ", " ")
    if field.endswith("_seconds"):
        return f"{value / 60:g} min" if value >= 60 else f"{value:g} s"
    return f"{value:g}"


def _plain_path(path: str) -> str:
    plain = path.removeprefix("./").rstrip("/")
    if not plain or plain.startswith("/") or any(part in ("", ".", "..") for part in plain.split("/")):
        raise ValueError("must be a path inside the repository, such as `deploy` or `deploy/keys.yml`")
    return plain


WrittenPath = Annotated[str, StringConstraints(strict=True, max_length=300), AfterValidator(_plain_path)]
"""Of a file or directory inside the repository."""

WrittenHost = Annotated[
    str, StringConstraints(strict=True, max_length=260), AfterValidator(lambda text: str(parse_host(text)))
]
"""A rule of the allow-list that opens no private network; see `sandbox.egress.rules`."""
