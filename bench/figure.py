"""One measured figure, and how it is printed."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A value beside the floor it is judged by, both from the same run."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    """What the same work costs at least, measured interleaved with `value`."""
    target: str = ""
    """The target in words: `<= 2.0 x floor`."""
    ok: bool | None = None
    """Whether the target was met; None where there is none."""
    note: str = ""

    def line(self) -> str:
        ratio = self.value / self.floor if self.floor else None
        fields = {
            "figure": self.name,
            "value": round(self.value, 4),
            "unit": self.unit,
            "floor": None if self.floor is None else round(self.floor, 4),
            "ratio": None if ratio is None else round(ratio, 3),
            "target": self.target or None,
            "met": self.ok,
            "note": self.note or None,
        }
        return json.dumps({name: value for name, value in fields.items() if value is not None})


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
