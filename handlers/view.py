"""What a handler may look at besides the event: fetched by the worker, pinned, immutable."""

from dataclasses import dataclass, field
from typing import Final, Literal

from handlers.ci.facts import CiFacts
from handlers.ci.settings import CiSettings
from handlers.effects import ForkHead, StartTurn, TurnKind
from handlers.events import TurnEnded
from handlers.permissions import Permission
from handlers.review.memory import Memory
from handlers.review.settings import ReviewSettings
from handlers.wishes import Ceiling, Wishes
from harness.budget import Allowance
from harness.items import Outcome


@dataclass(frozen=True, slots=True)
class Bot:
    """Who Darner is on this forge."""

    id: int | None
    """Its user id; None until the forge has told."""
    login: str
    mention: str
    """The name people write after `@`."""
    allowed_bots: frozenset[int] = frozenset()
    """Numeric ids of bots that are listened to."""
    ceiling: Ceiling = field(default_factory=Ceiling)
    """What its operator allows at most."""


@dataclass(frozen=True, slots=True)
class RepositoryConfig:
    """`.github/darner.yml` at the default branch's SHA."""

    enabled: bool = True
    wishes: Wishes = field(default_factory=Wishes)
    devcontainer: bool = False
    """Whether the repository's `devcontainer.json` says image and variables."""
    ignored: tuple[str, ...] = ()
    """What of that file has no effect, and why: a line each."""
    instructions: str = ""
    """Added to the briefing, labelled as the repository's."""
    review: ReviewSettings = field(default_factory=ReviewSettings)
    ci: CiSettings = field(default_factory=CiSettings)


@dataclass(frozen=True, slots=True)
class Branch:
    name: str
    sha: str


@dataclass(frozen=True, slots=True)
class PullFacts:
    """A pull request as it was when the event was handled."""

    head: Branch
    base: Branch
    is_fork: bool
    """Whether the head lies in another repository, or in one that was deleted."""
    title: str = ""
    body: str = ""
    author: str = ""
    author_id: int = 0
    labels: tuple[str, ...] = ()
    is_draft: bool = False
    is_open: bool = True
    head_repository: str = ""
    """Full name; empty where it was deleted."""
    head_repository_id: int = 0
    lets_maintainers_push: bool = False
    """Its author lets whoever may write to the repository push to the fork's branch, too."""


@dataclass(frozen=True, slots=True)
class TurnBrief:
    """One turn of the thread, as the store has it."""

    id: str
    state: Literal["waiting", "running", "ended"]
    """Waiting: queued behind another, or parked until something happens."""
    created_at: float
    started_at: float | None = None
    ended_at: float | None = None
    outcome: Outcome | None = None
    paused_by: str | None = None
    """Who paused it, while nobody has let it go on."""
    stopping_by: str | None = None
    """Who has asked that it end."""
    waits_for: str = ""
    """What it is parked for, in words; empty while it is not."""
    follows: str = ""
    """The turn that a second attempt goes on from; empty for the conversation's own line."""
    kind: TurnKind = "task"
    sha: str = ""
    """What a review is of."""


@dataclass(frozen=True, slots=True)
class Landing:
    """A turn's commit on a branch."""

    turn: str
    branch: str
    sha: str
    parent: str
    undone_by: str = ""
    """The commit that took it back."""
    fork: ForkHead | None = None
    """Whose branch it is; None: the repository's own."""


@dataclass(frozen=True, slots=True)
class Target:
    """The turn that a command is about."""

    start: StartTurn
    outcome: Outcome | None
    """None: it has not ended."""
    follows: str = ""
    """As `TurnBrief.follows`."""
    landing: Landing | None = None
    ended: TurnEnded | None = None
    """What it told when it ended; None where nobody needs it, and where it was forgotten."""


