"""A Docker Engine of the tests' own: on a socket in a directory of theirs, gone when they end."""

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import docker

_PREFIX: Final = "darner-engine-"
_SECONDS_TO_ANSWER: Final = 60
_SECONDS_TO_END: Final = 30
_WORDS_OF_THE_LOG: Final = 2000


class EngineMissing(Exception):
    """No Engine answers here, and none can be started."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A Docker Engine that answers."""

    url: str
    """What `DOCKER_HOST` takes."""

    @contextmanager
    def client(self) -> Iterator[docker.DockerClient]:
        """docker-py on this Engine; its connections are closed at the end."""
        client = docker.DockerClient(base_url=self.url, version="auto", timeout=300)
        try:
            yield client
        finally:
            client.close()


def answering() -> Engine | None:
    """The machine's own Engine, if it has one on a local socket (containers must see the tests' files)."""
    url = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    return Engine(url) if url.startswith("unix://") and _answers(url) else None


@contextmanager
def home_of_a_run() -> Iterator[Path]:
    """Where this run keeps its Engine, if one is started; at the end nothing is left of either.

    What a killed run left is removed first: its lock is free.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        _remove_deserted(left)
    young = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}"))
    with _lock_of(young).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Nobody takes it for deserted: it has this name only once the lock is held.
        home = young.rename(young.with_name(young.name.removeprefix(".")))
        try:
            yield home
        finally:
            remove(home)


def started(home: Path) -> Engine:
    """The run's Engine, started by whichever process asks first. Raises `EngineMissing`."""
    engine = Engine(f"unix://{home / 'docker.sock'}")
    with (home / "starting").open("w") as turnstile:
        fcntl.flock(turnstile, fcntl.LOCK_EX)
        if not _answers(engine.url):
            _start(home, engine)
    return engine


def remove(home: Path) -> None:
    """End the Engine that lives in `home` with everything it started, and delete the directory."""
    # Containers first: a daemon that ends waits ten seconds for each that takes no notice.
    groups = _cgroups_of(home)
    for group in groups:
        # The container's shim removes it, too, as soon as all are dead.
        with suppress(OSError):
            for contained in (group / "cgroup.procs").read_text().split():
                _end(int(contained), signal.SIGKILL)
    for process in _processes_of(home, program="dockerd"):
        _end(process, signal.SIGTERM)
    # Only what outlived a killed Engine is still there.
    for process in _processes_of(home):
        _end(process, signal.SIGKILL)
    for group in groups:
        with suppress(FileNotFoundError):
            group.rmdir()
    for mounted in sorted(_mounts_below(home), reverse=True):
        subprocess.run(("umount", "--lazy", mounted), check=True, timeout=_SECONDS_TO_END)
    for left in home.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        elif left != _lock_of(home):
            left.unlink()
    # Last, so that what is killed meanwhile can go on at the next start.
    shutil.rmtree(home)


def _start(home: Path, engine: Engine) -> None:
    program = shutil.which("dockerd")
    if program is None:
        raise EngineMissing("no Docker Engine answers, and dockerd is not installed: run `make test`")
    if os.geteuid() != 0:
        raise EngineMissing("no Docker Engine answers, and only root can start one: start Docker")
    settings = {
        "hosts": [engine.url],
        "data-root": str(home / "data"),
        "exec-root": str(home / "exec"),
        "pidfile": str(home / "pid"),
        # No bridge, no firewall rules: the Engine touches nothing of the machine's network.
        "bridge": "none",
        "iptables": False,
        "ip6tables": False,
        # A control group of the run's own, so that what a killed run left can be told.
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "cgroup-parent": f"/{home.name}",
        "shutdown-timeout": 1,
    }
    (home / "daemon.json").write_text(json.dumps(settings))
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            (program, "--config-file", home / "daemon.json"),
            cwd="/",
            env={"PATH": os.environ["PATH"], "HOME": str(home), "DOCKER_TMPDIR": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + _SECONDS_TO_ANSWER
    while not _answers(engine.url):
        if process.poll() is not None or time.monotonic() > deadline:
            words = (home / "log").read_text(errors="replace")[-_WORDS_OF_THE_LOG:]
            raise EngineMissing(f"dockerd does not start here: {words}")
        time.sleep(0.1)
    # The run's end waits for it by its number, from another process.
    process.returncode = 0


def _answers(url: str) -> bool:
    # docker-py leaves a socket open when nobody answers.
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_SECONDS_TO_ANSWER)
        try:
            connection.connect(url.removeprefix("unix://"))
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)
        except OSError:
            return False


def _lock_of(home: Path) -> Path:
    return home / "lock"


def _remove_deserted(home: Path) -> None:
    try:
        with _lock_of(home).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if home.exists():
                remove(home)
    except (FileNotFoundError, PermissionError, BlockingIOError):
        # Just being made, another user's, or in use.
        return


def _processes_of(home: Path, program: str = "") -> Iterator[int]:
    """What runs with this directory among its arguments: the daemon, containerd and each container's shim,
    which takes its container along."""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        is_ours = any(word.startswith(f"{home}/") or word.endswith(f"{home}/") for word in words)
        if is_ours and Path(words[0]).name.startswith(program):
            yield int(directory.name)


def _end(process: int, how: signal.Signals) -> None:
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(descriptor, how)
        ended, _, _ = select.select((descriptor,), (), (), _SECONDS_TO_END)
        if not ended:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select((descriptor,), (), (), _SECONDS_TO_END)
    finally:
        os.close(descriptor)


def _cgroups_of(home: Path) -> list[Path]:
    """Deepest first."""
    root = Path("/sys/fs/cgroup")
    # The second version has one tree, the first one a controller (some under two names).
    tops = {path.resolve() for path in (root / home.name, *root.glob(f"*/{home.name}")) if path.is_dir()}
    below = [path for top in tops for path in top.rglob("*") if path.is_dir()]
    return sorted({*tops, *below}, reverse=True)


def _mounts_below(home: Path) -> Iterator[str]:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        place = line.split(" ")[1]
        if place.startswith(f"{home}/"):
            yield place
