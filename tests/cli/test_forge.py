"""`darner forge` and the scripted model as a person starts them: what is printed, and what is refused."""

import socket
from pathlib import Path

import httpx2
import pytest

from tests.cli.staying import started


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def test_the_forge_prints_what_a_server_for_it_needs(tmp_path: Path) -> None:
    """The port of its webhooks included; its world is below DARNER_HOME; Ctrl-C ends it with 0."""
    port = free_port()
    webhooks = ("--webhook-url", "http://127.0.0.1:9999/webhook")
    async with started("-m", "app", "forge", "--port", str(port), *webhooks, home=tmp_path) as (
        forge,
        printed,
    ):
        assert f"export DARNER_GITHUB_URL=http://127.0.0.1:{port}\n" in printed
        assert "export DARNER_PORT=9999\n" in printed
        assert (tmp_path / "forge").is_dir()
    assert forge.returncode == 0


@pytest.mark.parametrize("shared", ["home", "port"])
async def test_a_second_forge_is_refused_in_one_sentence(tmp_path: Path, shared: str) -> None:
    """Neither the world of another forge nor its port is taken over."""
    port = free_port()
    async with started("-m", "app", "forge", "--port", str(port), home=tmp_path):
        own = ("--home", str(tmp_path / "other")) if shared == "port" else ("--port", "0")
        argv = ("-m", "app", "forge", "--port", str(port), *own)
        async with started(*argv, home=tmp_path) as (second, printed):
            assert (printed, await second.wait()) == ("", 1)
            assert second.stderr is not None
            told = (await second.stderr.read()).decode()
    assert told.count("\n") == 1
    assert ("listen on port" if shared == "port" else "Another forge keeps its world in") in told


async def test_the_scripted_model_prints_the_line_to_use_it(tmp_path: Path) -> None:
    """What it prints is what a server needs, and the address answers."""
    port = free_port()
    async with started("-m", "demo.model", str(port), home=tmp_path) as (model, printed):
        line = f"export DARNER_MODEL=scripted OPENAI_BASE_URL=http://127.0.0.1:{port}/v1 OPENAI_API_KEY=any\n"
        assert line in printed
        async with httpx2.AsyncClient(headers={"authorization": "Bearer any"}) as client:
            answer = await client.get(f"http://127.0.0.1:{port}/v1/models")
        assert answer.status_code == 200
    assert model.returncode == 0
