"""The registry of wires, and what it costs to have it."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

from harness.models import WIRES, WireName


def test_every_wire_has_an_adapter() -> None:
    """The names that the settings allow are the names that can be opened."""
    assert set(WIRES) == set(get_args(WireName))


def test_the_client_library_is_loaded_with_the_first_model_only() -> None:
    """Importing the adapters loads neither the package nor its transport: command lines stay quick."""
    look = "import sys, harness.models; print(sorted({'openai', 'httpx2', 'httpx'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        (sys.executable, "-c", look), cwd=root, env={}, check=True, capture_output=True, text=True, timeout=90
    )

    assert ended.stdout == "[]\n"
