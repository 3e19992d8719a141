"""Logs are events with fields, one line a transition; secrets are blanked here, whoever logs them."""

import json
import logging
import time
from collections.abc import Callable, Iterable

from handlers.redact import redact
from harness.output import readable


class EventFormatter(logging.Formatter):
    """`time level event field=value …`, or the same as one JSON object."""

    def __init__(self, *, secrets: Callable[[], Iterable[str]], as_json: bool) -> None:
        super().__init__()
        self._secrets = secrets
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
        fields: dict[str, object] = getattr(record, "fields", {})
        event = record.getMessage()
        if self._as_json:
            line: dict[str, object] = {"at": at, "level": record.levelname.lower(), "event": event, **fields}
            if record.exc_info:
                line["trace"] = self.formatException(record.exc_info)
            return self._redacted(json.dumps(line, default=str))
        text = " ".join(
            [at, record.levelname.lower(), event, *(f"{k}={_plain(v)}" for k, v in fields.items())]
        )
        if record.exc_info:
            text += "\n" + readable(self.formatException(record.exc_info))
        return self._redacted(text)

    def _redacted(self, text: str) -> str:
        return redact(text, secrets=tuple(self._secrets())).text


def configure_logging(
    *, secrets: Callable[[], Iterable[str]], as_json: bool = False, level: int = logging.INFO
) -> None:
    """Send every logger's events to standard error in our form."""
    handler = logging.StreamHandler()
    handler.setFormatter(EventFormatter(secrets=secrets, as_json=as_json))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in (
        "httpx2",
        "httpcore2",
        "urllib3",
        "github",
        "alembic",
        "openai",
        "uvicorn.access",
        "markdown_it",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _plain(value: object) -> str:
    text = str(value)
    # What strangers wrote must not make lines of its own, nor reach the terminal of who reads the log.
    return json.dumps(text) if not text.isprintable() or not text or any(c in text for c in ' "=') else text
