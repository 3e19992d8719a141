"""What import-linter cannot say: a home for each package, I/O at its doors, complete registries."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRODUCT = ("app", "handlers", "harness", "sandbox")

HOMES = {
    "github": {"app"},
    "sqlalchemy": {"app"},
    "alembic": {"app"},
    "psycopg": {"app"},
    "fsspec": {"app"},
    "dbos": {"app"},
    "fastapi": {"app"},
    "starlette": {"app"},
    "uvicorn": {"app"},
    "typer": {"app"},
    "rich": {"app"},
    "pydantic_settings": {"app"},
    "requests": {"app"},
    "openai": {"harness"},
    "httpx2": {"harness"},
    "markdown_it": {"handlers"},
    "yaml": {"handlers"},
    "docker": {"sandbox"},
    "h11": {"sandbox"},
    "json5": {"sandbox"},
    "subprocess": {"sandbox"},
    "tree_sitter": {"harness"},
    "tree_sitter_bash": {"harness"},
    "pty": {"sandbox"},
}
"""Package → where the product may import it."""

PURE = {
    "asyncio", "http", "os", "random", "secrets", "shutil", "socket", "sqlite3",
    "subprocess", "tempfile", "threading", "time", "urllib.request",
}  # fmt: skip
"""What `handlers` never imports: a pure function has no clock, no dice and no disk."""

BORDERS = {
    "app/engine.py": "the worker loop",
    "app/handling.py": "the handler border",
    "app/outgoing.py": "the handler border again: an effect must not hold up those behind it",
    "app/turns_worker.py": "the turn border: whoever asked gets an answer",
    "app/store/database.py": "the writer's loop: the fault is handed to the caller",
    "harness/loop.py": "the turn border",
}


def modules(*packages: str) -> Iterator[tuple[Path, ast.Module]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.is_relative_to(ROOT / "demo" / "repository"):
                # Somebody else's project, as far as the demo is concerned.
                continue
            yield path.relative_to(ROOT), ast.parse(path.read_text())


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_each_third_party_package_has_one_home() -> None:
    """A package is imported by the part of the house that it belongs to, and by no other."""
    strays = [
        f"{path} imports {name}"
        for path, tree in modules(*PRODUCT)
        for name in imports(tree)
        if path.parts[0] not in HOMES.get(name.split(".")[0], {path.parts[0]})
    ]

    assert strays == []


def test_handlers_are_pure() -> None:
    """No handler can read a clock, a file or a socket."""
    strays = [f"{path} imports {n}" for path, tree in modules("handlers") for n in imports(tree) if n in PURE]

    assert strays == []


def test_broad_handlers_stand_at_the_borders_only() -> None:
    """`except Exception` is written where a fault becomes an answer, and nowhere else."""
    found = {
        str(path)
        for path, tree in modules(*PRODUCT)
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and not _passes_on(node)
        and (
            node.type is None
            or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
        )
    }

    assert found <= set(BORDERS), found - set(BORDERS)


def _passes_on(handler: ast.ExceptHandler) -> bool:
    """Whether it only cleans up: the fault goes on as it was."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_no_shell_is_ever_asked() -> None:
    """Nothing of ours goes through a shell of the host."""
    strays = [
        str(path)
        for path, tree in modules(*PRODUCT, "demo")
        for node in ast.walk(tree)
        if (isinstance(node, ast.keyword) and node.arg == "shell")
        or (isinstance(node, ast.Attribute) and node.attr in {"system", "create_subprocess_shell", "popen"})
    ]

    assert strays == []


def test_every_module_says_what_it_is_for() -> None:
    """The first line of a file tells its subject."""
    silent = [
        str(path)
        for path, tree in modules(*PRODUCT, "demo", "tests", "bench")
        if tree.body and not ast.get_docstring(tree)
    ]

    assert silent == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    """A file that is hard to name has no right place yet."""
    empty = re.compile(r"^(utils?|helpers?|common|misc|manager|service|data|info)\.py$")
    named = [str(path) for path, _ in modules(*PRODUCT, "demo", "tests", "bench") if empty.match(path.name)]

    assert named == []


def test_registries_list_what_the_folders_hold() -> None:
    """Each tool, wire and driver that is written can be chosen by its name."""
    from harness.models import WIRES
    from harness.tools import ASKING_TOOLS, READING_TOOLS, REVIEW_TOOLS, TOOLS, WORK_TOOLS
    from sandbox.drivers import DRIVERS

    assert set(WIRES) == {"responses", "chat"}
    assert set(TOOLS) == {*WORK_TOOLS, *ASKING_TOOLS, *REVIEW_TOOLS, *READING_TOOLS}
    assert set(WORK_TOOLS) == {"exec_command", "write_stdin", "apply_patch", "update_plan", "view_image"}
    assert set(REVIEW_TOOLS) <= set(TOOLS)
    assert set(DRIVERS) == {"bubblewrap", "docker"}


@pytest.mark.parametrize("lock", ["runtime.lock", "dev.lock", "engine.lock"])
def test_locks_name_no_address(lock: str) -> None:
    """The lock files pin versions and hashes, and say nothing of where a package is fetched."""
    text = (ROOT / "requirements" / lock).read_text()

    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE)
    assert "--hash=sha256:" in text
