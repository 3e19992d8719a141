"""The Engine that tests run on: it answers, its image has what they need, and nothing of it stays."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engine import daemon
from tests.engine.daemon import Engine

_RUN_THAT_IS_KILLED = """
import os, signal
from tests.engine import daemon, small_image
with daemon.home_of_a_run() as home, daemon.started(home).client() as client:
    image = small_image.build(client)
    client.containers.run(image, ["sleep", "600"], network_mode="none", detach=True)
    print(home, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_small_image_has_what_tests_need(docker_engine: Engine, docker_image: str) -> None:
    """A shell, Python with its library, and git are there."""
    script = "python3 -c 'import ssl, sqlite3, ctypes; print(1)' && git init -q /tmp/x && ls -d /tmp/x/.git"
    with docker_engine.client() as client:
        said = client.containers.run(docker_image, ["bash", "-c", script], network_mode="none", remove=True)
    assert said.decode().split() == ["1", "/tmp/x/.git"]


def test_the_next_run_removes_what_a_killed_one_left(docker_engine: Engine) -> None:
    """The daemon, its container, their mounts, control groups and files are gone."""
    if daemon.answering() == docker_engine:
        pytest.skip("the machine has an Engine of its own, whose network a second one would change")
    run = (sys.executable, "-c", _RUN_THAT_IS_KILLED)
    killed = subprocess.run(run, check=False, capture_output=True, text=True, timeout=100)
    home = Path(killed.stdout.strip())
    assert home.is_dir(), killed.stderr
    assert _traces_of(home)

    with daemon.home_of_a_run():
        # Another run on this machine may have come first and be about it.
        deadline = time.monotonic() + 60
        while _traces_of(home) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert _traces_of(home) == []


def _traces_of(home: Path) -> list[str]:
    """Files, control groups, mounts, and processes that name the directory or live in its control group."""
    traces = [str(path) for path in (home, *Path("/sys/fs/cgroup").glob(f"**/{home.name}")) if path.exists()]
    for name in ("cmdline", "cgroup", "mountinfo"):
        for path in Path("/proc").glob(f"[0-9]*/{name}"):
            try:
                if home.name.encode() in path.read_bytes():
                    traces.append(str(path))
            except OSError:
                # It has just ended.
                continue
    return traces
