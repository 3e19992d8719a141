"""An origin and a mirror of it, for every test of this directory."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.git.mirror import Mirror, mirror_directory
from tests.sandbox_git.origin import Origin


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "origin.git")


@pytest.fixture
async def mirror(tmp_path: Path) -> AsyncIterator[Mirror]:
    made = Mirror(mirror_directory(tmp_path / "mirrors", 7), protocols=("file", "http"))
    await made.ensure()
    yield made
    await made.close()
