"""What happens in the demo of CI repair: a pull request whose test fails, for a reason of its own.

Performs nothing. The scripted session `repair-the-row` knows these files line by line.
"""

from collections.abc import Mapping
from typing import Final

from demo.story import CHECK, MENDED, REPOSITORY

FILES: Final[Mapping[str, str]] = {
    **MENDED,
    ".github/darner.yml": "ci:\n  mode: auto\n  quiet: 1\n",
}
"""The repository before: its tests pass, and it has opted into repairs, a second after CI has settled."""

JOBS: Final[Mapping[str, tuple[str, ...]]] = {"tests": CHECK}
"""What CI runs."""

BRANCH: Final = "made-stitches"
TITLE: Final = "Count stitches that are made as none"
BODY: Final = """\
A yarn over and a make-one come out of nothing: the row below needs no stitch for them.

So `count(instruction(96, 8))` should be 96 again.
"""

PATH: Final = "purl/row.py"
_ROW: Final = (REPOSITORY / PATH).read_text(encoding="utf-8")
_TESTS: Final = (REPOSITORY / "tests/test_row.py").read_text(encoding="utf-8")

_NAMES = '(?P<number>\\d*)")\n'
_MADE = """\
MADE = {"m1", "yo"}
\"\"\"Made out of nothing: the row below needs no stitch.\"\"\"
"""
_WIDTH = '    return int(found["number"] or 1)\n'
_NO_WIDTH = """\
    if found["kind"] in MADE:
        return 0
"""
_IMPORTS = "from purl import count, expand"
_NEXT_TEST = "    def test_a_stitch_without_a_number"
_TEST = """\
    def test_stitches_that_are_made_need_none_below(self) -> None:
        self.assertEqual(4, count("k2, yo, k2"))
        self.assertEqual(96, count(instruction(96, 8)))

"""

COMMITS: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "tests/test_row.py",
        _TESTS.replace(_IMPORTS, f"{_IMPORTS}, instruction").replace(_NEXT_TEST, _TEST + _NEXT_TEST),
        "Test how made stitches are counted",
    ),
    (
        PATH,
        _ROW.replace(_NAMES, _NAMES + _MADE).replace(_WIDTH, _NO_WIDTH + _WIDTH),
        "Count made stitches as none",
    ),
)
"""Path, text and message of each. `m1` is read as the kind `m` and the number 1: the test fails."""
