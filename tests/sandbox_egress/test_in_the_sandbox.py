"""What the commands of a turn reach when an allow-list is set, and what they are told of the rest."""

import json
import os
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.items import Call, CommandExecution, ItemId
from harness.tools import ToolContext, open_tools
from sandbox.base import Command, Driver, Ended, Policy, Sandbox, SandboxMode, Workspace
from sandbox.bubblewrap import BubblewrapDriver
from sandbox.container.driver import DockerDriver
from tests.sandbox_egress.conftest import HERE, Names, Origin, serving
from tests.sandbox_egress.registries import HOST, Registry, serving_packages

FETCH = "python3 -c 'import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read())'"


@dataclass(frozen=True)
class Turn:
    """A checkout, and sandboxes for it whose names are looked up by the test."""

    workspace: Workspace
    driver: Driver

    @asynccontextmanager
    async def open(self, *allowed: str) -> AsyncIterator[Sandbox]:
        policy = Policy(SandboxMode.WORKSPACE_WRITE, allowed_hosts=allowed)
        async with self.driver.open(self.workspace, policy) as sandbox:
            yield sandbox


@pytest.fixture(params=["bubblewrap", "docker"])
def turn(request: pytest.FixtureRequest, tmp_path: Path) -> Turn:
    """Under each driver, which shows this interpreter's own folder: it has a pip."""
    driver = driver_of(request)
    for name in ("tree", "scratch"):
        (tmp_path / name).mkdir()
    if driver.owner_uid is not None:
        os.chown(tmp_path / "tree", driver.owner_uid, driver.owner_uid)
    return Turn(Workspace(tree=tmp_path / "tree", scratch=tmp_path / "scratch"), driver)


def driver_of(request: pytest.FixtureRequest) -> Driver:
    shown = (Path(sys.base_prefix),)
    if request.param == "bubblewrap":
        return BubblewrapDriver(extra_read_only=shown, resolve=Names())
    if os.geteuid() != 0:
        pytest.skip("only a service that is root can let a container reach hosts")
    image = request.getfixturevalue("docker_image")
    address = request.getfixturevalue("docker_engine").url
    return DockerDriver(address=address, image=image, extra_read_only=shown, resolve=Names())


@pytest.fixture
def registry(tmp_path: Path, turn: Turn) -> Iterator[Registry]:
    """Its certificate lies in the checkout."""
    with serving_packages(tmp_path) as made:
        (turn.workspace.tree / "ca.pem").write_bytes(made.certificate)
        yield made


async def run(sandbox: Sandbox, script: str) -> tuple[int, str, tuple[str, ...]]:
    process = await sandbox.start(Command(("/bin/bash", "-c", script)))
    ended = await process.wait(100)
    assert isinstance(ended, Ended)
    return ended.exit_status, process.take_output().decode(), process.take_notices()


def refusal(host: str) -> str:
    end = "Do without it, or say in your answer that it is needed."
    return f"network: {host} is not on this repository's allow-list. {end}"


async def test_an_allowed_host_is_reached(turn: Turn) -> None:
    """By a program that was told nothing but its address."""
    async with serving(Origin()) as origin, turn.open(origin.rule) as sandbox:
        done = await run(sandbox, f"{FETCH} http://{origin.name}/")

    assert done == (0, "b'hello\\n'\n", ())


async def test_a_refused_host_is_one_line_above_the_output(turn: Turn) -> None:
    """The model reads it apart from what the program printed, once however often it was tried."""
    async with turn.open("pypi.org") as sandbox:

        async def opened() -> Sandbox:
            return sandbox

        script = f"for n in 1 2 3; do {FETCH} https://example.com/ 2>&1 | tail -n 1; done"
        call = Call(id="c1", name="exec_command", arguments=json.dumps({"cmd": script}))
        async with open_tools(ToolContext(sandbox=opened)) as tools:
            item = await tools["exec_command"].run(tools["exec_command"].begin(call, ItemId("item_1")))

    assert isinstance(item, CommandExecution)
    assert item.answer is not None
    head, _, printed = item.answer.text.partition("Output:\n")
    assert head.splitlines()[-1] == refusal("example.com:443")
    assert item.answer.text.count("network: ") == 1
    reason = "example.com:443 is not on this repository's allow-list"
    assert printed == f"urllib.error.URLError: <urlopen error Tunnel connection failed: 403 {reason}>\n" * 3


async def test_there_is_nothing_but_the_proxy(turn: Turn) -> None:
    """One port of the sandbox's own loopback; not the host's, and nothing of the proxy on the host."""
    script = """python3 - <<'END'
import errno, socket
print([name for _, name in socket.if_nameindex()])
found = []
for port in range(1, 65536):
    with socket.socket() as client:
        if client.connect_ex(("127.0.0.1", port)) == 0 and client.getsockname()[1] != port:
            found.append(port)  # And not itself, from the same port by chance.
print(found)
for address in ("192.0.2.1", 80), ("169.254.169.254", 80), ("2001:db8::1", 80):
    try:
        socket.create_connection(address)
    except OSError as error:
        print(errno.errorcode[error.errno])
try:
    socket.getaddrinfo("pypi.org", 443)
except socket.gaierror:
    print("no such name")
END"""
    with socket.socket() as before:
        was_open = before.connect_ex(("127.0.0.1", 3128)) == 0
    async with serving(Origin()) as origin, turn.open(origin.rule) as sandbox:
        done = await run(sandbox, script)
        with socket.socket() as outside:
            is_open = outside.connect_ex(("127.0.0.1", 3128)) == 0

    assert done[1].splitlines() == [
        "['lo']",
        "[3128]",
        "ENETUNREACH",
        "ENETUNREACH",
        "ENETUNREACH",
        "no such name",
    ]
    assert origin.heads == []
    assert is_open is was_open


