"""What happened, in GitHub's words: verified, parsed and normalised facts. The bottom of `handlers`.

External events are made by `handlers.ingest` from a delivery; internal ones by the worker when something of
its own has come to an end. Both go through `handlers.dispatch`.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal, assert_never

from pydantic import Field, TypeAdapter

from handlers.ci.weakening import Weakening
from handlers.effects import CiAsked, OpenPull, PostComment, PushResult, Requester, StartTurn, UndoTurn
from handlers.fork_suggestions import ProposedSuggestion
from handlers.review.result import ReviewResult
from harness.budget import Allowance
from harness.items import ApprovalRequest, Outcome, PlanStep, Usage


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acted. Only `id` identifies; a login can change hands."""

    id: int
    login: str
    kind: Literal["User", "Bot", "Organization", "Mannequin"]


@dataclass(frozen=True, slots=True)
class Repository:
    id: int
    full_name: str
    default_branch: str
    private: bool


@dataclass(frozen=True, slots=True)
class Subject:
    """The issue or pull request an event is about."""

    number: int
    is_pull: bool
    title: str
    body: str
    author: Actor | None
    """None when the account was deleted."""
    url: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class Comment:
    id: int
    body: str
    author: Actor | None
    url: str
    created_at: str
    """As GitHub writes it: UTC, whole seconds, `2026-11-22T18:00:00Z`."""
    updated_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueCommented:
    """A comment on an issue or in a pull request's conversation was written or edited."""

    repository: Repository
    actor: Actor
    installation_id: int | None
    subject: Subject
    comment: Comment
    edited_from: str | None = None
    """The former text when this is an edit."""
    type: Literal["issue_commented"] = "issue_commented"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectOpened:
    """An issue or pull request was opened, or its text edited."""

    repository: Repository
    actor: Actor
    installation_id: int | None
    subject: Subject
    updated_at: str
    edited_from: str | None = None
    type: Literal["subject_opened"] = "subject_opened"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewCommented:
    """An inline comment on a pull request's diff was written or edited."""

    repository: Repository
    actor: Actor
    installation_id: int | None
    subject: Subject
    comment: Comment
    path: str
    line: int | None
    diff_hunk: str
    thread_root: int
    """Id of the first comment of the review thread: replies go there."""
    edited_from: str | None = None
    type: Literal["review_commented"] = "review_commented"


PullAction = Literal["opened", "reopened", "ready", "pushed", "drafted", "labelled", "rebased"]
"""What happened to a pull request that a review may follow; `rebased`: its base is another branch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullChanged:
    """A pull request came again, got commits, a label, another base, or became ready or a draft."""

    repository: Repository
    actor: Actor
    installation_id: int | None
    subject: Subject
    action: PullAction
    head_sha: str
    at: str
    """When, as GitHub writes it."""
    type: Literal["pull_changed"] = "pull_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadSettled:
    """A thread on lines of a pull request was resolved, or opened again."""

    repository: Repository
    actor: Actor
    installation_id: int | None
    subject: Subject
    thread_root: int
    """Id of the thread's first comment."""
    is_resolved: bool
    at: str
    type: Literal["thread_settled"] = "thread_settled"


Leaving = Literal["closed", "merged", "deleted", "transferred"]
"""How a subject ceased to be open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectClosed:
    """An issue or pull request is not open any more, or not here."""

    repository: Repository
    actor: Actor
    installation_id: int | None
    subject: Subject
    way: Leaving
    at: str
    """When, as GitHub writes it; empty where it does not tell."""
    type: Literal["subject_closed"] = "subject_closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentDeleted:
    """Somebody took a comment back, or away."""

    repository: Repository
    actor: Actor
    installation_id: int | None
    subject: Subject
    comment: Comment
    is_in_review: bool
    type: Literal["comment_deleted"] = "comment_deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonPressed:
    """Somebody pressed a button of a check run."""

    repository: Repository
    actor: Actor
    installation_id: int | None
    app_slug: str
    """Of the App whose check run it is."""
    check_run: int
    external_id: str
    """As `WriteCheckRun` gave it: a turn's id, or that of an offer (`handlers.ci.offers`)."""
    head_sha: str
    """The commit that the check run is of."""
    button: str
    """The identifier of the button; `rerequested` for GitHub's own "Re-run"."""
    type: Literal["button_pressed"] = "button_pressed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReported:
    """A check of a commit has ended: a check run, a suite, a workflow run, or a commit status."""

    repository: Repository
    actor: Actor
    installation_id: int | None
    source: Literal["check_run", "check_suite", "workflow_run", "status"]
    id: int
    name: str
    app_slug: str
    """Of the App whose check it is; empty for a status."""
    sha: str
    branch: str
    """Empty where GitHub does not tell: a fork's, or one that is gone."""
    conclusion: str
    """GitHub's word; a status's state."""
    number: int | None
    """The open pull request that has this head, as far as GitHub tells: of forks it does not."""
    at: str
    type: Literal["check_reported"] = "check_reported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinged:
    """GitHub tries the webhook."""

    zen: str
    type: Literal["pinged"] = "pinged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unhandled:
    """A real delivery that no handler acts on (yet): recorded, so that `why` can tell."""

    event: str
    action: str | None
    repository: Repository | None
    actor: Actor | None
    number: int | None
    installation_id: int | None
    type: Literal["unhandled"] = "unhandled"


