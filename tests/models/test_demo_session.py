"""The demo's session mends the demo's repository: its commands run, its patch applies, its tests pass."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from demo.model import BY_CONTENT, SESSIONS, Observer, ScriptedModel, create_app, load_sessions, serve
from demo.story import CHECK, MENTION, REPOSITORY
from harness.items import AgentMessage, Call, HistoryEntry, UserText
from harness.models import WireName, open_model
from harness.patch.parser import parse
from harness.patch.planning import apply, plan
from harness.protocols import ModelRequest
from sandbox.base import FileContent, FileEdit, FileMissing, RemoveFile, WriteFile
from tests.models.asking import EXEC, PATCH, entries_of, history_of
from tests.models.conformance import Conformance

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}


class FolderFiles:
    """The checkout of this test: a plain folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, path: str, *, limit: int) -> FileContent:
        file = self.folder / path
        if not file.is_file():
            raise FileMissing(path)
        return FileContent(file.read_bytes()[:limit], executable=False)

    def apply(self, edits: Sequence[FileEdit]) -> None:
        for edit in edits:
            match edit:
                case WriteFile(path=path, data=data):
                    (self.folder / path).write_bytes(data)
                case RemoveFile(path=path):
                    (self.folder / path).unlink()


def done_in(folder: Path, call: Call) -> str:
    """What the tool of this name would answer."""
    arguments = orjson.loads(call.arguments)
    if call.name == "exec_command":
        return run(folder, "bash", "-c", arguments["cmd"])
    if call.name == "apply_patch":
        files = FolderFiles(folder)
        return str(apply(plan(parse(arguments["input"]), files), files))
    return "Plan updated"


def run(folder: Path, *argv: str) -> str:
    ended = subprocess.run(
        argv, cwd=folder, env=ENVIRONMENT, check=False, capture_output=True, text=True, timeout=180
    )
    return f"{ended.stdout}{ended.stderr}\nexit {ended.returncode}"


def demo_model(observer: Observer | None = None) -> ScriptedModel:
    """The demo's own sessions, without its pauses."""
    return create_app(
        [replace(session, gap_seconds=0) for session in load_sessions(SESSIONS)], observer=observer
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return Path(shutil.copytree(REPOSITORY, tmp_path / "purl"))


async def played(app: ScriptedModel, wire: WireName, checkout: Path, request: str) -> tuple[list[Call], str]:
    """The conversation until an answer without a call: the calls made, and the last message."""
    calls: list[Call] = []
    entries: list[HistoryEntry] = [UserText(request)]
    async with (
        serve(app) as url,
        open_model(wire=wire, model=BY_CONTENT, base_url=f"{url}/v1", api_key="sk-x") as model,
    ):
        while True:
            asked = ModelRequest("Be brief.", (EXEC, PATCH), history_of(model, entries), "thread-1")
            output = (await model.respond(asked, on_text=lambda _text: None)).output
            made = [part for part in output if isinstance(part, Call)]
            for part in output:
                told = done_in(checkout, part) if isinstance(part, Call) else ""
                entries += entries_of(part, answer=told)
            calls += made
            if not made:
                return calls, "".join(part.text for part in output if isinstance(part, AgentMessage))


async def test_the_repository_is_mended(wire: WireName, checkout: Path) -> None:
    """The tests fail before and pass after, three files change, and the last word says what was done."""
    conformance = Conformance()
    before = run(checkout, *CHECK)
    calls, message = await played(demo_model(conformance), wire, checkout, f"user: {MENTION}")
    after = run(checkout, *CHECK)

    assert ("FAILED (failures=1)" in before, "\nOK\n" in after) == (True, True)
    assert "All 9 tests pass" in message
    assert [call.name for call in calls].count("apply_patch") == 1
    assert _changed(checkout) == ["CHANGES.md", "purl/spacing.py", "tests/test_spacing.py"]
    assert conformance.problems == []


async def test_a_mended_repository_is_left_alone(wire: WireName, checkout: Path) -> None:
    """Asked again, the agent finds no failing test and changes nothing."""
    await played(demo_model(), wire, checkout, MENTION)
    mended = (checkout / "purl/spacing.py").read_text()
    calls, message = await played(demo_model(), wire, checkout, MENTION)

    assert "apply_patch" not in [call.name for call in calls]
    assert "there is nothing to fix here" in message
    assert (checkout / "purl/spacing.py").read_text() == mended


async def test_another_request_is_told_that_the_model_is_scripted(wire: WireName, checkout: Path) -> None:
    """Who asks for something else learns what this model is and how to get a real one."""
    calls, message = await played(demo_model(), wire, checkout, "@darner rewrite it in COBOL")

    assert calls == []
    assert "scripted model" in message
    assert "OPENAI_API_KEY" in message


async def test_a_question_is_answered_without_a_change(wire: WireName, checkout: Path) -> None:
    """Who asks what this is gets an answer, and the files stay as they are."""
    conformance = Conformance()
    _, message = await played(demo_model(conformance), wire, checkout, "@darner what does this project do?")

    assert "arithmetic for knitters" in message
    assert (_changed(checkout), conformance.problems) == ([], [])


async def test_a_test_is_added_once(wire: WireName, checkout: Path) -> None:
    """Asked for a test, the agent adds one; asked again, it says that it is there."""
    conformance = Conformance()
    _, first = await played(demo_model(conformance), wire, checkout, "also add a test, please")
    changed = _changed(checkout)
    _, second = await played(demo_model(conformance), wire, checkout, "Add another test")
    ended = run(checkout, "python3", "-m", "unittest", "tests.test_row")

    assert (changed, "now has a test" in first, "there already" in second) == (
        ["tests/test_row.py"],
        True,
        True,
    )
    assert "\nOK\n" in ended
    assert conformance.problems == []


def _changed(checkout: Path) -> list[str]:
    names = [path.relative_to(REPOSITORY) for path in REPOSITORY.rglob("*") if path.is_file()]
    changed = (name for name in names if (checkout / name).read_bytes() != (REPOSITORY / name).read_bytes())
    return sorted(map(str, changed))
