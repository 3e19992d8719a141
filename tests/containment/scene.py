"""A host worth attacking: secrets, neighbours, listeners, a process; and if anything happened to them."""

import contextlib
import hashlib
import os
import platform
import pty
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from sandbox.base import Limits, SandboxMode, Workspace
from tests.containment.attacks.attack import Facts

LIMITS: Final = Limits(
    wall_seconds=20,
    output_bytes=256 * 1024,
    processes=96,
    memory_bytes=256 * 1024**2,
    file_bytes=16 * 1024**2,
    disk_bytes=64 * 1024**2,
)
"""Tight, so that reaching them takes no time."""
_ATTACKS: Final = Path(__file__).parent / "attacks"
_GIT: Final = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
_IDENTITY: Final = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")


@dataclass(frozen=True, slots=True)
class Scene:
    """The host's side. All of it belongs to the user whom attacks run as: no mode of a file protects it."""

    directory: Path
    workspace: Workspace
    next_turn: Workspace
    """Of another turn on the same repository."""
    user: int
    marker: str
    canary: "subprocess.Popen[bytes]"
    listeners: tuple[socket.socket, ...]
    terminal: int
    """The host's end of a terminal."""
    terminal_name: str
    programs: tuple[Path, ...]
    """Of the host, which attacks are run by."""

    def facts(self, mode: SandboxMode, *, inside: bool) -> Facts:
        """What attackers are told; paths of theirs as they see them."""
        tcp, tcp6, udp, *_ = self.listeners
        tree = self.workspace.tree
        return Facts(
            mode=mode.value,
            workspace="/workspace" if inside else str(tree),
            home="/home/agent" if inside else str(self.workspace.scratch / "home"),
            temporary="/tmp" if inside else str(self.workspace.scratch / "tmp"),
            marker=self.marker,
            scene=str(self.directory),
            secret=str(self.directory / "secret"),
            neighbour=str(self.directory / "neighbour"),
            data=str(self.directory / "data"),
            elsewhere=str(self.directory / "elsewhere"),
            mirror=str(self.directory / "mirror.git"),
            service_socket=str(self.directory / "service.sock"),
            abstract_socket=f"darner-{self.marker}",
            tcp_port=tcp.getsockname()[1],
            tcp6_port=tcp6.getsockname()[1],
            udp_port=udp.getsockname()[1],
            addresses=_addresses(),
            canary=self.canary.pid,
            service=os.getpid(),
            terminal=self.terminal_name,
            node=platform.node(),
            machine=_machine_id(),
            processes=LIMITS.processes,
            memory_bytes=LIMITS.memory_bytes,
            file_bytes=LIMITS.file_bytes,
            disk_bytes=LIMITS.disk_bytes,
            open_files=65_536,
            patience=14 if inside else 0,
        )

    def photograph(self, mode: SandboxMode) -> dict[str, str]:
        """Everything that no attack may change, told so that two of them can be compared."""
        tree = self.workspace.tree
        kept = [
            self.directory / name
            for name in ("secret", "neighbour", "data", "elsewhere", "mirror.git", "program")
        ]
        kept += [self.directory / "git", self.directory / "objects", tree / ".github/workflows"]
        kept += [tree / "AGENTS.md", tree / ".claude"]
        if mode is SandboxMode.READ_ONLY:
            kept.append(tree)
        found = {str(path): _told(path) for top in kept for path in (top, *sorted(top.rglob("*")))}
        found |= {str(path): _told(path, content=False) for path in self.programs}
        return found | {"process": "alive" if self.canary.poll() is None else "dead"}

    def damage(self, before: dict[str, str], mode: SandboxMode) -> list[str]:
        """What an attack did to the host, in words; empty is what should be."""
        after = self.photograph(mode)
        found = [
            f"{name} was {before.get(name, 'missing')}, is {after.get(name, 'missing')}"
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        ]
        return [*found, *self._connections(), *self._typed(), *self._odd_files(), *self._left_behind()]

    def without_a_view(self) -> None:
        """Put the repository where it is without a sandbox."""
        git = self.workspace.tree / ".git"
        shutil.copytree(self.directory / "git", git)
        for path in (git, *git.rglob("*")):
            if os.geteuid() == 0:
                os.chown(path, self.user, self.user)

    def clean(self) -> None:
        """Take away what an attack has left in places of its own, and on the host."""
        for process in _processes_marked(self.marker):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for path in self._marked_files():
            path.unlink()
        # What an attack was ended for.
        shutil.rmtree(self.workspace.scratch / "tmp/full", ignore_errors=True)
        for kind, command in (("shm", "-m"), ("msg", "-q"), ("sem", "-s")):
            for identifier in _sysv_marked(kind, self.marker):
                subprocess.run(("ipcrm", command, identifier), check=False)

    def _connections(self) -> Iterator[str]:
        for listener in self.listeners:
            with contextlib.suppress(BlockingIOError):
                if listener.type & socket.SOCK_STREAM:
                    listener.accept()[0].close()
                else:
                    listener.recv(100)
                yield f"something came in at {listener.getsockname()}"

    def _typed(self) -> Iterator[str]:
        with contextlib.suppress(BlockingIOError):
            yield f"the host's terminal shows {os.read(self.terminal, 1000)!r}"

    def _odd_files(self) -> Iterator[str]:
        tree, scratch = self.workspace.tree, self.workspace.scratch
        for top in (tree, scratch / "tmp", scratch / "home"):
            for path in top.rglob("*"):
                # Where the view of the history is mounted: made by the driver.
                if path == tree / ".git":
                    continue
                status = path.lstat()
                kind = stat.S_IFMT(status.st_mode)
                if kind in {stat.S_IFBLK, stat.S_IFCHR} or (status.st_mode & 0o6000):
                    yield f"{path} has mode {status.st_mode:o}"
                if status.st_uid != self.user:
                    yield f"{path} belongs to {status.st_uid}"

    def _left_behind(self) -> Iterator[str]:
        for process in _processes_marked(self.marker):
            yield f"process {process.pid} is still there"
        for path in self._marked_files():
            yield f"{path} is there"
        for kind in ("shm", "msg", "sem"):
            for identifier in _sysv_marked(kind, self.marker):
                yield f"System V {kind} {identifier} is there"

    def _marked_files(self) -> list[Path]:
        places = (Path("/tmp"), Path("/dev/shm"), Path("/var/tmp"), Path("/dev/mqueue"))
        return [place / self.marker for place in places if (place / self.marker).exists()]


