"""A mirror over the years: packed beside its turns, nothing lost, nothing left lying."""

import os
import subprocess
import time

from sandbox.git.filelock import locked
from sandbox.git.mirror import ChangedFile, Identity, Mirror
from tests.sandbox_git.origin import DAY, Origin


def git(mirror: Mirror, *arguments: str, said: bytes = b"") -> str:
    finished = subprocess.run(
        ("git", *arguments), cwd=mirror.directory, input=said, capture_output=True, check=True, timeout=180
    )
    return finished.stdout.decode().strip()


async def test_what_many_turns_leave_is_packed_and_nothing_is_lost(origin: Origin, mirror: Mirror) -> None:
    """Also what no ref reaches: a turn that runs may stand on it. Who reads meanwhile reads on."""
    shas = []
    for number in range(3):
        shas.append(origin.commit({"a.txt": f"{number}\n"}))
        await mirror.fetch(origin.remote, shas[-1])
    someone, change = Identity("a", "a@example.org"), ChangedFile("b.txt", "add", "100644", b"b\n")
    shas.append(await mirror.commit(parent=shas[0], changes=[change], message="m", author=someone, date=DAY))
    stray = git(mirror, "hash-object", "-w", "--stdin", said=b"s\n")
    assert not await mirror.maintain()
    refs = (f"create refs/darner/commits/{number:040} {shas[0]}\n" for number in range(600))
    git(mirror, "update-ref", "--stdin", said="".join(refs).encode())

    assert await mirror.maintain()

    assert not await mirror.maintain()
    assert git(mirror, "count-objects") == "0 objects, 0 kilobytes"
    assert len(list((mirror.objects / "pack").glob("*.pack"))) == 1
    assert await mirror.read_blob(stray, limit=10) == b"s\n"
    assert await mirror.read(shas[-1], "b.txt", limit=10) == b"b\n"
    for sha in shas:
        assert await mirror.has(sha)


async def test_one_process_packs(origin: Origin, mirror: Mirror) -> None:
    """The others go on with their turns."""
    await mirror.fetch(origin.remote, sha := origin.commit({"a.txt": "a\n"}))
    refs = (f"create refs/darner/commits/{number:040} {sha}\n" for number in range(600))
    git(mirror, "update-ref", "--stdin", said="".join(refs).encode())
    async with locked(mirror.directory / "darner-upkeep.lock", seconds=1):
        assert not await mirror.maintain()

    assert await mirror.maintain()


async def test_what_a_killed_process_left_is_swept(origin: Origin, mirror: Mirror) -> None:
    """Half a fetch, half a diff, half a mirror: once they are old enough to be nobody's."""
    base = origin.commit({"a.txt": "a\n"})
    await mirror.fetch(origin.remote, base)
    young = mirror.directory / "darner-passing-young"
    left = [
        mirror.directory / "darner-passing-0",
        mirror.directory.parent / ".new-0",
        mirror.objects / "pack" / "tmp_pack_0",
    ]
    for path in (*left[:2], young):
        path.mkdir()
    left[2].write_bytes(b"half")
    for path in left:
        os.utime(path, (time.time() - 7200,) * 2)

    again = Mirror(mirror.directory, protocols=("file",))
    await again.ensure()

    assert [path for path in left if path.exists()] == []
    assert young.exists()
    assert await again.has(base)
    await again.close()
