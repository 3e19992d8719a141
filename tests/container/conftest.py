"""The project's images, built from its Dockerfile once for all tests."""

from pathlib import Path

import pytest

from tests.engine import base_image
from tests.engine.daemon import Engine

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def service_image(docker_engine: Engine) -> str:
    return _built(docker_engine, "service")


@pytest.fixture(scope="session")
def sandbox_image(docker_engine: Engine) -> str:
    return _built(docker_engine, "sandbox")


def _built(engine: Engine, stage: str) -> str:
    name = f"darner-test-{stage}"
    with engine.client() as client:
        steps = client.api.build(
            path=str(ROOT),
            target=stage,
            tag=name,
            buildargs=base_image.build_arguments(client),
            # Packages come by the machine's own network: the Engine may have none for containers.
            network_mode="host",
            rm=True,
            decode=True,
        )
        log = [step.get("stream") or step.get("error") or "" for step in steps]
        assert client.images.list(name=name), "".join(log[-50:])
    return name
