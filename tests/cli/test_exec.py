"""`darner exec` as people and scripts use it: the real program, a model over HTTP, a real sandbox."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from demo.model import HttpError, ScriptedCall, ScriptedModel, Session, Turn, create_app, serve
from demo.model.session import rate_limited
from tests.cli.processes import processes_with, until
from tests.cli.program import Ran, environment, fingerprint, run_darner, start_darner

FIX = """\
*** Begin Patch
*** Update File: greet.py
@@
-    return "helo"
+    return "hello"
*** End Patch
"""

MENDING = (
    Turn(
        text="I look first.",
        calls=(ScriptedCall(name="exec_command", arguments={"cmd": "cat greet.py; echo scratch > run.log"}),),
    ),
    Turn(
        calls=(
            ScriptedCall(name="apply_patch", input=FIX),
            ScriptedCall(
                name="exec_command", arguments={"cmd": "rm notes.txt; mkdir -p docs; echo new > docs/new.txt"}
            ),
        )
    ),
    Turn(text="The greeting is spelled right now."),
)


@asynccontextmanager
async def endpoint(*turns: Turn, home: Path) -> AsyncIterator[tuple[ScriptedModel, dict[str, str]]]:
    """A model that gives these answers, and the settings that lead to it."""
    app = create_app([Session(name="scripted-test", turns=turns)])
    async with serve(app) as url:
        yield app, environment(home) | {"OPENAI_BASE_URL": f"{url}/v1", "DARNER_MODEL": "scripted-test"}


def events(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.mark.parametrize("wire", ["responses", "chat"])
async def test_a_turn_changes_the_files_and_nothing_in_git(home: Path, repo: Path, wire: str) -> None:
    """With `--json` the events come in order; what was patched, made and removed is in the directory."""
    git_before = fingerprint(repo / ".git")
    async with endpoint(*MENDING, home=home) as (_, settings):
        ran = await run_darner(
            *("exec", "--json", "--sandbox", "workspace-write", "--repo", str(repo), "Mend the greeting"),
            settings=settings | {"DARNER_MODEL_WIRE": wire},
        )
    assert ran.exit_status == 0, ran
    told = [(event["type"], event.get("item", {}).get("type")) for event in events(ran)]
    assert [kind for kind in told if kind[0] != "item.updated" and kind[1] != "model_call"] == [
        ("thread.started", None),
        ("turn.started", None),
        ("item.completed", "user_message"),
        ("item.started", "agent_message"),
        ("item.completed", "agent_message"),
        ("item.started", "command_execution"),
        ("item.completed", "command_execution"),
        ("item.started", "file_change"),
        ("item.started", "command_execution"),
        ("item.completed", "file_change"),
        ("item.completed", "command_execution"),
        ("item.started", "agent_message"),
        ("item.completed", "agent_message"),
        ("turn.completed", None),
    ]
    assert events(ran)[-1]["changes"] == [
        {"path": "docs/new.txt", "kind": "add"},
        {"path": "greet.py", "kind": "update"},
        {"path": "notes.txt", "kind": "delete"},
    ]
    assert (repo / "greet.py").read_text() == 'def greet():\n    return "hello"\n'
    assert sorted(path.name for path in repo.iterdir()) == [".git", ".gitignore", "docs", "greet.py"]
    assert fingerprint(repo / ".git") == git_before


async def test_a_person_gets_the_final_message_alone_on_standard_output(home: Path, repo: Path) -> None:
    """Progress goes to standard error: the message can be piped on."""
    async with endpoint(*MENDING, home=home) as (_, settings):
        ran = await run_darner("exec", "Mend the greeting", settings=settings, cwd=repo)
    assert (ran.exit_status, ran.stdout) == (0, "The greeting is spelled right now.\n")
    shown = ran.stderr.splitlines()
    assert "I look first." in shown
    assert "$ cat greet.py; echo scratch > run.log" in shown
    assert "patched greet.py" in shown
    assert shown[-5:-2] == ["A docs/new.txt", "M greet.py", "D notes.txt"]
    assert shown[-1].startswith("Go on with: darner exec --resume exec-")


async def test_a_directory_that_is_no_repository_is_worked_on_the_same_way(
    home: Path, tmp_path: Path
) -> None:
    """No git is needed: files come and go all the same."""
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "greet.py").write_text('def greet():\n    return "helo"\n')
    (plain / "notes.txt").write_text("one\n")
    async with endpoint(*MENDING, home=home) as (_, settings):
        ran = await run_darner("exec", "--repo", str(plain), "Mend the greeting", settings=settings)
    assert ran.exit_status == 0, ran
    assert (plain / "greet.py").read_text() == 'def greet():\n    return "hello"\n'
    assert not (plain / "notes.txt").exists()
    assert (plain / "docs/new.txt").read_text() == "new\n"


async def test_a_read_only_turn_changes_nothing(home: Path, repo: Path) -> None:
    """Its writes fail inside, and the directory is as it was."""
    before = fingerprint(repo)
    async with endpoint(*MENDING, home=home) as (_, settings):
        ran = await run_darner(
            "exec", "--json", "--sandbox", "read-only", "--repo", str(repo), "Look", settings=settings
        )
    assert ran.exit_status == 0, ran
    done = [event["item"] for event in events(ran) if event["type"] == "item.completed"]
    (change,) = [item for item in done if item["type"] == "file_change"]
    assert (change["status"], "read-only" in change["output"]) == ("failed", True)
    assert fingerprint(repo) == before


async def test_the_instructions_of_the_directory_and_the_prompt_reach_the_model(
    home: Path, repo: Path
) -> None:
    """AGENTS.md of the directory counts, and what was asked comes last."""
    (repo / "AGENTS.md").write_text("Spell everything right.\n")
    async with endpoint(Turn(text="Yes."), home=home) as (app, settings):
        await run_darner("exec", "--repo", str(repo), "Mend the greeting", settings=settings)
    (exchange,) = app.exchanges
    told = exchange.request["input"][0]["content"]
    text = told if isinstance(told, str) else told[0]["text"]
    assert "Spell everything right." in text
    assert text.endswith("Mend the greeting")


async def test_a_thread_is_resumed_with_its_history(home: Path, repo: Path) -> None:
    """The second run knows what the first one was asked and said."""
    async with endpoint(Turn(text="First."), Turn(text="Second."), home=home) as (app, settings):
        first = await run_darner("exec", "--json", "--repo", str(repo), "Begin", settings=settings)
        thread = events(first)[0]["thread_id"]
        second = await run_darner("exec", "--repo", str(repo), "--resume", thread, "Go on", settings=settings)
    assert (second.exit_status, second.stdout) == (0, "Second.\n")
    begun, resumed = (json.dumps(exchange.request["input"]) for exchange in app.exchanges)
    assert resumed.startswith(begun[:-1])
    assert "Go on" in resumed.removeprefix(begun[:-1])


@pytest.mark.parametrize(
    ("arguments", "settings", "status", "told"),
    [
        (["exec"], {}, 2, "Missing argument"),
        (["exec", " "], {}, 2, "The prompt is empty"),
        (["exec", "--sandbox", "danger-full-access", "x"], {}, 2, "danger-full-access"),
        (["exec", "x"], {"DARNER_MODEL": ""}, 2, "No model is set"),
        (["exec", "x"], {"DARNER_MODEL_WIRE": "pigeon"}, 2, "DARNER_MODEL_WIRE"),
        (["exec", "--resume", "nothing", "x"], {}, 2, "There is no thread 'nothing'"),
        (
            ["exec", "--sandbox", "workspace-write", "x"],
            {"DARNER_SANDBOX_MODE": "read-only"},
            3,
            "mode workspace-write (read-only at most, says the operator)",
        ),
        (["exec", "x"], {"PATH": "/nonexistent"}, 3, "bubblewrap"),
        (
            ["exec", "x"],
            {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "DARNER_TURN_SECONDS": "0.1"},
            4,
            "limit",
        ),
    ],
)
async def test_the_exit_status_tells_what_kept_the_turn_from_its_end(
    home: Path, repo: Path, arguments: Sequence[str], settings: dict[str, str], status: int, told: str
) -> None:
    """Usage is 2, policy is 3, a limit is 4; each comes with a sentence, and changes nothing."""
    before = fingerprint(repo)
    async with endpoint(Turn(text="Unasked."), home=home) as (_, endpoint_settings):
        ran = await run_darner(*arguments, settings=endpoint_settings | settings, cwd=repo)
    assert (ran.exit_status, ran.stdout) == (status, "")
    assert told in " ".join(ran.stderr.split())
    assert fingerprint(repo) == before


async def test_a_failing_endpoint_is_exit_status_1_and_an_event(home: Path, repo: Path) -> None:
    """Programs read `turn.failed` with a reason; people read it on standard error."""
    refused = Turn(fault=HttpError(status=401, code="invalid_api_key", message="Incorrect API key."))
    async with endpoint(refused, home=home) as (_, settings):
        ran = await run_darner("exec", "--json", "--repo", str(repo), "x", settings=settings)
    assert ran.exit_status == 1
    assert events(ran)[-1]["type"] == "turn.failed"
    assert "refused the key" in events(ran)[-1]["error"]["message"]


async def test_the_step_limit_ends_the_turn_with_what_it_has(home: Path, repo: Path) -> None:
    """Exit status 4, and the changes made so far are in the directory."""
    async with endpoint(*MENDING, home=home) as (_, settings):
        ran = await run_darner(
            "exec", "--json", "--repo", str(repo), "x", settings=settings | {"DARNER_TURN_STEPS": "2"}
        )
    assert (ran.exit_status, events(ran)[-1]["outcome"]) == (4, "exhausted")
    assert "hello" in (repo / "greet.py").read_text()


async def test_a_budget_ends_the_turn_and_the_ones_after_it(home: Path, repo: Path) -> None:
    """Exit status 4; the next turn of the thread asks the model for nothing."""
    async with endpoint(*MENDING, home=home) as (app, settings):
        settings["DARNER_BUDGET"] = '{"thread": {"tokens": 1}}'
        first = await run_darner("exec", "--json", "--repo", str(repo), "x", settings=settings)
        thread = events(first)[0]["thread_id"]
        again = await run_darner("exec", "--resume", thread, "y", settings=settings, cwd=repo)
    assert (first.exit_status, again.exit_status, len(app.exchanges)) == (4, 4, 1)
    assert "This conversation's budget of 1 token is spent." in again.stderr


async def test_a_limit_of_the_endpoint_that_is_too_far_off_is_not_waited_for(home: Path, repo: Path) -> None:
    """`Retry-After` of an hour: exit status 4 at once, with the reason."""
    limited = Turn(text="Late.", fault=rate_limited(3600))
    async with endpoint(limited, home=home) as (_, settings):
        ran = await run_darner("exec", "--repo", str(repo), "x", settings=settings)
    assert (ran.exit_status, ran.stdout) == (4, "")
    assert "limits its rate" in ran.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interruption_leaves_no_process_and_no_change(
    home: Path, repo: Path, number: signal.Signals
) -> None:
    """Ctrl-C in the middle of a command: exit status 130, the tree is dead, the directory as it was."""
    marker = f"7{os.getpid()}.{time.monotonic_ns() % 10**9}"
    sleeping = f"echo x > new.txt; (setsid sleep {marker} &) ; sleep {marker}"
    turn = Turn(calls=(ScriptedCall(name="exec_command", arguments={"cmd": sleeping}),))
    before = fingerprint(repo)
    async with endpoint(turn, home=home) as (_, settings):
        process = await start_darner("exec", "--json", "--repo", str(repo), "x", settings=settings)
        await until(lambda: len(processes_with(marker)) >= 2)
        process.send_signal(number)
        stdout, _ = await asyncio.wait_for(process.communicate(), timeout=180)
    assert process.returncode == 130
    assert processes_with(marker) == []
    last = json.loads(stdout.splitlines()[-1])
    assert (last["type"], last["outcome"], last["changes"]) == ("turn.failed", "stopped", [])
    assert fingerprint(repo) == before
    assert list((home / "darner/local").iterdir()) == []


async def test_a_reader_that_goes_away_ends_the_turn(home: Path, repo: Path) -> None:
    """`darner exec --json … | head -1` does not work on for nobody, and prints no traceback."""
    turns = (Turn(calls=(ScriptedCall(name="exec_command", arguments={"cmd": "sleep 1"}),)),) * 30
    async with endpoint(*turns, home=home) as (app, settings):
        process = await start_darner(
            "exec", "--json", "--repo", str(repo), "x", settings=settings, is_read=False
        )
        assert process.stderr is not None
        stderr = await asyncio.wait_for(process.stderr.read(), timeout=180)
        await process.wait()
    assert (process.returncode, len(app.exchanges) < 5) == (130, True)
    assert b"Traceback" not in stderr


async def test_an_interruption_is_heard_while_the_endpoint_makes_one_wait(home: Path, repo: Path) -> None:
    """Two minutes of `Retry-After` do not have to be sat through."""
    limited = Turn(text="Late.", fault=rate_limited(120))
    async with endpoint(limited, home=home) as (app, settings):
        process = await start_darner("exec", "--json", "--repo", str(repo), "x", settings=settings)
        await until(lambda: len(app.exchanges) == 1)
        await asyncio.sleep(0.5)
        process.send_signal(signal.SIGINT)
        stdout, _ = await asyncio.wait_for(process.communicate(), timeout=180)
    assert (process.returncode, json.loads(stdout.splitlines()[-1])["outcome"]) == (130, "stopped")


async def test_a_killed_turn_leaves_no_process_and_its_thread_goes_on(home: Path, repo: Path) -> None:
    """After `kill -9` the tree is dead, the copy goes with the next run, the model is told what was lost."""
    marker = f"9{os.getpid()}.{time.monotonic_ns() % 10**9}"
    sleeping = ScriptedCall(name="exec_command", arguments={"cmd": f"echo x > new.txt; sleep {marker}"})
    async with endpoint(Turn(calls=(sleeping,)), Turn(text="Again."), home=home) as (app, settings):
        process = await start_darner("exec", "--json", "--repo", str(repo), "Begin", settings=settings)
        assert process.stdout is not None
        thread = json.loads(await process.stdout.readline())["thread_id"]
        await until(lambda: processes_with(marker) != [])
        process.kill()
        await asyncio.wait_for(process.communicate(), timeout=180)
        await until(lambda: processes_with(marker) == [])
        (abandoned,) = (home / "darner/local").iterdir()
        os.utime(abandoned, (0, 0))
        ran = await run_darner("exec", "--repo", str(repo), "--resume", thread, "Go on", settings=settings)
    assert (ran.exit_status, ran.stdout) == (0, "Again.\n")
    told = json.dumps(app.exchanges[-1].request["input"])
    assert "interrupted, and none of its changes reached the directory" in told.replace("\\n", " ")
    assert list((home / "darner/local").iterdir()) == []
    assert not (repo / "new.txt").exists()


async def test_the_directory_must_not_hold_the_data_of_darner(home: Path) -> None:
    """Or the turn could read the journal of every other one."""
    async with endpoint(Turn(text="Unasked."), home=home) as (_, settings):
        ran = await run_darner("exec", "--repo", str(home), "x", settings=settings)
    assert (ran.exit_status, "holds Darner's own data" in ran.stderr) == (2, True)


async def test_a_secret_of_the_process_is_out_of_reach_of_the_turn(home: Path, repo: Path) -> None:
    """Neither the environment nor the home of the program can be read by a command."""
    key = "sk-planted-0123456789"
    (home / "darner").mkdir()
    (home / "darner/planted").write_text(key)
    look = f"env; cat /proc/*/environ; cat {home}/darner/planted; ls {home}"
    turns = (Turn(calls=(ScriptedCall(name="exec_command", arguments={"cmd": look}),)), Turn(text="Done."))
    async with endpoint(*turns, home=home) as (_, settings):
        ran = await run_darner(
            "exec", "--json", "--repo", str(repo), "x", settings=settings | {"OPENAI_API_KEY": key}
        )
    assert ran.exit_status == 0, ran
    assert key not in ran.stdout


async def test_a_directory_cannot_set_what_the_turn_on_it_may_do(home: Path, repo: Path) -> None:
    """A `.env` there could send the key elsewhere or open the sandbox: it is passed over, aloud."""
    (repo / ".env").write_text("OPENAI_BASE_URL=http://127.0.0.1:1/v1\nDARNER_SANDBOX_MODE=read-only\n")
    (repo / "darner.toml").write_text('home = "/nonexistent"\n')
    async with endpoint(Turn(text="Here."), home=home) as (app, settings):
        ran = await run_darner("exec", "--sandbox", "workspace-write", "x", settings=settings, cwd=repo)
    assert (ran.exit_status, ran.stdout, len(app.exchanges)) == (0, "Here.\n", 1)
    assert [line.split()[1] for line in ran.stderr.splitlines() if "is not read here" in line] == [
        ".env",
        "darner.toml",
    ]


async def test_settings_files_of_another_directory_count(home: Path, repo: Path) -> None:
    """The directory one is in may hold them, as long as no turn works on it."""
    async with endpoint(Turn(text="Here."), home=home) as (_, settings):
        (home / ".env").write_text(f"DARNER_MODEL={settings.pop('DARNER_MODEL')}\n")
        ran = await run_darner("exec", "--repo", str(repo), "x", settings=settings, cwd=home)
    assert (ran.exit_status, ran.stdout) == (0, "Here.\n")
