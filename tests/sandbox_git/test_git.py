"""Running git: bounded, and gone when it is no longer wanted."""

import asyncio
import os
from pathlib import Path

import pytest
import uvloop

from sandbox.base import Check
from sandbox.git import Git, GitFailed, ObjectReader, check_git
from sandbox.git.mirror import Mirror
from sandbox.result import line_counts
from tests.sandbox_git.origin import Origin


def children() -> set[str]:
    """The processes that this one started and that are still there."""
    own = f"PPid:\t{os.getpid()}\n"
    found = set()
    for place in Path("/proc").glob("[0-9]*/status"):
        try:
            if own in place.read_text():
                found.add(place.parent.name)
        except OSError:
            continue
    return found


async def test_output_is_bounded(origin: Origin, mirror: Mirror) -> None:
    """More than the limit ends git, and is an error where the whole was wanted."""
    base = origin.commit({"big.txt": "line\n" * 100_000})
    await mirror.fetch(origin.remote, base)

    finished = await mirror.git.finish("cat-file", "blob", f"{base}:big.txt", limit=1000, seconds=10)
    with pytest.raises(GitFailed, match="more than 1000 bytes"):
        await mirror.git.run("cat-file", "blob", f"{base}:big.txt", limit=1000, seconds=10)

    assert finished.cut
    assert len(finished.stdout) == 1000


async def test_time_is_bounded(mirror: Mirror) -> None:
    """A git that waits for ever is ended, with all it started."""
    before = children()

    with pytest.raises(GitFailed, match=r"not done after 0\.2 seconds"):
        await mirror.git.run("-c", "alias.x=!sleep 60", "x", limit=10, seconds=0.2)

    assert children() <= before


async def test_a_failure_says_what_git_said(mirror: Mirror) -> None:
    """The arguments, the exit status and git's own words, for the log and for `why`."""
    with pytest.raises(GitFailed) as raised:
        await mirror.git.run("rev-parse", "--verify", "nothing", limit=10, seconds=10)

    assert raised.value.argv == ("rev-parse", "--verify", "nothing")
    assert raised.value.exit_status == 128
    assert raised.value.stderr == "fatal: Needed a single revision\n"


async def test_the_doctor_is_told_of_git(tmp_path: Path) -> None:
    """A git that is new enough is fine; one that is not is named with what to do."""
    told = await check_git()
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 2.30.2\n")
    old.chmod(0o755)

    assert (told.name, told.result) == ("git", "ok")
    assert await check_git(str(old)) == Check(
        "git", "failed", "git version 2.30.2: too old", "Install git 2.38 or newer."
    )


def test_a_git_that_ends_at_once_is_no_error(tmp_path: Path) -> None:
    """Also on the event loop of the server, which closes the pipes of a process that has ended."""

    async def versions() -> set[bytes]:
        git = Git(tmp_path)
        asked = (git.run("version", limit=100, seconds=10, stdin=b"unread") for _ in range(8))
        return {answer[:12] for answer in await asyncio.gather(*asked)}

    for _ in range(5):
        assert uvloop.run(versions()) == {b"git version "}


async def test_one_process_reads_all_objects(origin: Origin, mirror: Mirror) -> None:
    """Many readers share it, objects fetched later are seen, and closing ends it."""
    first = origin.commit({f"{number}.txt": f"{number}\n" for number in range(20)})
    await mirror.fetch(origin.remote, first)
    before = children()
    reader = ObjectReader(mirror.git)

    names = [f"{first}:{number}.txt" for number in range(20)]
    contents = await asyncio.gather(*(reader.read(name, limit=10) for name in names))
    running = children() - before
    second = origin.commit({"later.txt": "later\n"})
    await mirror.fetch(origin.remote, second)

    assert [content for content in contents if content] == [("blob", f"{n}\n".encode()) for n in range(20)]
    assert len(running) == 1
    assert await reader.read(f"{second}:later.txt", limit=10) == ("blob", b"later\n")
    assert await reader.read("nothing", limit=10) is None
    await reader.close()
    assert children() <= before


async def test_a_reader_whose_process_died_starts_another(origin: Origin, mirror: Mirror) -> None:
    """The crash of one git is no end of the mirror."""
    base = origin.commit({"a.txt": "a\n"})
    await mirror.fetch(origin.remote, base)
    before = children()
    reader = ObjectReader(mirror.git)
    await reader.describe(base)
    (process,) = children() - before

    os.kill(int(process), 9)
    while process in children():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)

    assert await reader.read(f"{base}:a.txt", limit=10) == ("blob", b"a\n")
    await reader.close()


async def test_two_processes_make_one_mirror(origin: Origin, tmp_path: Path) -> None:
    """Opened twice, made twice at once and fetched into at once: one repository, no harm."""
    one, two = (Mirror(tmp_path / "m" / "1.git", protocols=("file",)) for _ in range(2))
    base = origin.commit({"a.txt": "a\n"})

    await asyncio.gather(one.ensure(), two.ensure())
    await asyncio.gather(*(each.fetch(origin.remote, base, "main") for each in (one, two, one, two)))

    assert await one.resolve("main") == await two.resolve("main") == base
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["1.git"]
    assert await Git(one.directory).run("fsck", "--strict", limit=1000, seconds=10) == b""
    await one.close()
    await two.close()


@pytest.mark.parametrize(
    ("before", "after", "counts"),
    [
        ("", "a\nb\n", (2, 0)),
        ("a\nb\n", "", (0, 2)),
        ("a\nb\nc\n", "a\nx\nc\n", (1, 1)),
        ("a\nb\nc\nd\n", "b\nc\nd\na\n", (1, 1)),
        ("a\0", "b\0", (0, 0)),
        ("\n".join(map(str, range(50_000))), "\n".join(map(str, range(50_000, 0, -1))), (1, 1)),
    ],
)
def test_lines_are_counted(before: str, after: str, counts: tuple[int, int]) -> None:
    """As `git diff --numstat` counts, but for binary files and for reversals of whole books."""
    assert line_counts(before.encode(), after.encode()) == counts
