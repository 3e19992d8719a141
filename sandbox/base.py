"""The vocabulary of confinement and the contract that every driver keeps. Performs nothing itself."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, Protocol

WORKSPACE: Final = "/workspace"
"""Where every driver shows the checkout to the commands of a turn."""

PROTECTED_PATHS: Final = (
    ".git",
    ".github/workflows",
    ".github/actions",
    ".github/CODEOWNERS",
    ".github/dependabot.yml",
    ".github/darner.yml",
    ".github/copilot-instructions.md",
    "CODEOWNERS",
    "docs/CODEOWNERS",
    "AGENTS.md",
    "CLAUDE.md",
    ".claude",
    ".cursor",
    ".mcp.json",
    ".gitmodules",
)
"""Repository-relative paths (a directory covers all below it) whose change a person must approve.

A name without a slash that is an instruction file (`AGENTS.md`, `CLAUDE.md`) counts in every directory.
"""


class SandboxMode(StrEnum):
    """What a turn may write."""

    READ_ONLY = "read-only"
    WORKSPACE_WRITE = "workspace-write"
    FULL_ACCESS = "danger-full-access"
    """The host's files, writable, and its network, as the sandbox's own user. Only an operator's file can
    ask for it; limits, the environment made from nothing and the death with the turn hold all the same."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one command (the whole process tree it starts); memory, processes, processors and disk on
    all commands of a turn together, where the driver can."""

    wall_seconds: float = 600.0
    output_bytes: int = 8 * 1024 * 1024
    """Kept of one command's output (head and tail); the command is ended at sixteen times this."""
    processes: int = 512
    memory_bytes: int = 2 * 1024**3
    cpus: float = 2.0
    """Processors' worth of time."""
    file_bytes: int = 2 * 1024**3
    """Of any one file."""
    disk_bytes: int = 4 * 1024**3
    """What a turn may add to its checkout, /tmp and home together; the command that goes beyond is ended."""


