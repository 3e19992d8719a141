"""The store of turns' files: the same on a disk and behind a URL; by it turns go on on other machines."""

import stat
from datetime import date
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.blobs import Blobs, FolderBlobs, UrlBlobs, blobs_of
from app.mirrors import Mirrors
from app.results import ResultLost, Results, forget_old
from app.settings import Settings, SettingsRefused, load_settings
from app.store.places import RepositoryRef
from app.store.turns import TurnRow
from app.tokens import PersonalToken
from app.turn_report import TreeState
from app.workspaces import FilesLost, Workspaces
from sandbox.base import Policy, SandboxMode
from sandbox.bubblewrap import BubblewrapDriver
from sandbox.git.mirror import Mirror, mirror_directory
from sandbox.result import ChangedFile
from tests.app.test_workspaces import done
from tests.sandbox_git.origin import Origin

NEW = TreeState(None)
WRITE = Policy(SandboxMode.WORKSPACE_WRITE)
PLACE = RepositoryRef(7, "maya/purl", None)
ROW = TurnRow(
    id="t1",
    thread="7-1",
    start="{}",
    request="",
    status="ended",
    outcome=None,
    snapshot=None,
    not_before=0.0,
    attempts=0,
    origin=None,
    created_at=1.8e9,
    started_at=1.8e9,
    ended_at=1.8e9,
)


