"""Strangers write what operators read: nothing of it steers a terminal or makes lines of its own."""

import logging

import pytest

from app.cli.why import show
from app.explain import Explanation
from app.log import EventFormatter
from app.store.outbox import EffectRow

TITLE = "\x1b]0;pwned\x07\x1b[2J\rpaid\n2026-01-01 info turn.ended\u202e"


def formatted(record: logging.LogRecord) -> str:
    return EventFormatter(secrets=lambda: ("sesame-open-42",), as_json=False).format(record)


def test_the_log_has_one_line_an_event_whatever_strangers_write() -> None:
    record = logging.LogRecord("darner", logging.INFO, "", 0, "turn.started", None, None)
    record.fields = {"title": TITLE, "key": "sesame-open-42"}

    line = formatted(record)

    assert line.isprintable()
    assert "pwned" in line
    assert line.endswith("key=[secret removed]")


def test_an_error_that_quotes_a_stranger_is_readable() -> None:
    told = (ValueError, ValueError(TITLE), None)
    record = logging.LogRecord("darner", logging.ERROR, "", 0, "turn.failed", None, told)

    assert "\x1b" not in formatted(record)


def test_why_shows_words_and_no_control_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    effect = EffectRow("k", "post_comment", "failed", 8, f"it said {TITLE}", {})

    show(
        Explanation(
            guid="g-1",
            event="issue_comment",
            action="created",
            repository="octo/calc",
            number=7,
            actor="eve",
            received_at=0.0,
            text=f"@darner {TITLE}",
            command="",
            decision="ignored",
            reason="",
            effects=(effect,),
            turn=None,
        )
    )

    printed = capsys.readouterr().out
    assert [character for character in printed if ord(character) < 32 and character != "\n"] == []
    assert "issue_comment.created" in printed
