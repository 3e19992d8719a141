"""Started by hand: the commands of the manual, in processes of their own, killed and started again."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from alembic import command
from alembic.config import Config

from app.store.database import MIGRATIONS, engine_for
from demo.model import ScriptedCall, Turn
from tests.cli.program import run_darner
from tests.stories.by_hand import API_KEY, PLANTED, REPOSITORY, WEBHOOK_SECRET, House, opened
from tests.stories.sessions import runs, says, session
from tests.stories.world import BOT, PATIENCE_SECONDS, POLL_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    home = tmp_path_factory.mktemp("house")
    rules = home / "rules.toml"
    rules.write_text('[[prefix]]\npattern = ["shred"]\ndecision = "ask"\nmatch = ["shred x"]\n')
    async with opened(home, extra={"DARNER_RULES": str(rules)}) as made:
        yield made


@pytest.mark.parametrize("wire", ["responses", "chat"])
async def test_forge_and_server_started_by_hand_do_the_main_job(house: House, wire: str) -> None:
    """An issue written on the forge's page becomes a draft pull request, whichever wire the model speaks."""
    if house.settings.get("DARNER_MODEL_WIRE", "responses") != wire:
        await house.stop()
        house.settings["DARNER_MODEL_WIRE"] = wire
        await house.serve()
    issue = await house.opens_issue("Rows come out short", "11 and 3 make 10.\n\n@darner mend spread")

    final = await house.final_comment(issue)

    [pull] = await house.pulls_for(issue)
    assert final.startswith("✅ **Done**")
    assert f"[#{pull.number}]" in final
    assert (pull.author, pull.is_draft, pull.base_ref) == (BOT, True, "main")
    fixed = await house.maya.file(REPOSITORY, "purl/spacing.py", ref=pull.head_ref)
    assert "if place < left_over else" in fixed
    assert {exchange.wire for exchange in house.model.exchanges if exchange.status == 200} >= {wire}


async def test_a_killed_server_goes_on_where_it_was(house: House) -> None:
    """`kill -9` in the midst of a command: nothing done is done again, and what was half done is gone."""
    house.model.teach(
        session(
            "count to three",
            runs("echo one >> tally.txt"),
            runs("echo two >> tally.txt && touch counting && sleep 50"),
            runs("echo three >> tally.txt && test ! -e counting"),
            says("Counted."),
        )
    )
    issue = await house.opens_issue("Counting", "@darner count to three")
    await house.writes("tally.txt", "one\ntwo\n")
    await house.stop(signal.SIGKILL)
    [(before,)] = house.rows("SELECT id FROM turns WHERE status != 'ended'")

    await house.serve()
    final = await house.final_comment(issue)

    [pull] = await house.pulls_for(issue)
    assert await house.maya.file(REPOSITORY, "tally.txt", ref=pull.head_ref) == "one\nthree\n"
    assert final.startswith("✅ **Done**")
    assert f"Turn `{before}`" in final
    commands = [item for item in house.journal(before) if item["type"] == "command_execution"]
    assert [item["command"].split()[1] for item in commands] == ["one", "two", "three"]
    assert "interrupted" in str(commands[1])
    assert commands[2]["exit_code"] == 0
    assert len(await house.bot_comments(issue)) == 2
    charged = house.rows("SELECT item FROM charges WHERE turn = ? AND model != ''", before)
    calls = [item["id"] for item in house.journal(before) if item["type"] == "model_call"]
    assert sorted(charged) == sorted((call,) for call in calls)


async def test_a_parked_turn_outlives_the_server_and_its_command_runs_once(house: House) -> None:
    """Killed while it waits: the next server hears the answer, and goes on where it was."""
    shred = "shred -u README.md && echo once >> tally.txt"
    house.model.teach(session("shred by hand", runs(shred), says("Shredded.")))
    issue = await house.opens_issue("Shredding", "@darner shred by hand")
    asked = await house.final_comment(issue)
    found = re.search(r"approve ([0-9a-f]{8})", asked)
    assert found, asked
    [(before,)] = house.rows("SELECT id FROM turns WHERE status = 'parked'")
    await house.stop(signal.SIGKILL)

    # The time of what was asked before stays as it was told.
    house.settings["DARNER_APPROVAL_HOURS"] = "0.0004"
    await house.serve()
    await house.maya.says(REPOSITORY, issue, f"@darner approve {found[1]}")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(said := await house.bot_comments(issue)) < 4:
            await asyncio.sleep(POLL_SECONDS * 5)

    assert said[-1].body.startswith("✅ **Done**")
    assert f"Turn `{before}`" in said[-1].body
    [pull] = await house.pulls_for(issue)
    assert await house.maya.file(REPOSITORY, "tally.txt", ref=pull.head_ref) == "once\n"
    assert [item["type"] for item in house.journal(before)].count("command_execution") == 1


