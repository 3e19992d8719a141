"""Every test session keeps a ledger of its exchanges with a forge."""

pytest_plugins = ["tests.github.plugin"]
