"""The scripted model as an endpoint: plain clients, plain files, and refusals in OpenAI's words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from demo.model import (
    BY_CONTENT,
    Branch,
    FromOutput,
    FromRequest,
    ScriptedCall,
    Session,
    SessionFileInvalid,
    Turn,
    When,
    create_app,
    load_sessions,
    serve,
)
from tests.models.conformance import Conformance

LOOK = Turn(text="Looking.", calls=(ScriptedCall(name="exec_command", arguments={"cmd": "ls"}),))
HEADERS = {"authorization": "Bearer sk-x"}


async def posted(
    sessions: Sequence[Session] | Path, path: str, body: Any, *, headers: Mapping[str, str] = HEADERS
) -> httpx2.Response:
    """The endpoint's answer to one request; its exchange must conform."""
    conformance = Conformance()
    async with serve(create_app(sessions, observer=conformance)) as url, httpx2.AsyncClient() as client:
        answer = await client.post(f"{url}{path}", json=body, headers=headers)
    if answer.status_code == 200:
        assert conformance.problems == []
    return answer


def asked(*history: dict[str, Any], model: str = "m") -> dict[str, Any]:
    user = {"type": "message", "role": "user", "content": "Fix it."}
    return {"model": model, "input": [user, *history]}


def step(call_id: str, output: str) -> list[dict[str, Any]]:
    """What `LOOK` becomes in a history."""
    return [
        {"type": "message", "role": "assistant", "content": "Looking."},
        {"type": "function_call", "call_id": call_id, "name": "exec_command", "arguments": "{}"},
        {"type": "function_call_output", "call_id": call_id, "output": output},
    ]


def text_in(answer: httpx2.Response) -> str:
    texts = [item for item in answer.json()["output"] if item["type"] == "message"]
    return "".join(part["text"] for item in texts for part in item["content"])


@pytest.mark.parametrize(("steps", "text"), [(0, "Looking."), (1, "Looking."), (2, "Done."), (3, "Over.")])
async def test_the_request_alone_tells_the_step(steps: int, text: str) -> None:
    """A fresh server goes on where the history stands: restarts and resumed turns change nothing."""
    session = Session(name="m", turns=(LOOK, LOOK, Turn(text="Done.")), epilogue="Over.")
    history = [item for number in range(min(steps, 2)) for item in step(f"call_{number}", "a.py")]
    if steps == 3:
        history.append({"type": "message", "role": "assistant", "content": "Done."})

    assert text_in(await posted([session], "/v1/responses", asked(*history))) == text


@pytest.mark.parametrize(("output", "text"), [("FAILED", "Again."), ("OK", "Done.")])
async def test_the_script_listens_to_the_tools(output: str, text: str) -> None:
    """A branch is chosen by what the last calls returned."""
    branch = Branch(either=(Turn(text="Again.", when=When(output_contains="FAILED")), Turn(text="Done.")))
    session = Session(name="m", turns=(LOOK, branch))

    assert text_in(await posted([session], "/v1/responses", asked(*step("call_1", output)))) == text


async def test_an_argument_can_come_from_an_output() -> None:
    """A session number that no script can know is read from what the tool said."""
    write = ScriptedCall(
        name="write_stdin",
        arguments={"session_id": FromOutput(from_output=r"session ID (\d+)"), "chars": "q"},
    )
    session = Session(name="m", turns=(LOOK, Turn(calls=(write,))))
    answer = await posted(
        [session], "/v1/responses", asked(*step("call_1", "Process running with session ID 7"))
    )

    assert answer.json()["output"][0]["arguments"] == '{"session_id":7,"chars":"q"}'


async def test_an_argument_can_come_from_the_request() -> None:
    """A name that only the request knows is taken from it, as text even where it reads as a number."""
    judge = ScriptedCall(
        name="judge_finding",
        arguments={"id": FromRequest(from_request=r"finding (\w+)"), "verdict": "fixed"},
    )
    session = Session(name="m", turns=(LOOK, Turn(calls=(judge,))))
    body = asked({"role": "user", "content": "Look at finding 4711."}, *step("call_1", "no finding 5 here"))
    answer = await posted([session], "/v1/responses", body)

    assert answer.json()["output"][0]["arguments"] == '{"id":"4711","verdict":"fixed"}'


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v1/responses", asked(model="gpt-7"), 404, "The model `gpt-7` does not exist"),
        ("/v1/responses", asked(*step("call_1", "x")[1:2]), 400, "No tool output found for function call"),
        (
            "/v1/responses",
            asked(*step("call_1", "x")[2:]),
            400,
            "No tool call found for function call output",
        ),
        ("/v1/responses", asked({"type": "riddle"}), 400, "Invalid value for 'input[1].type'"),
        (
            "/v1/responses",
            asked({"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "theirs"}),
            400,
            "could not be verified",
        ),
        ("/v1/responses", [], 400, "could not parse the JSON body"),
        (
            "/v1/chat/completions",
            {"model": "m", "messages": [{"role": "tool", "tool_call_id": "x", "content": ""}]},
            400,
            "must be a response to a preceding message",
        ),
        (
            "/v1/chat/completions",
            {"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"id": "call_1"}]}]},
            400,
            "call_1",
        ),
    ],
)
async def test_a_bad_request_is_refused_in_openais_words(
    path: str, body: object, status: int, message: str
) -> None:
    """What the real endpoint would not take, this one does not take either."""
    answer = await posted([Session(name="m", turns=(LOOK,))], path, body)

    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]


