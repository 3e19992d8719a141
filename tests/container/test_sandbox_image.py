"""The image in which the docker driver runs commands: what repositories need is there, for any user."""

import pytest

from tests.engine.daemon import Engine

pytestmark = [pytest.mark.image, pytest.mark.timeout(900)]

_PROGRAM = '#include <stdio.h>\nint main(void) { puts("compiled"); }\n'
_SCRIPT = f"""
set -e
cd /tmp
git --version && rg --version && jq --version && make --version && npm --version
python3 -m venv venv && venv/bin/python -c 'print("venv")'
node -e 'console.log("node " + process.versions.node.split(".")[0])'
printf '%s' '{_PROGRAM}' > x.c && cc x.c -o x && ./x
"""


def test_an_ordinary_user_finds_the_usual_tools(docker_engine: Engine, sandbox_image: str) -> None:
    """Git, Python, Node, a compiler, ripgrep and jq run on a read-only system."""
    with docker_engine.client() as client:
        said = client.containers.run(
            sandbox_image,
            ["bash", "-c", _SCRIPT],
            user="1000:1000",
            network_mode="none",
            read_only=True,
            tmpfs={"/tmp": "exec"},
            environment={"HOME": "/tmp"},
            remove=True,
        )
    assert said.decode().splitlines()[-3:] == ["venv", "node 24", "compiled"]
