"""What one process of a deployment is there for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Role:
    """By default all of it: `darner serve`."""

    takes: bool = True
    """It has the webhook."""
    works: bool = True
    """It handles events, writes to the forge and runs turns."""
