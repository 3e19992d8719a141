"""A checkout in a real sandbox: git works inside on borrowed objects, and nothing of git's comes back."""

from pathlib import Path

import pytest

from sandbox.base import Command, Policy, Sandbox, SandboxMode
from sandbox.bubblewrap import BubblewrapDriver
from sandbox.checkout import check_out
from sandbox.checkout.layers import LayerStore
from sandbox.checkout.local import adopt
from sandbox.git.mirror import Mirror
from tests.sandbox_git.origin import Origin

WRITE = Policy(SandboxMode.WORKSPACE_WRITE)


async def shell(sandbox: Sandbox, script: str) -> str:
    """What a script prints, with its exit status as the last line."""
    process = await sandbox.start(Command(("bash", "-c", f"{script}\necho $?")))
    ended = await process.wait(30)
    assert ended is not None
    return process.take_output().decode()


@pytest.mark.parametrize("kind", ["layers", "all files"])
async def test_git_works_inside_and_stays_there(
    origin: Origin, mirror: Mirror, tmp_path: Path, kind: str
) -> None:
    """Status, diff, log and blame answer; nothing can be written to `.git`; only the edit comes back."""
    base = origin.commit({"calc.py": "a - b\n", "src/x.py": "x\n"})
    await mirror.fetch(origin.remote, base)
    driver = BubblewrapDriver()
    store = None
    if kind == "layers":
        if not await driver.can_layer(tmp_path):
            pytest.skip("no overlay can be mounted on this file system")
        store = LayerStore(mirror, owner_uid=driver.owner_uid)
    checkout = await check_out(mirror, base, tmp_path / "turn", owner_uid=driver.owner_uid, layers=store)

    async with driver.open(checkout.workspace, WRITE) as sandbox:
        before = await shell(sandbox, "git status --porcelain && git log --format=%s")
        after = await shell(
            sandbox,
            "sed -i 's/-/+/' calc.py && git status --porcelain && git blame -s calc.py | cut -d' ' -f2-",
        )
        writing = await shell(sandbox, "git commit -qam x 2>/dev/null; touch .git/x 2>/dev/null")
        hiding = await shell(sandbox, "mv .git .gone 2>/dev/null; rm -rf .git 2>/dev/null; ls -d .git")
        changes = await checkout.changes(sandbox.tree)
    await checkout.remove()

    assert before == "A day's work\n0\n"
    assert after == " M calc.py\n1) a + b\n0\n"
    assert writing == "1\n"
    assert hiding == ".git\n0\n"
    assert [(change.path, change.data, change.problem) for change in changes] == [
        ("calc.py", b"a + b\n", None)
    ]


@pytest.mark.parametrize("is_repository", [True, False])
async def test_a_local_directory_in_the_sandbox(origin: Origin, tmp_path: Path, is_repository: bool) -> None:
    """Commands work on the copy; the directory changes when the turn is over."""
    origin.commit({"calc.py": "a - b\n"})
    project = origin.work
    if not is_repository:
        (project / ".git").rename(tmp_path / "elsewhere")
    driver = BubblewrapDriver()
    local = await adopt(project, tmp_path / "frame", owner_uid=driver.owner_uid)

    async with driver.open(local.workspace, WRITE) as sandbox:
        printed = await shell(sandbox, "sed -i 's/-/+/' calc.py; git status --porcelain 2>/dev/null")
        untouched = (project / "calc.py").read_text()
    told = await local.finish()
    await local.remove()

    assert printed == (" M calc.py\n0\n" if is_repository else "128\n")
    assert untouched == "a - b\n"
    assert [change.path for change in told] == ["calc.py"]
    assert (project / "calc.py").read_text() == "a + b\n"
    assert (project / "calc.py").stat().st_uid == project.stat().st_uid
