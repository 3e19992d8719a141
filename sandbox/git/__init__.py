"""Run the host's git on repositories that only the host writes; never in a tree that an agent could touch.

The rules are those of a service that handles hostile repositories: arguments as tuples, an environment built
from nothing, no hooks, no helpers, bounded time and output, and a token that is in no argument, no variable
and no file below a repository.
"""

import asyncio
import os
import re
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sandbox.base import Check, FileTooLarge, SandboxError, SandboxUnavailable

DEFAULT_PROTOCOLS: Final = ("http", "https")
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_STDERR_KEPT: Final = 16 * 1024
_CHUNK: Final = 64 * 1024
_PATIENCE: Final = 10.0
_OLDEST: Final = (2, 38)
"""The first with `cat-file --batch-command`."""
# Both on the command line and in the mirror's configuration: either alone would be enough.
_SETTINGS: Final = (
    ("core.hooksPath", "/dev/null"),
    ("core.attributesFile", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("credential.helper", ""),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("index.version", "2"),
)
ASKPASS: Final = """\
#!/bin/sh
# Answers git's two questions for one host, from the file it is told of, and nothing else.
{ read -r scheme; read -r host; read -r username; read -r token; } <"$DARNER_CREDENTIAL" || exit 1
case "$1" in
    "Username for '$scheme://$host': ") printf '%s\\n' "$username" ;;
    "Password for '$scheme://$username@$host': ") printf '%s\\n' "$token" ;;
    *) exit 1 ;;
esac
"""
"""The program that `logged_in` names; `Mirror.ensure` puts it at `ASKPASS_NAME` of the repository."""
ASKPASS_NAME: Final = "darner-askpass"


class GitFailed(SandboxError):
    """git ended with an error, was cut short, or printed more than it may."""

    def __init__(self, argv: Sequence[str], exit_status: int, stderr: str) -> None:
        self.argv = tuple(argv)
        self.exit_status = exit_status
        self.stderr = stderr
        super().__init__(f"git {' '.join(argv)}: exit {exit_status}: {stderr.strip() or 'no message'}")


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository over the network and what opens it. The URL itself never holds a credential."""

    url: str
    username: str
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if "@" in parts.netloc or self.url.startswith("-") or not self.url.isprintable() or " " in self.url:
            raise ValueError("a remote's URL holds no credential, no space and no control character")
        if any(not value.isprintable() or " " in value for value in (self.username, self.token)):
            raise ValueError("a credential is one printable word")


@dataclass(frozen=True, slots=True)
class Finished:
    """What one git process left behind."""

    exit_status: int
    stdout: bytes
    stderr: str
    cut: bool
    """Whether output was dropped because there was more than the limit; git was ended then."""


@dataclass(frozen=True, slots=True)
class Git:
    """git bound to one host-owned git directory."""

    directory: Path
    protocols: tuple[str, ...] = DEFAULT_PROTOCOLS
    credential: int | None = None
    """The open file that `ASKPASS` answers from; see `logged_in`."""

    async def run(
        self,
        *arguments: str,
        limit: int,
        seconds: float,
        stdin: bytes = b"",
        accept: Sequence[int] = (0,),
        environment: Mapping[str, str] | None = None,
    ) -> bytes:
        """Standard output of a git that ended well. Raises `GitFailed`, also for more than `limit` bytes."""
        finished = await self.finish(
            *arguments, limit=limit, seconds=seconds, stdin=stdin, environment=environment
        )
        if finished.cut:
            raise GitFailed(arguments, finished.exit_status, f"more than {limit} bytes of output")
        if finished.exit_status not in accept:
            raise GitFailed(arguments, finished.exit_status, finished.stderr)
        return finished.stdout

    async def finish(
        self,
        *arguments: str,
        limit: int,
        seconds: float,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run git to its end, whatever that is. Raises `GitFailed` only when the time is up."""
        process = await self.start(*arguments, environment=environment)
        try:
            async with asyncio.timeout(seconds):
                return await _communicate(process, stdin=stdin, limit=limit)
        except TimeoutError:
            raise GitFailed(arguments, 124, f"not done after {seconds:g} seconds") from None
        finally:
            await end(process)

    async def start(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        stderr: int = asyncio.subprocess.PIPE,
    ) -> asyncio.subprocess.Process:
        """A running git with pipes. The caller hands it to `end`, whatever happens."""
        settings = [word for name, value in _SETTINGS for word in ("-c", f"{name}={value}")]
        return await asyncio.create_subprocess_exec(
            git_program(),
            *settings,
            *arguments,
            cwd=self.directory,
            env=self._environment() | dict(environment or {}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            pass_fds=() if self.credential is None else (self.credential,),
            start_new_session=True,
        )

    def _environment(self) -> dict[str, str]:
        login = {
            "GIT_ASKPASS": str(self.directory / ASKPASS_NAME),
            "DARNER_CREDENTIAL": f"/proc/self/fd/{self.credential}",
        }
        return {
            "PATH": _PATH,
            "HOME": "/nonexistent",
            "LC_ALL": "C",
            "GIT_DIR": str(self.directory),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_ALLOW_PROTOCOL": ":".join(self.protocols),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "/bin/false",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            **(login if self.credential is not None else {}),
        }


def git_program() -> str:
    """Where git is. Raises `SandboxUnavailable` when it is not installed."""
    found = shutil.which("git", path=_PATH) or shutil.which("git")
    if found is None:
        raise SandboxUnavailable("git is not installed.", remedy="Install the package `git`.")
    return found


async def check_git(program: str | None = None) -> Check:
    """Whether the git that is installed, or the one at `program`, can do what is asked of it here."""
    try:
        program = program or git_program()
    except SandboxUnavailable as error:
        return Check("git", "failed", error.reason, error.remedy)
    process = await asyncio.create_subprocess_exec(
        program,
        "version",
        env={"PATH": _PATH, "LC_ALL": "C"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            text = (await _pipe_of(process).read()).decode(errors="replace").strip()
    except TimeoutError:
        return Check("git", "failed", f"{program} does not answer", "Look at why, and try again.")
    finally:
        await end(process)
    found = re.search(r"(\d+)\.(\d+)", text)
    if found is None or (int(found[1]), int(found[2])) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        return Check("git", "failed", f"{text or program}: too old", f"Install git {oldest} or newer.")
    return Check("git", "ok", text)


def _pipe_of(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    if process.stdout is None:
        raise RuntimeError("started without a pipe")
    return process.stdout


@contextmanager
def logged_in(git: Git, remote: Remote) -> Iterator[Git]:
    """`git` as it can log in to the host of `remote`, and to no other, while the context is open.

    The variables name a program and a file, not the token: that is in the file, which is in memory only, so
    nothing of it stays on a disk, however the service ends. The program compares git's whole question, so a
    redirect to another host, or a rewritten URL, gets no answer.
    """
    parts = urlsplit(remote.url)
    if not remote.token or parts.scheme not in DEFAULT_PROTOCOLS:
        yield git
        return
    answers = os.memfd_create("darner-credential")
    try:
        lines = (parts.scheme, parts.netloc, remote.username, remote.token)
        os.write(answers, "".join(f"{line}\n" for line in lines).encode())
        yield replace(git, credential=answers)
    finally:
        os.close(answers)


class ObjectReader:
    """Objects of one repository, through one long-lived `git cat-file`. Started at the first question.

    Belongs to one event loop. `close` ends the process; the next question starts another.
    """

    def __init__(self, git: Git) -> None:
        self._git = git
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def describe(self, name: str) -> tuple[str, str, int] | None:
        """Object id, type and size of `name`; None when there is none."""
        async with self._lock:
            return await self._ask("info", name)

    async def read(self, name: str, *, limit: int) -> tuple[str, bytes] | None:
        """Type and content of `name`; None when there is none. Raises `FileTooLarge` above `limit` bytes."""
        async with self._lock:
            described = await self._ask("info", name)
            if described is None:
                return None
            if described[2] > limit:
                raise FileTooLarge(name, limit)
            return described[1], await self._contents(described[0])

    async def close(self) -> None:
        """End the process, if one runs."""
        async with self._lock:
            await self._drop()

    async def _ask(self, command: str, name: str) -> tuple[str, str, int] | None:
        if not name or "\n" in name or "\0" in name:
            return None
        process = self._process
        if process is None or process.returncode is not None or _pipes(process)[0].is_closing():
            await self._drop()
            process = self._process = await self._git.start(
                "cat-file", "--batch-command", stderr=asyncio.subprocess.DEVNULL
            )
        answered = False
        try:
            stdin, stdout = _pipes(process)
            stdin.write(f"{command} ".encode() + os.fsencode(name) + b"\n")
            await stdin.drain()
            words = (await stdout.readuntil(b"\n")).split()
            answered = True
        except (asyncio.IncompleteReadError, BrokenPipeError, ConnectionResetError) as error:
            raise GitFailed(("cat-file", "--batch-command"), -1, "the process ended early") from error
        finally:
            if not answered:
                await self._drop()
        if len(words) != 3 or not words[2].isdigit():
            return None
        return words[0].decode(), words[1].decode(), int(words[2])

    async def _contents(self, object_id: str) -> bytes:
        described = await self._ask("contents", object_id)
        if described is None or self._process is None:
            raise GitFailed(("cat-file", "--batch-command"), -1, f"{object_id} went away")
        whole = False
        try:
            data = await _pipes(self._process)[1].readexactly(described[2] + 1)
            whole = True
        except asyncio.IncompleteReadError as error:
            raise GitFailed(("cat-file", "--batch-command"), -1, "the process ended early") from error
        finally:
            if not whole:
                await self._drop()
        return data[:-1]

    async def _drop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await end(process)


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of a process and of all it started, and wait until it is gone."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.stdin is not None:
        process.stdin.close()
    await asyncio.shield(_drained(process))


async def _drained(process: asyncio.subprocess.Process) -> None:
    for stream in (process.stdout, process.stderr):
        while stream is not None and await stream.read(_CHUNK):
            pass
    await process.wait()


async def _communicate(process: asyncio.subprocess.Process, *, stdin: bytes, limit: int) -> Finished:
    async with asyncio.TaskGroup() as group:
        group.create_task(_feed(process, stdin))
        errors = group.create_task(_tail(process))
        output, cut = await _head(process, limit)
    return Finished(
        exit_status=await process.wait(),
        stdout=output,
        stderr=errors.result().decode(errors="replace"),
        cut=cut,
    )


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    writer = _pipes(process)[0]
    if writer.is_closing():
        # The process has ended already: uvloop closes the pipe then, and to write to it would be an error.
        return
    # A git that ends without reading all of its input says why on standard error.
    with suppress(BrokenPipeError, ConnectionResetError):
        writer.write(data)
        await writer.drain()
        writer.close()


async def _head(process: asyncio.subprocess.Process, limit: int) -> tuple[bytes, bool]:
    """The first `limit` bytes. Reads on to the end: asyncio waits for ever on a pipe that is full."""
    kept = bytearray()
    is_cut = False
    reader = _pipes(process)[1]
    while chunk := await reader.read(_CHUNK):
        kept += chunk[: limit - len(kept) + 1]
        if len(kept) > limit and not is_cut:
            is_cut = True
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return bytes(kept[:limit]), is_cut


async def _tail(process: asyncio.subprocess.Process) -> bytes:
    kept = bytearray()
    reader = process.stderr
    while reader is not None and (chunk := await reader.read(_CHUNK)):
        kept += chunk
        del kept[:-_STDERR_KEPT]
    return bytes(kept)


def _pipes(process: asyncio.subprocess.Process) -> tuple[asyncio.StreamWriter, asyncio.StreamReader]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("started without pipes")
    return process.stdin, process.stdout
