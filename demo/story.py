"""What happens in the demo: the issue a person writes, the mention that starts the work. Performs nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).with_name("repository")
"""The files of the demo's repository: a small package of ours with a real bug, and a test that shows it."""

ISSUE_TITLE: Final = "spread loses a stitch"
ISSUE_BODY: Final = """\
I have 11 stitches and want 3 increases:

```console
$ python3 -m purl spread 11 3
k4, m1, k3, m1, k3, m1
```

That is 10 stitches. My sleeve has 11, and `python3 -m unittest` agrees with my sleeve.
"""
MENTION: Final = "@darner fix the failing test"

CHECK: Final = ("python3", "-m", "unittest")
"""Run in a checkout of the repository: fails before the work and passes after it."""

MENDED: Final[Mapping[str, str]] = {
    "purl/spacing.py": (REPOSITORY / "purl/spacing.py")
    .read_text(encoding="utf-8")
    .replace("place < left_over - 1", "place < left_over")
}
"""Without the bug: where the demo is about something else."""