@contextmanager
def open_scene(user: int) -> Iterator[Scene]:
    """Build it, and take it down."""
    marker = str(secrets.randbelow(900_000_000) + 100_000_000)
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="darner-scene-"))
        stack.callback(_remove, directory)
        directory.chmod(0o755)
        _plant(directory)
        for path in (directory, *directory.rglob("*")):
            if os.geteuid() == 0:
                os.chown(path, user, user, follow_symlinks=False)
        listeners = tuple(stack.enter_context(listener) for listener in _listeners(directory, marker))
        ours, theirs = pty.openpty()
        os.set_blocking(ours, False)
        stack.callback(os.close, ours)
        stack.callback(os.close, theirs)
        terminal_name = os.ttyname(theirs)
        Path(terminal_name).chmod(0o666)
        secret = _secret()
        canary = subprocess.Popen(
            # A program that waits for ever, with something to find in its memory.
            (str(directory / "program"), "-c", "read line", secret),
            stdin=subprocess.PIPE,
            env={"CANARY": secret},
            user=user if os.geteuid() == 0 else None,
            group=user if os.geteuid() == 0 else None,
        )
        stack.callback(_ended, canary)
        os.environ["CANARY"] = secret
        stack.callback(os.environ.pop, "CANARY", None)
        inherited = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        os.set_inheritable(inherited, True)
        stack.callback(os.close, inherited)
        scene = Scene(
            directory=directory,
            workspace=Workspace(
                tree=directory / "tree",
                scratch=directory / "scratch",
                git=directory / "git",
                objects=directory / "objects",
            ),
            next_turn=Workspace(tree=directory / "next/tree", scratch=directory / "next/scratch"),
            user=user,
            marker=marker,
            canary=canary,
            listeners=listeners,
            terminal=ours,
            terminal_name=terminal_name,
            programs=tuple(
                Path(found).resolve()
                for found in (shutil.which("bwrap"), shutil.which("python3"), "/bin/sh")
                if found
            ),
        )
        stack.callback(scene.clean)
        yield scene