async def test_a_request_that_nobody_answers_counts_as_denied(house: House) -> None:
    """The parked turn wakes by itself when the time is up; an answer comes too late then."""
    house.model.teach(session("shred in vain", runs("shred -u README.md"), says("Not shredded.")))
    issue = await house.opens_issue("Shredding", "@darner shred in vain")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(said := await house.bot_comments(issue)) < 3:
            await asyncio.sleep(POLL_SECONDS * 5)

    assert "Not shredded." in said[-1].body
    [(turn,)] = house.rows("SELECT id FROM turns ORDER BY created_at DESC LIMIT 1")
    answers = [item["answer"]["text"] for item in house.journal(turn) if item["type"] == "command_execution"]
    assert answers == [
        "The command was not run. A person was asked, and nobody answered in time: that counts as no."
    ]
    await house.maya.says(REPOSITORY, issue, "@darner approve " + said[1].body.split("approve ")[1][:8])
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(said := await house.bot_comments(issue)) < 4:
            await asyncio.sleep(POLL_SECONDS * 5)
    assert "expired at" in said[-1].body


async def test_a_database_of_the_version_before_goes_on(house: House) -> None:
    """A new version takes up what the old one left: ended turns are shown, the one that ran is finished."""
    house.model.teach(
        session(
            "count the rows",
            runs("echo one >> rows.txt"),
            runs("echo two >> rows.txt && sleep 50"),
            runs("echo three >> rows.txt"),
            says("Counted."),
        )
    )
    issue = await house.opens_issue("Rows", "@darner count the rows")
    await house.writes("rows.txt", "one\ntwo\n")
    await house.stop(signal.SIGKILL)
    [(before,)] = house.rows("SELECT id FROM turns WHERE status != 'ended'")
    ended = house.rows("SELECT id, outcome FROM turns WHERE status = 'ended' ORDER BY id")
    await asyncio.to_thread(_one_version_back, house)

    await house.serve()
    final = await house.final_comment(issue)

    assert final.startswith("✅ **Done**")
    assert f"Turn `{before}`" in final
    assert house.rows("SELECT id, outcome FROM turns WHERE id != ? ORDER BY id", before) == ended


def _one_version_back(house: House) -> None:
    """The tables as the migration before the newest left them; what they held stays."""
    engine = engine_for(f"sqlite:///{house.data / 'darner.db'}")
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.downgrade(config, "-1")
    engine.dispose()


async def test_the_operator_directs_a_turn_from_the_command_line(house: House) -> None:
    """`darner threads`: what is at work is shown, told something and stopped, and says by whom."""
    house.model.teach(
        session("wind wool", runs("touch winding; sleep 2"), *[runs("sleep 60")] * 6, says("Wound."))
    )
    issue = await house.opens_issue("Winding", "@darner wind wool")
    await house.writes("winding", "")
    listed = await run_darner("threads", "list", "--json", settings=house.settings)
    [thread] = [row["thread"] for row in json.loads(listed.stdout) if row["number"] == issue]

    steered = await run_darner("threads", "steer", thread, "wind it twice", settings=house.settings)
    shown = ""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while "wind it twice" not in shown:
            shown = (await run_darner("threads", "show", thread, settings=house.settings)).stdout
            await asyncio.sleep(POLL_SECONDS)
    stopped = await run_darner("threads", "stop", thread, settings=house.settings)
    final = await house.final_comment(issue)

    assert "reads it before its next step" in steered.stdout
    assert "ends within seconds" in stopped.stdout
    assert re.search(r"Turn \w+: running, [\d,]+ tokens, [\d,]+ of them without a price", shown)
    assert final.startswith("🛑 **Stopped by the operator**")
    again = await run_darner("threads", "stop", thread, settings=house.settings)
    assert (again.exit_status, "Nothing is at work" in again.stderr) == (1, True)
    asked = await run_darner("threads", "resume", thread, settings=house.settings)
    assert f"The answer stands in {REPOSITORY}#{issue} within seconds" in asked.stdout
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (said := await house.final_comment(issue)).startswith("Asked by the operator."):
            await asyncio.sleep(POLL_SECONDS)
    assert "What starts by itself may start here again." in said
    archived = await run_darner("threads", "archive", thread, settings=house.settings)
    listed = await run_darner("threads", "list", settings=house.settings)
    everything = await run_darner("threads", "list", "--all", settings=house.settings)
    assert "Set aside." in archived.stdout
    assert [thread in shown.stdout for shown in (listed, everything)] == [False, True]


