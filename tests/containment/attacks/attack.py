"""What an attack is: something that must not work, tried by a program of one function.

The modules of this package are copied into a sandbox and run there by whatever Python it has: they need the
standard library only, of Python 3.9 or newer, and each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass


class Held(Exception):
    """The attack did not work; says why."""


@dataclass(frozen=True)
class Facts:
    """What the attacker is told of the host: more than one could know. Never the secrets themselves."""

    mode: str
    workspace: str
    home: str
    temporary: str
    marker: str
    """A number that names what an attack leaves behind: the seconds a program sleeps, the key of a queue."""
    scene: str
    """A directory of the host with the rest of the paths in it, none of them shown."""
    secret: str
    neighbour: str
    data: str
    elsewhere: str
    """The private directory of another turn."""
    mirror: str
    service_socket: str
    abstract_socket: str
    tcp_port: int
    tcp6_port: int
    udp_port: int
    addresses: tuple[str, ...]
    """Of the host, on its own network."""
    canary: int
    """A process of the host that belongs to the very user that commands run as."""
    service: int
    terminal: str
    """A terminal of the host."""
    node: str
    machine: str
    """The host's name and machine-id."""
    processes: int
    memory_bytes: int
    file_bytes: int
    disk_bytes: int
    open_files: int
    patience: float
    """Seconds that somebody may need who watches now and then."""

    @property
    def playground(self) -> str:
        """A directory that an attacker may write."""
        return self.temporary if self.mode == "read-only" else self.workspace

    def dumped(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def loaded(cls, text: str) -> Facts:
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Attack:
    """One probe. Its function returns what it got, or raises: `OSError` as the kernel said no, `Held`."""

    function: Callable[[Facts], str]
    tries: str
    """What, in a few words: the first line of the function's docstring."""
    allowed: str
    """Why it is meant to work, in every mode; empty: it is not."""
    allowed_when_writing: str
    """Why it is meant to work in workspace-write."""
    allowed_in: dict[str, str]
    """The same for one driver."""
    innocent: str
    """Why it does not work without a sandbox either, as an ordinary user."""
    never_unconfined: str
    """Why it is not tried without a sandbox."""
    fatal: bool
    """Ending the command is an answer, too."""
    tty: bool
    seconds: float
    cpus: float
    companions: int
    """How many harmless commands start in the same sandbox meanwhile."""
    afterwards: str
    """The attack of another turn that follows on this one; its word counts."""

    @property
    def group(self) -> str:
        return self.function.__module__.rpartition(".")[2]

    @property
    def id(self) -> str:
        return f"{self.group}.{self.function.__name__}"


ATTACKS: dict[str, Attack] = {}
"""All, by `group.name`; filled by importing the groups."""


def attack(
    *,
    allowed: str = "",
    allowed_when_writing: str = "",
    allowed_in: dict[str, str] | None = None,
    innocent: str = "",
    never_unconfined: str = "",
    fatal: bool = False,
    tty: bool = False,
    seconds: float = 20.0,
    cpus: float = 2.0,
    companions: int = 0,
    afterwards: str = "",
) -> Callable[[Callable[[Facts], str]], Callable[[Facts], str]]:
    """Register the function below."""

    def register(function: Callable[[Facts], str]) -> Callable[[Facts], str]:
        made = Attack(
            function=function,
            tries=(function.__doc__ or "").partition("\n")[0].rstrip("."),
            allowed=allowed,
            allowed_when_writing=allowed_when_writing,
            allowed_in=allowed_in or {},
            innocent=innocent,
            never_unconfined=never_unconfined,
            fatal=fatal,
            tty=tty,
            seconds=seconds,
            cpus=cpus,
            companions=companions,
            afterwards=afterwards,
        )
        ATTACKS[made.id] = made
        return function

    return register


def to(what: str, function: Callable[..., object], *arguments: object) -> Callable[[], str]:
    """An attempt for `any_of`: it worked when the function does not raise."""

    def attempt() -> str:
        function(*arguments)
        return what

    return attempt


def any_of(*attempts: Callable[[], str]) -> str:
    """Try all; what worked, or `Held` with every reason."""
    worked: list[str] = []
    reasons: list[str] = []
    for attempt in attempts:
        try:
            worked.append(attempt())
        except OSError as error:
            reasons.append(error.strerror or repr(error))
        except Held as error:
            reasons.append(str(error))
    if worked:
        return "; ".join(worked)
    raise Held("; ".join(dict.fromkeys(reasons)) or "nothing to try")
