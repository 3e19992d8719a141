"""Reads the list of places where GitHub differs from its own description; it excuses nothing beyond it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from tests.github.dialect import Path, SchemaError


class Allowance(StrEnum):
    NULL = "null"
    MISSING = "missing"
    INTEGER = "integer"


@dataclass(frozen=True)
class Deviation:
    """One place that may differ. A `historic` one excuses old recordings only, never a forge of today."""

    applies_to: tuple[str, ...]
    where: tuple[str, ...]
    allows: Allowance
    historic: bool
    reason: str

    def excuses(self, name: str, error: SchemaError) -> bool:
        if not any(fnmatchcase(name, wanted) for wanted in self.applies_to):
            return False
        match self.allows:
            case Allowance.NULL:
                return error.instance is None and self._is_at(error.where)
            case Allowance.INTEGER:
                return isinstance(error.instance, int) and self._is_at(error.where)
            case Allowance.MISSING:
                return error.member is not None and self._is_at((*error.where, error.member))

    def _is_at(self, where: Path) -> bool:
        names = [step for step in where if isinstance(step, str)]
        wanted = list(self.where)
        if wanted and wanted[-1] == "*":
            wanted[-1:] = names[len(wanted) - 1 :][:1]
        return names == wanted


@dataclass(frozen=True)
class KnownDeviations:
    rest: tuple[Deviation, ...]
    webhooks: tuple[Deviation, ...]
    bare_array_bodies: frozenset[str]
    any_undocumented_404: bool

    @classmethod
    def read(cls, raw: Mapping[str, Sequence[Mapping[str, object]]]) -> "KnownDeviations":
        """Raises `ValueError` for an entry that none of the rules below understands."""
        rest: list[Deviation] = []
        bodies: set[str] = set()
        undocumented_404 = False
        for entry in raw["rest"]:
            operations = _strings(entry["operations"])
            if entry["where"] == "request body" and "bare array" in str(entry["real"]):
                bodies.update(operations)
            elif str(entry["where"]).startswith("status 404"):
                undocumented_404 = True
            else:
                rest.extend(_deviations(operations, entry))
        webhooks = [
            found for entry in raw["webhooks"] for found in _deviations(_strings(entry["events"]), entry)
        ]
        return cls(
            rest=tuple(rest),
            webhooks=tuple(webhooks),
            bare_array_bodies=frozenset(bodies),
            any_undocumented_404=undocumented_404,
        )


def _deviations(applies_to: tuple[str, ...], entry: Mapping[str, object]) -> Iterator[Deviation]:
    real = str(entry["real"])
    for where in _places(str(entry["where"])):
        if real.startswith("null"):
            yield Deviation(applies_to, where, Allowance.NULL, historic=False, reason=real)
        elif real.startswith("missing"):
            yield Deviation(applies_to, where, Allowance.MISSING, historic=True, reason=real)
        elif real.startswith("older deliveries lack"):
            # The description demands a user's and an enterprise's members together, which no account has.
            yield Deviation(applies_to, (*where, "*"), Allowance.MISSING, historic=False, reason=real)
        elif real.startswith("an integer"):
            yield Deviation(applies_to, where, Allowance.INTEGER, historic=True, reason=real)
        else:
            raise ValueError(f"no rule for the known deviation at {entry['where']}: {real}")


def _places(text: str) -> Iterator[tuple[str, ...]]:
    """`a/b, c; d|e/f` names a/b, a/c, d/f and e/f."""
    for group in text.split("; "):
        prefix: tuple[str, ...] = ()
        for place in group.split(", "):
            steps = tuple(place.split("/"))
            if len(steps) > 1:
                prefix = steps[:-1]
            else:
                steps = (*prefix, *steps)
            for first in re.split(r"\|", steps[0]):
                yield (first, *steps[1:])


def _strings(value: object) -> tuple[str, ...]:
    return tuple(str(element) for element in value) if isinstance(value, list) else ()
