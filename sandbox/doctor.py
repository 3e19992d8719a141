"""Tells whether this machine can confine, from inside a real sandbox. Never repairs anything.

Used by a driver's `check`, at the service's start and by `darner doctor`.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from sandbox import surroundings
from sandbox.base import (
    Check,
    Command,
    Driver,
    Limits,
    Policy,
    SandboxError,
    SandboxMode,
    SandboxUnavailable,
    Workspace,
    WriteFile,
)
from sandbox.cgroups import Hierarchy
from sandbox.checkout.removal import remove_forgotten

OLDEST_BUBBLEWRAP: Final = (0, 8)
"""The first with --disable-userns and --size; Debian 12 has it."""

_INSTALL: Final = "Install bubblewrap 0.8 or newer: `apt install bubblewrap`, `dnf install bubblewrap`."
_EXAMPLE: Final = "darner-doctor-"
_SECONDS: Final = 20.0
_LIMITS: Final = Limits(wall_seconds=_SECONDS, processes=64)

# Each line: what must hold, and a command that ends well when it does.
INVARIANTS: Final = (
    ("commands run as an ordinary user", '[ "$(id -u):$(id -g)" = 1000:1000 ]'),
    ("commands have no capabilities", 'grep -q "^CapBnd:[[:space:]]*0*$" /proc/self/status'),
    ("no program can gain privileges", 'grep -q "^NoNewPrivs:[[:space:]]*1$" /proc/self/status'),
    ("system calls are filtered", 'grep -q "^Seccomp:[[:space:]]*2$" /proc/self/status'),
    ("no further namespaces can be made", "! unshare --user true"),
    (
        "the service's environment is not there",
        (
            '! cat /proc/[0-9]*/environ | tr "\\0" "\\n" | grep -q '
            '"^[A-Z_]*\\(TOKEN\\|SECRET\\|PASSWORD\\|GITHUB\\|DARNER\\|OPENAI\\)"'
        ),
    ),
    ("the service's processes are not there", '[ "$(ls -d /proc/[0-9]* | wc -l)" -le 16 ]'),
    ("there is no network", '[ "$(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d " ")" = lo ]'),
    ("nothing beside the checkout is shown", '[ ! -e "$BESIDE" ] && [ ! -e /sys ] && [ ! -e /srv ]'),
    ("the system is read-only", "! touch /usr/x && ! touch /etc/x && ! touch /x && ! touch /dev/x"),
    ("the git view is read-only", "! touch .git/x"),
    ("protected paths are read-only", "! touch .github/workflows/x && ! mv .github x"),
    ("the checkout is writable", "touch x && rm x"),
    ("the temporary folder and the home are writable", 'touch /tmp/x "$HOME/x" && rm /tmp/x "$HOME/x"'),
    ("only three descriptors are inherited", '[ "$(ls /proc/self/fd | wc -l)" -le 4 ]'),
    ("set-id bits are refused", "touch x && ! chmod u+s x && ! chmod g+s x && rm x"),
    ("processes are bounded", 'grep -q "^Max processes *64 " /proc/self/limits'),
    ("core dumps are off", 'grep -q "^Max core file size *0 " /proc/self/limits'),
)


def probe_of(invariants: Sequence[tuple[str, str]]) -> str:
    """A script that says of each, in order, whether it holds."""
    return "\n".join(
        f"if ( {test}; ) >/dev/null 2>&1; then echo ok; else echo failed; fi" for _, test in invariants
    )


def program_check(program: str) -> Check:
    """Whether bubblewrap is there and new enough."""
    found = shutil.which(program)
    if found is None:
        return Check("bubblewrap", "failed", "not installed", _INSTALL)
    try:
        answer = subprocess.run(
            (found, "--version"), env={}, capture_output=True, timeout=_SECONDS, check=True, text=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Check("bubblewrap", "failed", f"{found} does not run: {error}", _INSTALL)
    version = re.search(r"(\d+)\.(\d+)", answer.stdout)
    if version is None or (int(version[1]), int(version[2])) < OLDEST_BUBBLEWRAP:
        return Check("bubblewrap", "failed", f"{found} is {answer.stdout.strip()}", _INSTALL)
    if os.geteuid() == 0 and not Path(found).resolve().is_relative_to("/usr"):
        why = f"{found} lies outside of /usr, the only place that a service which is root runs it from"
        return Check("bubblewrap", "failed", why, _INSTALL)
    return Check("bubblewrap", "ok", f"{answer.stdout.strip()} ({found})")


def limits_check(hierarchies: Sequence[Hierarchy]) -> Check:
    """Whether a turn's memory and processes can be bounded as a whole."""
    bounded = {controller for hierarchy in hierarchies for controller in hierarchy.controllers}
    missing = {"memory", "pids"} - bounded
    if not missing:
        return Check("control groups", "ok", "memory and processes of a turn are bounded as a whole")
    if missing <= surroundings.bounded_from_outside():
        return Check("control groups", "ok", "the container bounds the memory and processes of all turns")
    return Check(
        "control groups",
        "warning",
        f"{' and '.join(sorted(missing))} of a turn can be bounded for each process only",
        f"Run the service in a container with `{surroundings.BOUND_FLAGS}`, or as a systemd unit with "
        "Delegate=yes and DelegateSubgroup=main.",
    )


