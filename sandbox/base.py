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


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one command (the whole process tree it starts)."""

    wall_seconds: float = 600.0
    output_bytes: int = 8 * 1024 * 1024
    """Kept of one command's output (head and tail); the command is ended at sixteen times this."""
    processes: int = 512
    memory_bytes: int = 2 * 1024**3
    file_bytes: int = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Policy:
    """What a turn may do. The network is always off."""

    mode: SandboxMode
    limits: Limits = field(default_factory=Limits)
    protected_paths: tuple[str, ...] = PROTECTED_PATHS


@dataclass(frozen=True, slots=True)
class Workspace:
    """The host directories that make up one turn's checkout. Made by `sandbox.checkout`."""

    tree: Path
    """The checkout itself, shown at `WORKSPACE`. Holds no `.git`."""
    scratch: Path
    """Private to the turn: its `tmp/` and `home/` are shown at /tmp and /home/agent to all its commands."""
    git: Path | None = None
    """A git directory shown read-only at `WORKSPACE/.git`; the host never runs git with it."""
    objects: Path | None = None
    """An object store that `git` borrows from, shown read-only at `OBJECTS`."""


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


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a command. `exit_status` follows the shell: 128 + n for signal n, 124 for the time limit."""

    exit_status: int
    reason: EndReason
    seconds: float


class Process(Protocol):
    """One confined command, running or ended. Its whole tree dies with it."""

    async def wait(self, seconds: float) -> Ended | None:
        """The end, if it comes within `seconds` (all output is readable then); else None."""
        ...

    def take_output(self) -> bytes:
        """What was printed (both streams, in order) since the last call. Bounded by `Limits.output_bytes`."""
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

    async def start(self, command: Command) -> Process:
        """Raises `PathRefused` for a bad workdir, `CommandRefused` for words that no program can be given,
        and `SandboxUnavailable` when it cannot be confined."""
        ...


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `darner doctor`."""

    name: str
    result: Literal["ok", "warning", "failed"]
    detail: str
    remedy: str = ""


class Driver(Protocol):
    """A way to confine. Drivers are listed in `sandbox.drivers.DRIVERS`."""

    @property
    def name(self) -> str: ...

    @property
    def owner_uid(self) -> int | None:
        """Who must own a checkout so that commands inside may write to it; None: whoever runs the service."""
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
    """The command cannot be put to the kernel: empty, with a NUL character, or too long a word."""
