"""One repository for all the changes of a module."""

from pathlib import Path

import pytest

from tests.handlers.review.changes import Repository


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    directory: Path = tmp_path_factory.mktemp("changes")
    return Repository(directory)