async def test_a_request_without_a_key_is_refused() -> None:
    """A client that forgets its key finds out here."""
    answer = await posted([Session(name="m", turns=(LOOK,))], "/v1/responses", asked(), headers={})

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_the_openai_client_reads_both_wires() -> None:
    """The package itself, streaming and not, lists the models and gets its answers."""
    conformance = Conformance()
    app = create_app([Session(name="m", turns=(LOOK,))], observer=conformance)
    async with (
        serve(app) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-x", max_retries=0) as client,
    ):
        models = [model.id async for model in client.models.list()]
        response = await client.responses.create(model="m", input="Hi.")
        completion = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hi."}]
        )
        streamed = [
            event async for event in await client.responses.create(model="m", input="Hi.", stream=True)
        ]
        async with client.responses.stream(model="m", input="Hi.") as stream:
            final = await stream.get_final_response()

    assert models == [BY_CONTENT, "m"]
    assert response.output_text == completion.choices[0].message.content == final.output_text == "Looking."
    assert streamed[-1].type == "response.completed"
    assert conformance.problems == []


async def test_faults_can_be_ordered_from_outside() -> None:
    """Another process strikes the next request, and reads what was asked."""
    app = create_app([Session(name="m", turns=(LOOK,))])
    async with serve(app) as url, httpx2.AsyncClient(headers=HEADERS) as client:
        fault = {"kind": "http", "status": 429, "headers": {"retry-after": "2"}}
        accepted = await client.post(f"{url}/_faults", json=fault)
        refused = await client.post(f"{url}/_faults", json={"kind": "earthquake"})
        struck = await client.post(f"{url}/v1/responses", json=asked())
        spared = await client.post(f"{url}/v1/responses", json=asked())
        requests = (await client.get(f"{url}/_requests")).json()
        await client.delete(f"{url}/_requests")
        forgotten = (await client.get(f"{url}/_requests")).json()

    statuses = [answer.status_code for answer in (accepted, refused, struck, spared)]
    assert statuses == [202, 422, 429, 200]
    assert struck.headers["retry-after"] == "2"
    assert [(told["status"], told["request"]["model"]) for told in requests] == [(429, "m"), (200, "m")]
    assert forgotten == []


SESSION_FILE = """\
match: [hello, world]
turns:
  - text: Hi.
    fault: {kind: cut, after_events: 3, how: clean}
  - either:
      - when: {output_contains: OK}
        calls: [{name: write_stdin, arguments: {session_id: {from_output: 'ID (\\d+)'}}}]
      - text: Bye.
"""


def test_a_session_is_a_plain_file(tmp_path: Path) -> None:
    """The file's name is the session's; everything else is as in Python."""
    (tmp_path / "greeting.yaml").write_text(SESSION_FILE)
    (session,) = load_sessions(tmp_path)

    assert (session.name, session.match) == ("greeting", ("hello", "world"))
    branch = session.turns[1]
    assert isinstance(branch, Branch)
    assert branch.either[0].calls[0].arguments == {"session_id": FromOutput(from_output=r"ID (\d+)")}


@pytest.mark.parametrize(
    "text", ["turns: [{txt: Hi.}]", "- a", "turns: [", "turns: [{fault: {kind: cut}}]", ""]
)
def test_a_file_that_is_no_session_is_refused(tmp_path: Path, text: str) -> None:
    """The error names the file; a misspelt field is not passed over."""
    (tmp_path / "broken.yaml").write_text(text)

    with pytest.raises(SessionFileInvalid, match=r"broken\.yaml"):
        load_sessions(tmp_path)


GREET = Session(name="greet", match=("hello",), turns=(LOOK, Turn(text="Hello.")))
PART = Session(name="part", match=("BYE$",), turns=(Turn(text="Goodbye."),))


async def test_a_new_request_begins_a_new_session() -> None:
    """What was asked and answered before neither chooses the session nor counts as its answers."""
    earlier = [{"type": "message", "role": "user", "content": "Say hello."}, *step("c1", "a.py")]
    last_word = {"type": "message", "role": "assistant", "content": "Hello."}
    later = {
        "type": "message",
        "role": "user",
        "content": '<note-1>\nhello\n</note-1>\n<ask-1 by="m">\nbye\n</ask-1>',
    }

    going_on = await posted((GREET, PART), "/v1/responses", {"model": BY_CONTENT, "input": earlier})
    begun = await posted(
        (GREET, PART), "/v1/responses", {"model": BY_CONTENT, "input": [*earlier, last_word, later]}
    )

    assert (text_in(going_on), text_in(begun)) == ("Hello.", "Goodbye.")


async def test_what_is_said_between_calls_is_no_new_request() -> None:
    """A word to a model at work steers it; its session goes on."""
    said = [{"type": "message", "role": "user", "content": "Say hello."}, *step("c1", "a.py")]
    steered = [*said, {"type": "message", "role": "user", "content": "bye"}]

    answer = await posted((GREET, PART), "/v1/responses", {"model": BY_CONTENT, "input": steered})

    assert text_in(answer) == "Hello."
