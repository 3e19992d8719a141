"""The captured logs, and what each says: `python -m tests.handlers.ci.captured` writes the latter anew."""

import json
from dataclasses import asdict
from pathlib import Path

from handlers.ci.failures import Failure
from handlers.ci.logs import read_log, read_report

LOGS = Path(__file__).parents[2] / "data" / "ci_logs"
RAW = sorted(
    path.name for path in LOGS.glob("*.*") if path.name != "README.md" and "github_" not in path.name
)


def failures_in(name: str) -> tuple[Failure, ...]:
    data = (LOGS / name).read_bytes()
    return read_report([data]) if name.endswith(".xml") else read_log([data]).failures


def told(failures: tuple[Failure, ...]) -> str:
    """As JSON without what no tool said."""
    told = [{key: value for key, value in asdict(one).items() if value not in (None, "")} for one in failures]
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def expected(name: str) -> Path:
    return LOGS / "expected" / f"{name}.json"


if __name__ == "__main__":
    expected("").parent.mkdir(exist_ok=True)
    for name in RAW:
        expected(name).write_text(told(failures_in(name)), encoding="utf-8")