def _plant(directory: Path) -> None:
    texts = {
        "secret": _secret(),
        "neighbour/main.py": _secret(),
        "data/darner.db": _secret(),
        "elsewhere/tmp/note": _secret(),
        "elsewhere/home/note": _secret(),
        "mirror.git/config": _secret(),
        "mirror.git/HEAD": "ref: refs/heads/main\n",
        "mirror.git/hooks/update.sample": "#!/bin/sh\n",
        "mirror.git/objects/one": "object\n",
        "objects/one": "object\n",
        "tree/.github/workflows/ci.yml": "on: push\n",
        "tree/.github/labels": "bug\n",
        "tree/AGENTS.md": "Be kind.\n",
        "tree/src/main.py": "print('hello')\n",
    }
    for name, text in texts.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o666)
        path.parent.chmod(0o777)
    (directory / "tree/.claude").mkdir(mode=0o777)
    for name in ("scratch/tmp", "scratch/home", "next/scratch/tmp", "next/scratch/home"):
        (directory / name).mkdir(parents=True)
    tree = directory / "tree"
    shutil.copy("/bin/sh", directory / "program")
    for turn in (tree, directory / "next/tree"):
        shutil.copytree(_ATTACKS, turn / "attacks", ignore=shutil.ignore_patterns("__pycache__"))
    git = ("git", *_IDENTITY, "--git-dir", str(directory / "git"), "--work-tree", str(tree))
    for arguments in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "-m", "one")):
        subprocess.run((*git, *arguments), env=_GIT, check=True, capture_output=True)


def _listeners(directory: Path, marker: str) -> Iterator[socket.socket]:
    path = directory / "service.sock"
    for family, kind, address in (
        (socket.AF_INET, socket.SOCK_STREAM, ("0.0.0.0", 0)),  # noqa: S104 - in reach on purpose
        (socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
        (socket.AF_INET, socket.SOCK_DGRAM, ("0.0.0.0", 0)),  # noqa: S104
        (socket.AF_UNIX, socket.SOCK_STREAM, str(path)),
        (socket.AF_UNIX, socket.SOCK_STREAM, f"\0darner-{marker}"),
    ):
        listener = socket.socket(family, kind)
        listener.bind(address)
        if kind == socket.SOCK_STREAM:
            listener.listen(16)
        listener.setblocking(False)
        yield listener
    path.chmod(0o777)


def _told(path: Path, *, content: bool = True) -> str:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return "missing"
    words = [f"{status.st_mode:o}", str(status.st_uid), str(status.st_nlink), str(status.st_mtime_ns)]
    if stat.S_ISREG(status.st_mode) and content:
        words.append(hashlib.sha256(path.read_bytes()).hexdigest()[:12])
    words += [f"{name}={os.getxattr(path, name, follow_symlinks=False)!r}" for name in _attributes(path)]
    return " ".join(words)


def _attributes(path: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return os.listxattr(path, follow_symlinks=False)
    return []


def _processes_marked(marker: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(("cmdline", "status"))
        if process.info["status"] != psutil.STATUS_ZOMBIE and marker in (process.info["cmdline"] or [])
    ]


def _sysv_marked(kind: str, marker: str) -> list[str]:
    lines = Path("/proc/sysvipc", kind).read_text(encoding="ascii").splitlines()[1:]
    return [line.split()[1] for line in lines if line.split()[0] == marker]


def _addresses() -> tuple[str, ...]:
    return tuple(
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    )


def _machine_id() -> str:
    with contextlib.suppress(FileNotFoundError):
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()
    return ""


def _secret() -> str:
    return f"canary:{secrets.token_hex(16)}"


def _ended(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _remove(directory: Path) -> None:
    subprocess.run(("chmod", "-R", "u+rwX", str(directory)), check=False, capture_output=True)
    shutil.rmtree(directory)
