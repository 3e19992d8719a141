"""Rows as patterns write them: `k4, *k2, p2* x6, k4`."""

import re

REPEAT = re.compile(r"\*(?P<stitches>[^*]+)\*\s*x(?P<times>\d+)")
STITCH = re.compile(r"(?P<kind>[a-z]+)(?P<number>\d*)")


def expand(row: str) -> list[str]:
    """The row's stitches in order, repeats written out."""
    flat = REPEAT.sub(lambda found: ", ".join([found["stitches"]] * int(found["times"])), row)
    return [stitch.strip() for stitch in flat.split(",")]


def count(row: str) -> int:
    """How many stitches the row needs."""
    return sum(_width(stitch) for stitch in expand(row))


def _width(stitch: str) -> int:
    found = STITCH.fullmatch(stitch)
    if found is None:
        raise ValueError(f"not a stitch: {stitch!r}")
    return int(found["number"] or 1)
