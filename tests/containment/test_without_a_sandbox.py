"""The negative control: with no sandbox the same attacks work, or the attack is broken."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from operator import attrgetter

import pytest

from tests.containment.attacks.attack import Attack
from tests.containment.catalogue import ATTACKS, CELL, UNCONFINED
from tests.containment.scene import Scene, open_scene
from tests.containment.stage import UNCONFINED_USER, run_unconfined

TRIED = [attack for attack in ATTACKS if not attack.never_unconfined]


@pytest.fixture
def scene() -> Iterator[Scene]:
    with open_scene(UNCONFINED_USER if os.geteuid() == 0 else os.geteuid()) as opened:
        yield opened


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter that an ordinary user may run."""
    user = UNCONFINED_USER if os.geteuid() == 0 else None
    for program in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        with suppress(OSError):
            answer = subprocess.run((program, "-c", "import ctypes"), user=user, check=False, cwd="/")
            if answer.returncode == 0:
                return program
    pytest.skip("there is no Python that an ordinary user could run")


@pytest.mark.parametrize("attack", TRIED, ids=attrgetter("id"))
def test_without_a_sandbox_it_works(
    attack: Attack, scene: Scene, python: str, record_property: Callable[[str, object], None]
) -> None:
    """Else a green answer of the same attack in a sandbox would say nothing; what cannot work says why."""
    report = run_unconfined(attack, scene, python=python)

    record_property(CELL, (attack.id, UNCONFINED, "no" if report.held else "yes"))
    assert not report.held or attack.innocent, report


def test_most_attacks_need_no_excuse() -> None:
    """Seven of ten work without a sandbox wherever these tests run."""
    assert len([attack for attack in TRIED if not attack.innocent]) >= 0.7 * len(ATTACKS)
