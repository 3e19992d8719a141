"""What a killed process leaves behind goes when the next one comes by."""

import os
import time
from pathlib import Path

from sandbox.checkout.removal import remove_forgotten


async def test_what_a_killed_doctor_left_goes_and_what_another_uses_stays(tmp_path: Path) -> None:
    """Told apart by age: such a directory lives for seconds."""
    left, used, other = (tmp_path / name for name in ("probe-left", "probe-used", "other"))
    for directory in (left, used, other):
        (directory / "closed").mkdir(parents=True, mode=0)
    for directory in (left, other):
        os.utime(directory, (0, time.time() - 7200))
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "probe-link").symlink_to(outside)

    await remove_forgotten(tmp_path, "probe-*")

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "other",
        "outside",
        "probe-link",
        "probe-used",
    ]