ExternalEvent = (
    IssueCommented
    | SubjectOpened
    | ReviewCommented
    | PullChanged
    | ThreadSettled
    | SubjectClosed
    | CommentDeleted
    | ButtonPressed
    | CheckReported
    | Pinged
    | Unhandled
)


@dataclass(frozen=True, slots=True)
class ProposedChange:
    """One file of a turn's result, taken as data from the checkout and not yet trusted."""

    path: str
    kind: Literal["add", "update", "delete"]
    mode: Literal["100644", "100755", "120000", "000000"]
    """Git's mode after the change; `000000` for a deletion."""
    size: int
    problem: str | None = None
    """Why it can never be delivered (a device, a link that leads outside, an unreadable name)."""
    added_lines: int = 0
    removed_lines: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEnded:
    """A turn is over and its outcome stored; nothing of it has been published yet."""

    start: StartTurn
    outcome: Outcome
    usage: Usage
    steps: int
    seconds: float
    changes: tuple[ProposedChange, ...]
    protected_patch: str = ""
    """The unified diff of the protected paths among `changes`, for the person who must decide."""
    plan: tuple[PlanStep, ...] = ()
    """The agent's plan as it stood at the end."""
    patch: str = ""
    """The unified diff of `changes` where they may not be pushed (`start.is_fork`, a repair, a stopped turn);
    of a fork's without what is held back. Longer ones are cut, at more than a comment shows."""
    suggestions: tuple[ProposedSuggestion, ...] = ()
    """`patch` as suggestions on a fork's pull request, all of it; empty: it cannot be put so."""
    snapshot: str = ""
    """The commit in the mirror that holds `changes`: names the result; empty: it left none."""
    head_touches: tuple[str, ...] = ()
    """Protected paths, and CI's, that a fork's pull request itself changes (`handlers.delivery.UNREAD`)."""
    commands_run: tuple[str, ...] = ()
    """Commands the agent ran that look like tests, each with what came of it: `pytest -q → passed`."""
    asked: ApprovalRequest | None = None
    """What a turn that waits has asked of people."""
    protected: tuple[str, ...] = ()
    """The paths that `protected_patch` is about."""
    approved_paths: tuple[str, ...] = ()
    """Protected paths that people have opened to this turn."""
    allowances: tuple[Allowance, ...] = ()
    """How much of each budget is used now, the turn's own limits among them."""
    review: ReviewResult | None = None
    """What a review has come to; None for other turns, and for one that never got so far."""
    weakened: tuple[Weakening, ...] = ()
    """Where the changes of a repair take something away from what CI checks."""
    type: Literal["turn_ended"] = "turn_ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultPushed:
    """The commit of a turn is on its branch."""

    ended: TurnEnded
    push: PushResult
    sha: str
    type: Literal["result_pushed"] = "result_pushed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRefused:
    """The forge did not take the commit."""

    ended: TurnEnded
    push: PushResult
    reason: Literal["head_moved", "denied", "branch_protected"]
    detail: str
    type: Literal["push_refused"] = "push_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class PullReady:
    """The pull request of a turn is open."""

    pushed: ResultPushed
    pull: OpenPull
    number: int
    url: str
    type: Literal["pull_ready"] = "pull_ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectFailed:
    """An effect of a turn's result was given up: refused for good, or tried for as long as is sensible."""

    ended: TurnEnded
    effect: Annotated[PushResult | OpenPull | PostComment, Field(discriminator="type")]
    detail: str
    """What the forge said."""
    pushed: ResultPushed | None = None
    """What was delivered before it."""
    type: Literal["effect_failed"] = "effect_failed"


