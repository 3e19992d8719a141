"""Words after a mention are a command only when they stand alone; all else is a request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.grammar import (
    COMMAND_WORDS,
    Command,
    DidYouMean,
    Empty,
    Help,
    Request,
    Retry,
    Review,
    Status,
    Stop,
    parse_command,
)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("", Empty()),
        (" \n ", Empty()),
        ("help", Help()),
        ("Help!", Help()),
        ("/help", Help()),
        ("review", Review()),
        ("review, please", Review()),
        ("STOP", Stop()),
        ("stop now", Stop()),
        ("retry.", Retry()),
        ("status?", Status()),
        ("hlep", DidYouMean("hlep", "help")),
        ("reveiw", DidYouMean("reveiw", "review")),
        ("stauts", DidYouMean("stauts", "status")),
        ("stpo", DidYouMean("stpo", "stop")),
        ("fix", Request("fix")),
        ("test", Request("test")),
        ("fix the failing test", Request("fix the failing test")),
        ("help me fix the test", Request("help me fix the test")),
        ("review the parser for races", Request("review the parser for races")),
        ("stop using the old API", Request("stop using the old API")),
        ("hlep me", Request("hlep me")),
    ],
)
def test_commands_and_requests(text: str, command: Command) -> None:
    assert parse_command(text) == command


@given(st.text(min_size=1))
def test_nothing_said_is_lost(text: str) -> None:
    """What is no command reaches the agent word for word."""
    command = parse_command(text)

    if isinstance(command, Request):
        assert command.text == text.strip()
    if isinstance(command, DidYouMean):
        assert command.suggestion in COMMAND_WORDS