async def test_a_program_that_knows_no_proxy_fails_at_once(turn: Turn) -> None:
    """With the error of a machine that has no network, for an allowed host too."""
    script = f"env -u http_proxy -u HTTP_PROXY {FETCH} http://pypi.org/ 2>&1 | tail -n 1"
    async with turn.open("pypi.org") as sandbox:
        done = await run(sandbox, script)

    # The kind of system decides which of the errors of a name it is.
    assert re.fullmatch(r"urllib.error.URLError: <urlopen error \[Errno -[23]\] .*[Nn]ame.*>\n", done[1]), (
        done
    )


async def test_without_a_list_there_is_no_proxy(turn: Turn) -> None:
    """Neither its variables nor its port."""
    script = (
        "env | grep -i proxy; (echo >/dev/tcp/127.0.0.1/3128) 2>&1 | grep -o 'Connection refused' | head -n 1"
    )
    async with turn.open() as sandbox:
        done = await run(sandbox, script)

    assert done == (0, "Connection refused\n", ())


async def test_servers_of_the_turn_itself_are_reached_directly(turn: Turn) -> None:
    """A test suite that starts a server of its own does not meet the proxy."""
    script = """mkdir site; echo mine >site/page; cd site
python3 -m http.server 8000 --bind 127.0.0.1 >/dev/null 2>&1 &
for n in $(seq 100); do (echo >/dev/tcp/127.0.0.1/8000) 2>/dev/null && break; sleep 0.1; done
"""
    async with turn.open("pypi.org") as sandbox:
        done = await run(sandbox, script + FETCH + " http://localhost:8000/page")

    assert done == (0, "b'mine\\n'\n", ())


PIP = "python3 -m pip install --no-input --disable-pip-version-check --no-cache-dir --target lib"


async def test_pip_installs_from_an_allowed_index(turn: Turn, registry: Registry) -> None:
    """Over TLS, from the index to the import."""
    script = (
        f"PIP_CERT=ca.pem {PIP} --index-url {registry.url}/simple/ greet 2>&1 && PYTHONPATH=lib python3 -c "
    )
    async with turn.open(f"{HOST}:{registry.port}@{HERE}") as sandbox:
        status, printed, notices = await run(sandbox, script + "'import greet; print(greet.WORDS)'")

    assert status == 0, printed
    assert printed.endswith("hello from the wheel\n")
    assert notices == ()
    assert registry.asked == ["/simple/greet/", "/files/greet-1.0-py3-none-any.whl"]


async def test_pip_is_refused_an_index_that_is_not_listed(turn: Turn, registry: Registry) -> None:
    """It says no more than that it found nothing; the line beside its output says why."""
    script = f"PIP_CERT=ca.pem {PIP} --retries 1 --index-url {registry.url}/simple/ greet 2>&1"
    async with turn.open("pypi.org") as sandbox:
        status, printed, notices = await run(sandbox, script)

    assert status == 1
    assert "No matching distribution found for greet" in printed
    assert notices == (refusal(f"{HOST}:{registry.port}"),)
    assert registry.asked == []


needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed on this machine")
# The small image of the tests has none.
of_this_machine = pytest.mark.parametrize("turn", ["bubblewrap"], indirect=True)
NPM = "npm install --no-audit --no-fund --fetch-retries=0 greet"


@needs_npm
@of_this_machine
async def test_npm_installs_from_an_allowed_registry(turn: Turn, registry: Registry) -> None:
    """Over TLS, from the registry to the require."""
    settings = f"export npm_config_cafile=ca.pem npm_config_registry={registry.url}/"
    script = f"{settings}; {NPM} 2>&1 && node -p 'require(\"greet\")'"
    async with turn.open(f"{HOST}:{registry.port}@{HERE}") as sandbox:
        status, printed, notices = await run(sandbox, script)

    assert status == 0, printed
    assert printed.endswith("hello from the tarball\n")
    assert notices == ()
    assert registry.asked == ["/greet", "/greet/-/greet-1.0.0.tgz"]


@needs_npm
@of_this_machine
async def test_npm_is_refused_a_registry_that_is_not_listed(turn: Turn, registry: Registry) -> None:
    """It fails at once, and one line says why."""
    script = f"npm_config_registry={registry.url}/ {NPM} 2>&1"
    async with turn.open("registry.npmjs.org") as sandbox:
        status, _, notices = await run(sandbox, script)

    assert status != 0
    assert notices == (refusal(f"{HOST}:{registry.port}"),)
    assert registry.asked == []
