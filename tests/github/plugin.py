"""The pytest plugin that keeps the session's ledger, prints it at the end and fails the run below 100 %."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from demo.forge.rest import OPERATIONS
from tests.github.ledger import Ledger

_LEDGER: Final = pytest.StashKey[Ledger]()
_OUTPUT: Final = "github_ledger"


@pytest.fixture(scope="session")
def github_ledger(pytestconfig: pytest.Config) -> Ledger:
    """Where each forge of the session writes: `serve(…, on_exchange=[ledger.on_exchange], …)`."""
    ledger = _opened(pytestconfig)
    ledger.offers((operation.method, operation.path) for operation in OPERATIONS)
    return ledger


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """pytest-xdist: a worker has ended; its counts join the controller's."""
    output: Mapping[str, object] = getattr(node, "workeroutput", {})
    if error is None and isinstance(stored := output.get(_OUTPUT), str):
        _opened(node.config).merge(stored.encode())


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    ledger = session.config.stash.get(_LEDGER, None)
    if ledger is None:
        return
    output: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_OUTPUT] = ledger.stored().decode()
    elif exitstatus == pytest.ExitCode.OK and _failures(ledger, session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    ledger = config.stash.get(_LEDGER, None)
    if ledger is None:
        return
    terminalreporter.section("exchanges with GitHub, held to its descriptions")
    for line in ledger.lines():
        terminalreporter.line(line)
    for failure in _failures(ledger, config):
        terminalreporter.line(f"FAILED {failure}", red=True)


def _opened(config: pytest.Config) -> Ledger:
    """The session's ledger, loaded only for a session that uses it."""
    if _LEDGER not in config.stash:
        config.stash[_LEDGER] = Ledger.load()
    return config.stash[_LEDGER]


def _failures(ledger: Ledger, config: pytest.Config) -> list[str]:
    """A run of all tests must also have reached every operation that the forge offers."""
    is_whole = config.args_source is config.ArgsSource.TESTPATHS and not config.getoption("keyword")
    gaps = ledger.never_validated() if is_whole else []
    return [
        *ledger.failures(),
        *(f"{operation}: offered by the forge, never validated" for operation in gaps),
    ]
