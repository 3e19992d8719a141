"""Where a turn's memory and processes can be bounded as a whole, told from the kernel's own tables."""

import os
from pathlib import Path

import pytest

from sandbox.base import Limits
from sandbox.cgroups import Group, Hierarchy, make_group, remove_group, sweep, writable_hierarchies


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    return tmp_path / "proc"


def test_version_1_is_found_per_controller(proc: Path, tmp_path: Path) -> None:
    """At the service's own group, also when the mount shows only a part of the hierarchy."""
    for part in ("memory/own", "pids", "cpu"):
        (tmp_path / part).mkdir(parents=True)
    (proc / "cgroup").write_text("3:memory:/docker/abc/own\n2:pids:/\n1:cpu,cpuacct:/\n0::/\n")
    (proc / "mountinfo").write_text(
        f"30 20 0:30 /docker/abc {tmp_path}/memory rw shared:1 - cgroup cgroup rw,memory\n"
        f"31 20 0:31 / {tmp_path}/pids rw - cgroup cgroup rw,pids\n"
        f"32 20 0:32 / {tmp_path}/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        "33 20 0:33 / /nowhere/unified rw - cgroup2 cgroup2 rw\n"
    )
    assert writable_hierarchies(proc) == (
        Hierarchy(1, frozenset({"memory"}), tmp_path / "memory" / "own"),
        Hierarchy(1, frozenset({"pids"}), tmp_path / "pids"),
        Hierarchy(1, frozenset({"cpu"}), tmp_path / "cpu"),
    )


def test_version_2_must_have_been_delegated(proc: Path, tmp_path: Path) -> None:
    """Root could divide any group of the host, and must not; others can divide what was given to them."""
    unit = tmp_path / "unified" / "darner.service"
    (unit / "main").mkdir(parents=True)
    (unit / "cgroup.controllers").write_text("cpu memory pids\n")
    (unit / "cgroup.subtree_control").write_text("")
    (proc / "cgroup").write_text("0::/darner.service/main\n")
    (proc / "mountinfo").write_text(f"30 20 0:30 / {tmp_path}/unified rw - cgroup2 cgroup2 rw\n")
    if os.geteuid() == 0:
        assert writable_hierarchies(proc) == ()
        os.setxattr(unit, "user.delegate", b"1")
    assert writable_hierarchies(proc) == (Hierarchy(2, frozenset({"cpu", "memory", "pids"}), unit),)
    assert (unit / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def test_a_turn_has_its_own_group(tmp_path: Path) -> None:
    """With the limits of the policy."""
    limits = Limits(processes=7, memory_bytes=4096, cpus=1.5)
    hierarchies = (Hierarchy(2, frozenset({"cpu", "memory", "pids"}), tmp_path),)
    directory = tmp_path / f"darner-{os.getpid()}-0"
    group = make_group(hierarchies, limits)
    assert group == Group((directory,), directory / "memory.events")
    assert {path.name: path.read_text() for path in directory.iterdir()} == {
        "cpu.max": "150000 100000",
        "memory.max": "4096",
        "memory.swap.max": "0",
        "pids.max": "7",
    }


def test_turns_at_the_same_time_have_different_groups() -> None:
    """On this machine, with the real thing; and nothing remains of them."""
    hierarchies = writable_hierarchies()
    groups = [make_group(hierarchies, Limits()) for _ in range(2)]
    made = [directory for group in groups for directory in group.directories]
    for group in groups:
        remove_group(group)
    assert len(set(made)) == 2 * len(hierarchies)
    assert [directory for directory in made if directory.exists()] == []


def test_groups_of_dead_services_are_swept(tmp_path: Path) -> None:
    """Those of the living are left alone, and so is everything that is not ours."""
    for name in ("darner-4194305-0", f"darner-{os.getpid()}-0", "other-4194305-0"):
        (tmp_path / name).mkdir()
    sweep([Hierarchy(1, frozenset({"pids"}), tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {f"darner-{os.getpid()}-0", "other-4194305-0"}
