"""Runs the peer, codex, against an endpoint of ours. Knows only its command line."""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

PLACES: Final = (Path("node_modules/.bin/codex"), Path("/tmp/codex/node_modules/.bin/codex"))  # noqa: S108
"""Where `npm install` puts it, besides PATH."""


def find() -> str | None:
    """The installed program."""
    return shutil.which("codex") or next((str(path.resolve()) for path in PLACES if path.exists()), None)


async def version(program: str) -> str:
    process = await asyncio.create_subprocess_exec(program, "--version", stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode().strip()


async def run(program: str, *, base_url: str, timeout: float) -> None:
    """One `codex exec` in its workspace-write sandbox. Raises when it fails, or `TimeoutError`."""
    with tempfile.TemporaryDirectory(prefix="darner-codex-") as directory:
        home, work = Path(directory) / "home", Path(directory) / "work"
        home.mkdir()
        work.mkdir()
        (home / "config.toml").write_text(
            'model = "gpt-5-codex"\nmodel_provider = "bench"\napproval_policy = "never"\n'
            f'[model_providers.bench]\nname = "bench"\nbase_url = "{base_url}"\nwire_api = "responses"\n'
        )
        process = await asyncio.create_subprocess_exec(
            program,
            "exec",
            "--sandbox",
            "workspace-write",
            "--skip-git-repo-check",
            "Run the commands.",
            cwd=work,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "CODEX_HOME": str(home)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(timeout):
                output, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        if process.returncode != 0:
            raise RuntimeError(f"codex failed: {output.decode()[-2000:]}")