async def inside_checks(
    driver: Driver, *, owner_uid: int | None, invariants: Sequence[tuple[str, str]] = INVARIANTS
) -> tuple[Check, ...]:
    """Open a sandbox of `driver` on a small checkout and try what must not be possible."""
    probe = probe_of(invariants)
    policy = Policy(SandboxMode.WORKSPACE_WRITE, limits=_LIMITS)
    try:
        # Where there is no folder for temporary files, this is what tells it.
        await remove_forgotten(Path(tempfile.gettempdir()), f"{_EXAMPLE}*")
        with _example(owner_uid) as workspace:
            async with driver.open(workspace, policy) as sandbox:
                sandbox.files.apply([WriteFile("written", b"by the host\n")])
                sandbox.files.read("written", limit=100)
                environment = {"BESIDE": str(workspace.tree.parent / "beside")}
                process = await sandbox.start(Command(("/bin/sh", "-c", probe), environment=environment))
                await process.wait(_SECONDS)
                answers = process.take_output().decode(errors="replace").split()
            async with driver.open(workspace, replace(policy, mode=SandboxMode.READ_ONLY)) as sandbox:
                process = await sandbox.start(Command(("/usr/bin/touch", "x")))
                ended = await process.wait(_SECONDS)
    except (SandboxError, OSError) as error:
        return (_failed("sandbox", error),)
    checks = [
        _invariant(name, holds=answer == "ok")
        for (name, _), answer in zip(invariants, (*answers, *[""] * len(invariants)), strict=False)
    ]
    refused = ended is not None and ended.exit_status != 0
    checks.append(_invariant("read-only turns cannot write the checkout", holds=refused))
    return tuple(checks)


async def policy_check(driver: Driver, policy: Policy, *, owner_uid: int | None) -> Check:
    """Whether a sandbox under this very policy opens, and runs a command."""
    try:
        with _example(owner_uid) as workspace:
            async with driver.open(workspace, policy) as sandbox:
                process = await sandbox.start(Command(("/bin/sh", "-c", "exit 0"), wall_seconds=_SECONDS))
                ended = await process.wait(_SECONDS)
    except (SandboxError, OSError) as error:
        return _failed("policy", error)
    if ended is None or ended.exit_status != 0:
        why = "no command ran to its end under the limits that are set"
        return Check("policy", "failed", why, "Raise the limits in sandbox_limits.")
    network = f"{len(policy.allowed_hosts)} allowed hosts" if policy.allowed_hosts else "no network"
    return Check("policy", "ok", f"a command ran under the widest policy there is: {policy.mode}, {network}")


def hint_for(reason: str, *, otherwise: str) -> str:
    """What to do about the words of bubblewrap and the kernel, as far as they are known."""
    known = (
        (
            r"No permissions to creat\w* new namespace|Creating new namespace failed",
            (
                f"In a container: start it with `{surroundings.SECCOMP_FLAG}`. Else user namespaces are "
                "off: on the host set `kernel.unprivileged_userns_clone=1` and `user.max_user_namespaces` "
                "above 0."
            ),
        ),
        (
            r"pivot_root",
            f"The container's seccomp profile refuses it: start it with `{surroundings.SECCOMP_FLAG}`.",
        ),
        (
            r"mount proc",
            (
                f"The container masks /proc: start it with `{surroundings.PROC_FLAG}` "
                "(Kubernetes: `procMount: Unmasked`)."
            ),
        ),
        (
            r"uid map: Permission denied|/ slave: Permission denied|loopback: Failed",
            (
                "AppArmor refuses it. Start a container with `--security-opt apparmor=unconfined` or with "
                "a profile that allows `userns` and `mount`. On Ubuntu 24.04 also give bwrap such a profile "
                "on the host, or set `kernel.apparmor_restrict_unprivileged_userns=0`."
            ),
        ),
        (
            r"temporary directory",
            (
                f"The service needs a folder for temporary files: start the container with "
                f"`{surroundings.TMPFS_FLAG}`."
            ),
        ),
        (
            r"Operation not permitted|Permission denied",
            "A service that is root needs all of root's rights, which a container does not give: leave out "
            "`--user 0` and `--user root`."
            if os.geteuid() == 0
            else otherwise,
        ),
    )
    for pattern, hint in known:
        if re.search(pattern, reason):
            return hint
    return otherwise


def _failed(name: str, error: SandboxError | OSError) -> Check:
    match error:
        case SandboxUnavailable(reason=reason, remedy=remedy):
            return Check(name, "failed", reason, hint_for(reason, otherwise=remedy))
        case OSError(filename=path, strerror=why):
            reason = f"{path}: {why}" if path else str(why)
            owner = "What is named here must belong to the user of the service: give it to them (`chown`)."
            return Check(name, "failed", reason, hint_for(reason, otherwise=owner))
        case _:
            return Check(name, "failed", str(error), "This is a fault of Darner's; please report it.")


def _invariant(name: str, *, holds: bool) -> Check:
    if holds:
        return Check(name, "ok", "seen from inside")
    return Check(name, "failed", "not so, seen from inside", "Do not run turns here; please report it.")


@contextmanager
def _example(owner_uid: int | None) -> Iterator[Workspace]:
    with tempfile.TemporaryDirectory(prefix=_EXAMPLE) as name:
        root = Path(name)
        for part in ("tree/.github/workflows", "scratch", "git"):
            (root / part).mkdir(parents=True)
        (root / "beside").touch()
        if owner_uid is not None:
            for path in (root / "tree", *(root / "tree").rglob("*")):
                os.chown(path, owner_uid, owner_uid)
        yield Workspace(tree=root / "tree", scratch=root / "scratch", git=root / "git")