@dataclass(frozen=True, slots=True)
class Cache:
    """A host directory that turns of one repository and one trust level share, writable."""

    source: Path
    name: str
    """Below `~/.cache` inside: a single name such as `pip`."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a turn may do. Resolved once for each turn by `handlers.policy`, narrowing only."""

    mode: SandboxMode
    limits: Limits = field(default_factory=Limits)
    protected_paths: tuple[str, ...] = PROTECTED_PATHS
    allowed_hosts: tuple[str, ...] = ()
    """What the egress proxy lets through: `host`, `*.suffix`, `host:port`; empty is no network at all."""
    caches: tuple[Cache, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Added to the fixed environment of every command."""
    image: str | None = None
    """For drivers that run images; None is the driver's own."""


@dataclass(frozen=True, slots=True)
class Layers:
    """A checkout as overlayfs shows it: what turns share below, what this turn changed on top."""

    lower: tuple[Path, ...]
    """Host directories that nobody writes any more, topmost first."""
    upper: Path
    work: Path
    """overlayfs' own, empty, on the file system of `upper`."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """The host directories that make up one turn's checkout. Made by `sandbox.checkout`."""

    tree: Path
    """The checkout itself, shown at `WORKSPACE`; holds no `.git`. With `layers` an empty directory: the files
    are to be seen through `Sandbox.tree` only, while the sandbox is open."""
    scratch: Path
    """Private to the turn: its `tmp/` and `home/` are shown at /tmp and /home/agent to all its commands."""
    git: Path | None = None
    """A git directory shown read-only at `WORKSPACE/.git`; the host never runs git with it."""
    objects: Path | None = None
    """An object store that `git` borrows from, shown read-only at `OBJECTS`."""
    layers: Layers | None = None
    """For drivers whose `can_layer` says yes."""


OBJECTS: Final = "/run/darner/objects"
"""Where `Workspace.objects` appears inside; what `git/objects/info/alternates` of the view names."""


@dataclass(frozen=True, slots=True)
class Command:
    """One program to run inside; never a shell string made by us."""

    argv: tuple[str, ...]
    workdir: str = "."
    """Relative to the checkout, or absolute below `WORKSPACE`."""
    tty: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Added to the fixed environment of the sandbox."""
    wall_seconds: float | None = None
    """Tighter than the policy's limit, never wider."""


class EndReason(StrEnum):
    """Why a command is over."""

    EXITED = "exited"
    KILLED = "killed"
    WALL_TIME = "wall_time"
    OUTPUT = "output"
    DISK = "disk"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a command. `exit_status` follows the shell: 128 + n for signal n, 124 for the time limit."""

    exit_status: int
    reason: EndReason
    seconds: float


@dataclass(frozen=True, slots=True)
class Execution:
    """One program that a command started, as the kernel told of it: for audit, never a boundary."""

    argv: tuple[str, ...]
    cwd: str
    exit_status: int | None = None
    """None while it runs, or when the kernel does not tell."""
    seconds: float | None = None
    path: str = ""
    """The file as it was named: `argv[0]` may say something else."""


class Process(Protocol):
    """One confined command, running or ended. Its whole tree dies with it."""

    async def wait(self, seconds: float) -> Ended | None:
        """The end, if it comes within `seconds` (all output is readable then); else None."""
        ...

    def take_output(self) -> bytes:
        """What was printed (both streams, in order) since the last call. Bounded by `Limits.output_bytes`."""
        ...

    def take_notices(self) -> tuple[str, ...]:
        """Lines that the model should read beside the output since the last call: a host that was refused."""
        ...

    def executions(self) -> tuple[Execution, ...]:
        """The programs started so far, oldest first; bounded. Empty where the driver cannot tell."""
        ...

    async def write(self, data: bytes) -> None:
        """Send to its standard input. Raises `StdinClosed` when it takes none."""
        ...

    async def kill(self) -> None:
        """End the tree and wait until it is gone. Safe to call twice."""
        ...


@dataclass(frozen=True, slots=True)
class FileContent:
    """One regular file as read from a checkout."""

    data: bytes
    executable: bool


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Put `data` at `path`, creating parent directories; the mode is kept unless `executable` is given."""

    path: str
    data: bytes
    executable: bool | None = None


@dataclass(frozen=True, slots=True)
class RemoveFile:
    """Delete the regular file at `path`."""

    path: str


FileEdit = WriteFile | RemoveFile


class Files(Protocol):
    """The checkout as tools of ours see it: nothing outside is reachable, whatever symlinks it holds.

    Paths are relative to the checkout or absolute below `WORKSPACE`.
    """

    def read(self, path: str, *, limit: int) -> FileContent:
        """Raises `FileMissing`, `PathRefused` (outside, `.git`, not a regular file) or `FileTooLarge`."""
        ...

    def apply(self, edits: Sequence[FileEdit]) -> None:
        """All of `edits` or none of them. Raises as `read` does, and `ReadOnly` under a read-only policy."""
        ...


class Sandbox(Protocol):
    """An open sandbox: one turn's confinement."""

    @property
    def policy(self) -> Policy: ...

    @property
    def files(self) -> Files: ...

    @property
    def tree(self) -> int:
        """A descriptor of the checkout as the commands see it; closed with the sandbox."""
        ...

    async def start(self, command: Command) -> Process:
        """Raises `PathRefused` for a bad workdir, `CommandRefused` for words that no program can be given
        and for want of room in the turn's limits, `SandboxUnavailable` when it cannot be confined."""
        ...


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `darner doctor`."""

    name: str
    result: Literal["ok", "warning", "failed"]
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        """In one line, for a log or an answer."""
        return f"{self.name}: {self.detail.removesuffix('.')}. {self.remedy}".strip()


class Driver(Protocol):
    """A way to confine. Drivers are listed in `sandbox.drivers.DRIVERS`."""

    @property
    def name(self) -> str: ...

    @property
    def owner_uid(self) -> int | None:
        """Who must own a checkout so that commands inside may write to it; None: whoever runs the service."""
        ...

    async def can_layer(self, directory: Path) -> bool:
        """Whether it can show `Workspace.layers` whose upper lies on the file system of `directory`."""
        ...

    def open(self, workspace: Workspace, policy: Policy) -> AbstractAsyncContextManager[Sandbox]:
        """A sandbox whose every process is dead when the context ends. Raises `SandboxUnavailable`."""
        ...

    async def check(self) -> tuple[Check, ...]:
        """Build the real thing, look at it from inside and tell what holds."""
        ...


class SandboxError(Exception):
    """Something about confinement went wrong."""


class SandboxUnavailable(SandboxError):
    """The policy cannot be enforced here; nothing was run."""

    def __init__(self, reason: str, *, remedy: str) -> None:
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{reason} {remedy}")


class PathRefused(SandboxError):
    """The path leads outside the checkout, into `.git`, or to something that is not a regular file."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(f"{path}: {why}")


class FileMissing(SandboxError):
    """There is no file at this path in the checkout."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"{path}: no such file in the checkout")


class FileTooLarge(SandboxError):
    """The file is larger than the reader asked for."""

    def __init__(self, path: str, limit: int) -> None:
        self.path = path
        self.limit = limit
        super().__init__(f"{path}: larger than {limit} bytes")


class ReadOnly(SandboxError):
    """The policy is read-only: nothing may be written."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"{path}: this turn is read-only; nothing was written")


class StdinClosed(SandboxError):
    """The command takes no input: it ended, or was started without a terminal."""


class CommandRefused(SandboxError):
    """The command cannot be put to the kernel (empty, with a NUL character, too long a word), or the turn's
    limit on processes or memory is reached."""
