"""What the scripted model does in the stories: short sessions, chosen by words of the request."""

from dataclasses import replace
from typing import Final

from demo.model import SESSIONS as DEMO
from demo.model import ScriptedCall, Session, Turn, load_sessions

DEMO_FIX: Final = next(
    replace(session, gap_seconds=0.0, match=("failing test",))
    for session in load_sessions(DEMO)
    if session.name == "fix-the-failing-test"
)

MEND: Final = "sed -i 's/left_over - 1/left_over/' purl/spacing.py && python3 -m unittest 2>&1 | tail -n 3"
MENDED: Final = "No stitch is lost any more."


def runs(*commands: str) -> Turn:
    """One answer that runs commands."""
    return Turn(
        calls=tuple(ScriptedCall(name="exec_command", arguments={"cmd": command}) for command in commands)
    )


def patches(envelope: str) -> Turn:
    """One answer that applies a patch."""
    return Turn(calls=(ScriptedCall(name="apply_patch", input=envelope),))


def says(text: str) -> Turn:
    """The last answer."""
    return Turn(text=text)


def session(words: str, *turns: Turn) -> Session:
    """Played when the conversation has these words in it."""
    return Session(name=words.replace(" ", "-"), match=(words,), turns=turns)


QUICK_FIX: Final = session("mend spread", runs(MEND), says(MENDED))
"""The same repair as the demo's, in one command."""

SESSIONS: Final = (DEMO_FIX, QUICK_FIX)
