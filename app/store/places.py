"""Where a thread lives: a repository as the forge names it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RepositoryRef:
    """Enough to reach a repository, all of it from the webhook: nothing has to be asked first."""

    id: int
    full_name: str
    installation: int | None
