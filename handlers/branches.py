"""The names of Darner's own branches."""

from handlers.effects import StartTurn


def own_branch(start: StartTurn) -> str:
    """The branch that is one turn's and nobody else's."""
    return f"darner/{start.number or 'ci'}-{start.turn_id}"