@dataclass(frozen=True, slots=True)
class DoneEffect:
    """What Darner did, or tried to do, about something."""

    type: str
    state: str
    error: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """One decision, as the ledger has it."""

    who: str
    """Login; empty where nobody was."""
    what: str
    """What came in, in GitHub's words: `issue_comment.created`."""
    at: float
    text: str
    """The words that asked, as far as they are kept."""
    decision: str
    reason: str
    effects: tuple[DoneEffect, ...] = ()
    turn: str = ""
    turn_state: str = ""
    turn_cause: str = ""
    """Why it ended so, as the turn's outcome has it."""


RequestKind = Literal["command", "network", "paths", "held", "question", "companion"]
"""What a turn asks of people: leave for a command, for hosts or for protected paths while it runs; leave for
what the broker held back when it ended, or for a companion pull request of its result; an answer."""
OF_RESULTS: Final[frozenset[RequestKind]] = frozenset({"held", "companion"})
"""What is asked of a turn's result, when the turn has ended."""


RequestState = Literal["open", "approved", "denied", "answered", "expired", "void"]


@dataclass(frozen=True, slots=True)
class AskedRequest:
    """One request of a turn, as the store has it."""

    id: str
    turn: str
    kind: RequestKind
    asked: str
    """What exactly, as JSON: `handlers.wanted.Wanted`."""
    digest: str
    """Of what is asked: an answer is to this and to nothing else."""
    head_sha: str
    """The head that it was asked at; another head voids it."""
    state: RequestState
    until: float
    """Seconds since the epoch; later it counts as denied."""
    decided_by: str = ""


@dataclass(frozen=True, slots=True)
class ThreadFacts:
    """What people have decided about the whole thread."""

    stopped_by: str | None = None
    """Who stopped it: nothing starts here by itself until somebody says `resume`."""
    is_archived: bool = False
    budget_tokens: int | None = None
    budget_micros: int | None = None
    """What all of its turns may cost together; None: as much as the operator's limits say."""


@dataclass(frozen=True, slots=True)
class View:
    bot: Bot
    permission: Permission = "none"
    """The actor's, by the permission API."""
    default_branch: Branch | None = None
    config: RepositoryConfig = field(default_factory=RepositoryConfig)
    config_error: str = ""
    """What is wrong with `.github/darner.yml`, told to the person who asked."""
    pull: PullFacts | None = None
    fork: ForkHead | None = None
    """The fork that `pull` is from, where a result may be pushed to it: the App is installed there, and the
    author lets maintainers push. Known at a turn's end."""
    turns: tuple[TurnBrief, ...] = ()
    """The thread's, oldest first."""
    thread: ThreadFacts = field(default_factory=ThreadFacts)
    requests: tuple[AskedRequest, ...] = ()
    """The thread's, oldest first."""
    allowances: tuple[Allowance, ...] = ()
    """What is spent by whoever asks, here and now: of each budget, and where there is no limit."""
    target: Target | None = None
    """What `retry`, `fork`, `undo` or a button is about; None for other commands, and where there is none."""
    ci: CiFacts | None = None
    """The checks of the head that an event is about; None for events that are about none."""
    ci_pull: int | None = None
    """The open pull request that has the head of a check, where the event does not name it."""
    account: Account | None = None
    """What `why` tells; None for other commands, and where the ledger has nothing of it."""
    memory: Memory = field(default_factory=Memory)
    """What reviews of the pull request have left."""

    @property
    def task_at_work(self) -> TurnBrief | None:
        """The thread's oldest turn of work that has not ended: what is said is for it."""
        return next((turn for turn in self.turns if turn.state != "ended" and turn.kind == "task"), None)

    @property
    def at_work(self) -> TurnBrief | None:
        """The thread's oldest turn that has not ended."""
        return next((turn for turn in self.turns if turn.state != "ended"), None)

    @property
    def running_turn(self) -> str | None:
        """Id of the thread's oldest turn that has not ended."""
        return next((turn.id for turn in self.turns if turn.state != "ended"), None)
