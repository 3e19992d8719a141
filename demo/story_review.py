"""What happens in the demo of the review: a pull request with problems, a second push, a disagreement.

Performs nothing. The scripted session `review-the-gauge` knows these files line by line.
"""

from collections.abc import Mapping
from typing import Final

from demo.story import MENDED

FILES: Final[Mapping[str, str]] = {**MENDED, ".github/darner.yml": "review:\n  mode: auto\n"}
"""The repository before: its tests pass, and it has opted into reviews."""

BRANCH: Final = "gauge"
TITLE: Final = "Turn centimetres into stitches"
BODY: Final = """\
A pattern says 22 stitches to 10 cm; how many do I cast on for 50 cm, and how many repeats fit in?
"""
PATH: Final = "purl/gauge.py"

_HEAD: Final = '''\
"""Gauge: how many stitches a width takes, and how many repeats of a pattern fit in."""

import math

SWATCH_CM = 10
"""Knitters count a gauge over ten centimetres."""


'''
_READING: Final = '''\
def read_gauge(text: str) -> float:
    """Stitches to ten centimetres, as people write them: `22` or `22.5`."""
    try:
        return float(text)
    except ValueError:
        return 0.0


'''
_COUNTING: Final = '''\
def stitches_for(width_cm: float, gauge: float) -> int:
    """How many stitches to cast on for a width."""
    return int(width_cm * gauge / SWATCH_CM)


def repeats_in(stitches: int, repeat: int, edge: int = 0) -> int:
    """How many whole repeats fit in between two edges of `edge` stitches each."""
    repeats = 0
    while 2 * edge + (repeats + 1) * repeat < stitches:
        repeats += 1
    return repeats
'''

FIRST: Final = _HEAD + _READING + _COUNTING
FIRST_MESSAGE: Final = "Turn centimetres into stitches"
SECOND: Final = (
    (_HEAD + _COUNTING)
    .replace("import math\n\n", "")
    .replace("repeat < stitches", "repeat <= stitches")
    .rstrip("\n")
    + "\n\n\n"
    + _READING.rstrip("\n")
    + "\n"
)
"""One problem is mended, a remark heeded, and the function with another problem stands elsewhere."""
SECOND_MESSAGE: Final = "Count a repeat that ends with the row; read the gauge last"

SUGGESTED: Final = "repeat <= stitches"
"""In the comment whose suggestion the second push takes up."""
MOVED: Final = "0.0"
"""In the comment whose lines the second push moves."""
DISPUTED: Final = "cuts off"
"""In the comment that is answered."""
ANSWER: Final = """\
That is on purpose: knitting stretches, so one stitch too few fits and one too many does not.
"""