@pytest.fixture(params=["folder", "url"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "folder":
        return FolderBlobs(tmp_path / "blobs")
    return UrlBlobs(f"memory://{tmp_path.name}/blobs")


def test_what_is_put_is_got_until_it_is_removed(blobs: Blobs, tmp_path: Path) -> None:
    """By its whole name; removed with all that is below."""
    (tmp_path / "a").write_bytes(b"of a file")
    blobs.put({"turns/1/content/a": tmp_path / "a"})
    blobs.put({"turns/1/content/a": tmp_path / "a"})
    blobs.put_bytes("turns/2/list", b"bytes")

    assert blobs.get("turns/1/content/a") == b"of a file"
    assert blobs.get("turns/2/list") == b"bytes"
    assert blobs.get("turns/3/list") is None
    assert blobs.below("turns") == ["1", "2"]
    assert blobs.below("results") == []

    blobs.remove("turns/1")
    blobs.remove("turns/3")
    assert blobs.get("turns/1/content/a") is None
    assert blobs.below("turns") == ["2"]


def test_nobody_else_on_the_machine_reads_it(tmp_path: Path) -> None:
    """Files of private repositories."""
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "a").chmod(0o644)
    blobs = FolderBlobs(tmp_path / "blobs")
    blobs.put({"turns/1/a": tmp_path / "a"})
    blobs.put_bytes("turns/1/b", b"x")

    assert [stat.S_IMODE((tmp_path / "blobs/turns/1" / n).stat().st_mode) for n in "ab"] == [0o600, 0o600]
    assert stat.S_IMODE((tmp_path / "blobs").stat().st_mode) == 0o700


async def test_results_are_kept_for_a_month(blobs: Blobs) -> None:
    """And then nobody asks for them."""
    for day in ("2026-10-01", "2026-11-20"):
        blobs.put_bytes(f"results/{day}/t", b"x")

    await forget_old(blobs, date(2026, 11, 23))

    assert blobs.below("results") == ["2026-11-20"]


def test_one_process_on_sqlite_needs_none_and_many_have_a_folder(tmp_path: Path) -> None:
    """What is set wins; what cannot be used is told with the way out."""
    bare = Settings(home=tmp_path)

    assert blobs_of(bare) is None
    many = bare.model_copy(update={"database_url": "postgresql://h/d"})
    assert blobs_of(many) == FolderBlobs(tmp_path / "blobs")
    set_by_hand = bare.model_copy(update={"store_url": f"file://{tmp_path}/else%20where"})
    assert blobs_of(set_by_hand) == FolderBlobs(tmp_path / "else where")
    with pytest.raises(SettingsRefused, match="DARNER_STORE_URL"):
        blobs_of(bare.model_copy(update={"store_url": "nosuch://x"}))
    with pytest.raises(SettingsRefused, match="credentials have places"):
        load_settings(store_url="s3://key:secret@bucket/x")


async def test_a_turn_goes_on_with_its_files_on_another_machine(blobs: Blobs, tmp_path: Path) -> None:
    """The tree of its last finished step; without it, it says what to look at instead of going on blindly."""
    origin = Origin(tmp_path / "origin.git")
    sha = origin.commit({"calc.py": "a - b\n"})
    results = {name: Results(_mirrors(tmp_path / name), blobs) for name in ("first", "second")}
    workspaces = {name: Workspaces(tmp_path / name, BubblewrapDriver()) for name in results}
    mirrors = {name: await _mirror(tmp_path / name, origin, sha) for name in results}
    elsewhere = results["first"].snapshots_of("t1")
    async with workspaces["first"].opened(
        "t1", sha, mirrors["first"], WRITE, NEW, elsewhere=elsewhere
    ) as pending:
        await done(await pending.sandbox(), "sed -i s/-/+/ calc.py; echo n > new; chmod +x new")
        kept = await pending.snapshot()
        await done(await pending.sandbox(), "echo half > new")

    opened = workspaces["second"].opened(
        "t1", sha, mirrors["second"], WRITE, TreeState(kept), elsewhere=elsewhere
    )
    async with opened as pending:
        checkout, sandbox = await pending.checkout(), await pending.sandbox()
        changes = await checkout.changes(sandbox.tree)
    await results["first"].forget_steps("t1")
    await workspaces["second"].remove("t1")
    again = workspaces["second"].opened(
        "t1", sha, mirrors["second"], WRITE, TreeState(kept), elsewhere=elsewhere
    )
    async with again as pending:
        with pytest.raises(FilesLost, match="DARNER_STORE_URL"):
            await pending.checkout()
    for name in results:
        await mirrors[name].close()
        await workspaces[name].close()

    assert [(change.path, change.mode, change.data) for change in changes] == [
        ("calc.py", "100644", b"a + b\n"),
        ("new", "100755", b"n\n"),
    ]


async def test_a_step_stores_what_it_changed_and_no_more(tmp_path: Path) -> None:
    """However many files the steps before it had changed."""
    blobs = FolderBlobs(tmp_path / "blobs")
    origin = Origin(tmp_path / "origin.git")
    sha = origin.commit({"calc.py": "a - b\n"})
    mirror = await _mirror(tmp_path, origin, sha)
    workspaces = Workspaces(tmp_path, BubblewrapDriver())
    elsewhere = Results(_mirrors(tmp_path), blobs).snapshots_of("t1")

    def stored() -> int:
        return len(blobs.below("turns/t1/content"))

    async with workspaces.opened("t1", sha, mirror, WRITE, NEW, elsewhere=elsewhere) as pending:
        await done(await pending.sandbox(), "for n in $(seq 20); do echo $n > f$n; done")
        await pending.snapshot()
        many = stored()
        await done(await pending.sandbox(), "echo more > f7")
        await pending.snapshot()
    await mirror.close()
    await workspaces.close()

    assert (many, stored()) == (20, 21)


async def test_a_result_is_the_same_commit_on_every_machine(blobs: Blobs, tmp_path: Path) -> None:
    """Who pushes need not be who worked; what is in no store is not made up."""
    origin = Origin(tmp_path / "origin.git")
    sha = origin.commit({"calc.py": "a - b\n", "old": "x\n"})
    changes = [
        ChangedFile("calc.py", "update", "100644", b"a + b\n"),
        ChangedFile("old", "delete", "000000", None),
        ChangedFile("ödd name", "add", "100755", b"\0\n"),
    ]
    first, second = (Results(_mirrors(tmp_path / name), blobs) for name in ("first", "second"))
    for name in ("first", "second"):
        await (await _mirror(tmp_path / name, origin, sha)).close()
    snapshot = await first.keep(ROW, first.mirrors.of(PLACE), sha, changes)
    row = TurnRow(**{name: getattr(ROW, name) for name in TurnRow.__slots__} | {"snapshot": snapshot})

    mirror = await second.mirror_with(PLACE, row, sha)
    read = await mirror.read_entry(snapshot, "calc.py", limit=100)
    blobs.remove("results")
    third = Results(_mirrors(tmp_path / "third"), blobs)
    await (await _mirror(tmp_path / "third", origin, sha)).close()
    with pytest.raises(ResultLost, match="DARNER_STORE_URL"):
        await third.mirror_with(PLACE, row, sha)
    for results in (first, second, third):
        await results.mirrors.close()

    assert read == b"a + b\n"


def _mirrors(home: Path) -> Mirrors:
    tokens = PersonalToken(SecretStr("none"), api_url="http://127.0.0.1:9")
    return Mirrors(home, web_url="http://127.0.0.1:9", tokens=tokens)


async def _mirror(home: Path, origin: Origin, sha: str) -> Mirror:
    mirror = Mirror(mirror_directory(home / "mirrors", PLACE.id), protocols=("file",))
    await mirror.ensure()
    await mirror.fetch(origin.remote, sha)
    return mirror