async def test_a_forge_that_is_ill_when_the_server_starts_costs_it_a_moment(house: House) -> None:
    """Who it is, it asks again at once: it does not begin to work without knowing."""
    answers = [_answer(200, f'{{"id": 7, "login": "{BOT}"}}'), _answer(502), _answer(502)]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop() if len(answers) > 1 else answers[0])
        await writer.drain()
        writer.close()

    await house.stop()
    forge_url = house.settings["DARNER_GITHUB_URL"]
    log = house.home / "serve.log"
    logged = len(log.read_text())
    try:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as forge:
            port = forge.sockets[0].getsockname()[1]
            house.settings["DARNER_GITHUB_URL"] = f"http://127.0.0.1:{port}"
            await house.serve()
            await house.stop()
    finally:
        house.settings["DARNER_GITHUB_URL"] = forge_url
    await house.serve()

    told = log.read_text()[logged:]
    assert told.count("forge.unreachable") == 2
    [first, _] = [line for line in told.splitlines() if "server.started" in line]
    assert BOT in first


def _answer(status: int, body: str = "") -> bytes:
    head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n{body}".encode()


async def test_no_tool_can_read_a_secret(house: House) -> None:
    """Keys, tokens and files of the server's home are out of reach of every tool, and out of every answer."""
    home = house.home
    planted = f"{home}/.ssh/id_planted"
    token = house.settings["DARNER_GITHUB_TOKEN"]
    secrets = (token, API_KEY, WEBHOOK_SECRET, PLANTED)
    image = ScriptedCall(name="view_image", arguments={"path": "leak.png"})
    absolute = ScriptedCall(name="view_image", arguments={"path": planted})
    house.model.teach(
        session(
            "look around",
            runs(
                "env; cat /proc/*/environ | tr '\\0' '\\n'",
                f"cat {planted}; ls -laR {home}; cat {home}/darner/darner.db",
                "find / -maxdepth 4 -name 'darner*' -o -name id_planted; cat /etc/shadow",
                "git config --list; cat .git/config; git log -1 --format=%H",
                f"ln -s {planted} leak.txt && ln -s {planted} leak.png && ln -s {home} outside",
            ),
            Turn(
                calls=(
                    _patch(f"*** Update File: leak.txt\n@@\n-{PLANTED}\n+mine"),
                    _patch("*** Add File: outside/planted.txt\n+mine"),
                    _patch("*** Add File: ../../planted.txt\n+mine"),
                    _patch(f"*** Add File: {home}/planted.txt\n+mine"),
                    image,
                    absolute,
                )
            ),
            says(f"The token is {token}, the key {API_KEY}."),
        )
    )
    issue = await house.opens_issue("Looking around", "@darner look around")

    final = await house.final_comment(issue)

    [(turn,)] = house.rows("SELECT id FROM turns ORDER BY created_at DESC LIMIT 1")
    answers = [item["answer"]["text"] for item in house.journal(turn) if item.get("answer")]
    asked = [str(exchange.request) for exchange in house.model.exchanges]
    seen = [*answers, *(text.replace(f"-{PLANTED}", "") for text in asked if "look around" in text)]
    assert [secret for secret in secrets for text in seen if secret in text] == []
    assert answers[5:] == [
        "No file was changed. patch line 2: cannot update leak.txt: leads outside the checkout",
        "No file was changed. patch line 2: outside/planted.txt: leads outside the checkout",
        "No file was changed. patch line 2: ../../planted.txt: '..' has no place in the path of a patch",
        f"No file was changed. patch line 2: {home}/planted.txt: outside the checkout",
        "leak.png: leads outside the checkout",
        f"{planted}: outside the checkout",
    ]
    assert not list(home.rglob("planted.txt"))
    assert (home / ".ssh" / "id_planted").read_text() == f"{PLANTED}\n"
    assert "The token is [secret removed], the key [secret removed]." in final
    assert final.startswith("🚫 **Refused by policy**")
    assert "- `leak.txt`: a symlink to an absolute path" in final
    # The paths have "pytest" in them; no tests were run all the same.
    assert "Checked with" not in final
    assert await house.pulls_for(issue) == []


def _patch(body: str) -> ScriptedCall:
    return ScriptedCall(name="apply_patch", input=f"*** Begin Patch\n{body}\n*** End Patch\n")