@dataclass(frozen=True, slots=True)
class PlacedFinding:
    """Where the forge has put a finding."""

    finding: str
    shown: Literal["inline", "file", "summary"]
    comment: int | None
    url: str
    reason: str = ""
    """Why it is not where it was meant to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewPosted:
    """What a review has to say on lines is posted."""

    ended: TurnEnded
    placed: tuple[PlacedFinding, ...]
    type: Literal["review_posted"] = "review_posted"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestionsPosted:
    """A fork's result stands on the lines of its pull request as suggestions, or the forge took none."""

    ended: TurnEnded
    refused: str = ""
    """Why there are none, in the forge's words; empty: all of them are there."""
    push: Annotated[PushRefused | EffectFailed, Field(discriminator="type")] | None = None
    """What came of the push to the fork's branch that was tried before."""
    type: Literal["suggestions_posted"] = "suggestions_posted"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldApproved:
    """A person wants the changes of a turn that were held back, or its result in a companion."""

    ended: TurnEnded
    request_id: str
    digest: str
    """Of the patch that they were shown."""
    asked: str
    """As `handlers.wanted.Wanted` has it: the branch and the files."""
    head_sha: str
    """Where the branch was when they were asked."""
    by: Requester
    kind: Literal["held", "companion"] = "held"
    """What they approved: what was held back, or a companion pull request of the result."""
    type: Literal["held_approved"] = "held_approved"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectFound:
    """A regular look at the forge found what no webhook had told: the conversation is over."""

    way: Leaving | None
    """None: it is open; only what was `withdrawn` is news."""
    by: str = ""
    """Login of who closed it, where the forge tells."""
    at: str = ""
    withdrawn: tuple[str, ...] = ()
    """Ids of turns whose trigger is gone."""
    type: Literal["subject_found"] = "subject_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAsked:
    """The operator gave a command at the machine (`darner threads …`)."""

    key: str
    """Of this one command: the same again is the same act."""
    text: str
    """As it would stand after a mention."""
    start: StartTurn
    """Of the thread's newest turn: where the thread is."""
    type: Literal["operator_asked"] = "operator_asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoEnded:
    """What came of taking a turn back."""

    undo: UndoTurn
    result: Literal[
        "done",
        "done_before",
        "conflict",
        "nothing_left",
        "branch_gone",
        "not_there",
        "merged",
        "head_moved",
        "denied",
        "branch_protected",
        "unavailable",
    ]
    sha: str = ""
    """The commit that takes it back."""
    detail: str = ""
    """What the forge said, or the paths in conflict."""
    type: Literal["undo_ended"] = "undo_ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksDue:
    """Nothing was heard of a head's checks for a while: it is time to look at all of them."""

    repository_id: int
    repository: str
    installation_id: int | None
    number: int
    """The pull request; 0: the branch has none."""
    branch: str
    sha: str
    round: int = 0
    asked: CiAsked | None = None
    type: Literal["checks_due"] = "checks_due"


TurnEvent = (
    TurnEnded
    | ResultPushed
    | PushRefused
    | PullReady
    | EffectFailed
    | HeldApproved
    | ReviewPosted
    | SuggestionsPosted
)
"""What goes back to the end of a turn."""
InternalEvent = TurnEvent | SubjectFound | OperatorAsked | UndoEnded | ChecksDue
Event = ExternalEvent | InternalEvent
InternalEventAdapter: Final[TypeAdapter[InternalEvent]] = TypeAdapter(
    Annotated[InternalEvent, Field(discriminator="type")]
)


def ended_of(event: TurnEvent) -> TurnEnded:
    """The end of the turn that the event goes back to."""
    match event:
        case TurnEnded():
            return event
        case (
            ResultPushed()
            | PushRefused()
            | EffectFailed()
            | HeldApproved()
            | ReviewPosted()
            | SuggestionsPosted()
        ):
            return event.ended
        case PullReady():
            return event.pushed.ended
        case _:
            assert_never(event)
