"""How fast logs of CI jobs are read, beside splitting the same bytes into lines. In processor time."""

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.figure import Figure, median
from handlers.ci.logs import read_log

MEGABYTES: Final = 64
CHUNK: Final = 64 * 1024
ROUNDS: Final = 5
TARGET: Final = 50.0
CAPTURED: Final = Path(__file__).parent.parent / "tests/data/ci_logs"
FAILING: Final = (
    "pytest.txt",
    "go.txt",
    "cargo.txt",
    "jest.txt",
    "eslint_stylish.txt",
    "mypy.txt",
    "maven.txt",
)


async def measure() -> list[Figure]:
    """All figures of this file."""
    logs = {
        "plain": _log(coloured=False),
        "coloured": _log(coloured=True),
        "one_line": b"x" * (MEGABYTES << 20),
    }
    return [await asyncio.to_thread(_figure, name, log) for name, log in logs.items()]


def _figure(name: str, log: bytes) -> Figure:
    read, split = [], []
    failures = lines = 0
    for _ in range(ROUNDS):
        begun = time.thread_time()
        failures = len(read_log(_chunks(log)).failures)
        read.append(len(log) / 1e6 / (time.thread_time() - begun))
        begun = time.thread_time()
        lines = sum(len(chunk.splitlines()) for chunk in _chunks(log))
        split.append(len(log) / 1e6 / (time.thread_time() - begun))
    return Figure(
        f"ci_logs.{name}",
        median(read),
        "MB/s",
        floor=median(split),
        target=f">= {TARGET:.0f} MB/s",
        ok=median(read) >= TARGET,
        note=f"{len(log) >> 20} MiB, some {lines} lines, {failures} failures; splitlines of the same chunks",
    )


def _chunks(log: bytes) -> Iterator[bytes]:
    return (log[start : start + CHUNK] for start in range(0, len(log), CHUNK))


def _log(*, coloured: bool) -> bytes:
    """What a long job prints when all goes well, with what real tools said of their failures in between."""
    dice = random.Random(7)
    captured = [(CAPTURED / name).read_bytes().splitlines() for name in FAILING]
    lines: list[bytes] = []
    size, failing = 0, 0
    while size < MEGABYTES << 20:
        piece = [_passing(dice, coloured=coloured) for _ in range(20_000)]
        piece += captured[failing % len(captured)]
        failing += 1
        framed = [
            b"2026-11-20T10:%02d:%02d.%07dZ %b" % (n // 60 % 60, n % 60, n, line)
            for n, line in enumerate(piece)
        ]
        lines += framed
        size += sum(len(line) + 1 for line in framed)
    return b"\n".join(lines)


def _passing(dice: random.Random, *, coloured: bool) -> bytes:
    number = dice.randrange(100_000)
    green, end = (b"\x1b[32m", b"\x1b[0m") if coloured else (b"", b"")
    line = dice.choice(_PASSING) % number
    return green + line + end


_PASSING: Final = (
    b"tests/unit/test_module.py::test_some_case[param-%d] PASSED                    [ 45%%]",
    b"Collecting some-package>=%d (from -r requirements.txt (line 12))",
    b"  Downloading some_package-%d-py3-none-any.whl.metadata (12 kB)",
    b"[ 45%%] Building CXX object src/CMakeFiles/core.dir/file_%d.cpp.o",
    b"   Compiling some-crate v1.2.%d (/home/runner/_work/app/app/crates/some-crate)",
    b"ok      example.com/app/internal/package%d       0.012s",
    b"npm warn deprecated some-package@1.%d.0: this version is no longer supported, see its page",
    b"[INFO] Tests run: 12, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 0.%d s - in shop.MoneyTest",
    b"PASS src/components/Button%d.test.tsx (5.2 s)",
    b"src/util/error_handling.c:12:%d: warning: unused parameter 'context' [-Wunused-parameter]",
    b"Get:%d http://archive.ubuntu.com/ubuntu noble/main amd64 libsomething-dev amd64 1.2.3 [123 kB]",
    b"DEBUG 2026-11-20 10:11:12,345 app.worker handled job %d in 0.02 seconds without trouble",
)
