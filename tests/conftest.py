"""Every test session keeps a ledger of its exchanges with a forge, and can have a Docker Engine."""

pytest_plugins = ["tests.github.plugin", "tests.engine.plugin"]
