"""What is to be done, in the imperative: data only. `app.perform` does them, at least once, idempotently.

Every effect has a deterministic `key`: the same event always gives the same keys, and one key is done once.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from handlers.ci.task import CiTask
from handlers.review.memory import LastReview, Remembered
from sandbox.base import SandboxMode


@dataclass(frozen=True, slots=True)
class ReactionTarget:
    """What a reaction goes on. `id` is the comment's; the subject's number for its opening text."""

    kind: Literal["subject", "issue_comment", "review_comment"]
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class React:
    key: str
    target: ReactionTarget
    content: Literal["eyes", "confused", "+1"]
    type: Literal["react"] = "react"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostComment:
    """A new comment in the conversation of `number`, or a reply in a review thread."""

    key: str
    number: int
    body: str
    review_thread: int | None = None
    """Id of the thread's first comment when the answer belongs into a review thread."""
    requester: str = ""
    """Login of the one person the text may mention."""
    type: Literal["post_comment"] = "post_comment"


@dataclass(frozen=True, slots=True, kw_only=True)
class EditComment:
    """Replace the body of the comment that the effect `posted_key` made."""

    key: str
    posted_key: str
    body: str
    requester: str = ""
    """Login of the one person the text may mention."""
    type: Literal["edit_comment"] = "edit_comment"


@dataclass(frozen=True, slots=True)
class Requester:
    id: int
    login: str
    permission: str


@dataclass(frozen=True, slots=True)
class Trigger:
    """The text that asked: where it stands, and when it said so."""

    kind: Literal["issue_comment", "subject", "review_comment"]
    id: int
    url: str
    at: str
    """GitHub's timestamp of the text: nothing written or edited later is part of the briefing."""


TurnKind = Literal["task", "review"]
"""What a turn is for: work that leaves changes, or findings. Their histories are apart."""


@dataclass(frozen=True, slots=True)
class CiAsked:
    """A person wants failed checks repaired."""

    act: str
    """What asked: begins the keys of all effects of it."""
    by: Requester
    trigger: Trigger | None
    """None: nobody wrote anything."""
    review_thread: int | None = None
    was_stopped: bool = False
    """Whether it was asked for despite an earlier `stop`."""
    lead: str = ""
    """Begins the answer where it does not stand below what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTurn:
    """Everything a turn is pinned to. Kept whole in the thread: later events carry it back."""

    key: str
    turn_id: str
    """Derived from the trigger; names the branch `darner/<number>-<turn_id>`."""
    repository_id: int
    repository: str
    installation_id: int | None
    number: int
    is_pull: bool
    title: str
    request: str
    """The words after the mention: untrusted as anything a person writes, but it is what was asked."""
    requester: Requester
    trigger: Trigger
    mode: SandboxMode
    base_ref: str
    """The branch the result is meant for: the pull request's head branch, else the default branch."""
    base_sha: str
    """What the turn works on: the pinned head."""
    instructions_sha: str
    """Where `AGENTS.md` is read: the pull request's base commit, else `base_sha`."""
    progress_key: str
    """Key of the `PostComment` that made the progress comment."""
    review_thread: int | None = None
    diff_hunk: str = ""
    path: str = ""
    is_fork: bool = False
    """The head belongs to a fork: it can be worked on, never pushed to."""
    config_sha: str = ""
    """The default branch's commit, whose `.github/darner.yml` counts; empty: `instructions_sha`."""
    subject_body: str | None = None
    """The subject's text as the trigger's payload had it; None when the payload did not tell."""
    not_granted: tuple[str, ...] = ()
    """Wishes of the repository's file that go beyond what the operator allows, a line each."""
    continues: str = ""
    """Id of the turn that this one goes on from: its history, and the work tree it left."""
    follows: str = ""
    """Id of the turn whose history this one has, apart from the conversation's others (`turns.follows`)."""
    onto: str = ""
    """The branch of Darner's that the result is meant for, at `base_sha`; empty: one of the turn's own."""
    words: str = ""
    """What was said when the turn was to go on from another; empty: nothing."""
    kind: TurnKind = "task"
    is_unasked: bool = False
    """It began by itself: nobody is told of its ways, and what is over is simply over."""
    is_full: bool = False
    """A review that reads everything, also what it has read before."""
    finding: str = ""
    """Id of the finding that somebody disagrees on: it is all that this review judges."""
    ci: CiTask | None = None
    """The failed checks that it is to repair; None: it has another task."""
    type: Literal["start_turn"] = "start_turn"


@dataclass(frozen=True, slots=True, kw_only=True)
class SteerTurn:
    """Tell a turn that has not ended something more: the model reads it before its next step."""

    key: str
    turn_id: str
    author: str
    """Login."""
    text: str
    """As the model reads it, with who says it."""
    type: Literal["steer_turn"] = "steer_turn"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTurn:
    """End a turn that has not ended."""

    key: str
    turn_id: str
    author: str
    type: Literal["stop_turn"] = "stop_turn"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskApproval:
    """A request that people can answer from now on."""

    key: str
    request_id: str
    turn_id: str
    kind: Literal["command", "network", "paths", "held", "question", "companion"]
    asked: str
    """What exactly, as JSON: `handlers.wanted.Wanted`."""
    digest: str
    head_sha: str
    until: float | None
    """Seconds since the epoch; None: the operator's time for an answer, counted from now."""
    type: Literal["ask_approval"] = "ask_approval"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decide:
    """A person's answer to a request that is open. The first one counts."""

    key: str
    request_id: str
    turn_id: str
    state: Literal["approved", "denied", "answered", "void"]
    by: Requester
    words: str = ""
    """What they said with it: why not, or the answer. The model reads it."""
    type: Literal["decide"] = "decide"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactThread:
    """Make the history that the model is told short: before the next step, or as the next turn begins."""

    key: str
    turn_id: str | None
    """The turn at work; None: nothing is at work."""
    author: str
    """Login."""
    type: Literal["compact_thread"] = "compact_thread"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBudget:
    """What all turns of the thread may cost together, from now on; a unit that is None stays as it is."""

    key: str
    tokens: int | None
    micros: int | None
    author: str
    type: Literal["set_budget"] = "set_budget"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftBudget:
    """The thread has no budget of its own any more, in no unit."""

    key: str
    author: str
    type: Literal["lift_budget"] = "lift_budget"


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseTurn:
    """Park a turn after its present step, until somebody lets it go on."""

    key: str
    turn_id: str
    author: str
    type: Literal["pause_turn"] = "pause_turn"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeTurn:
    """Let a paused turn go on."""

    key: str
    turn_id: str
    author: str
    type: Literal["resume_turn"] = "resume_turn"


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldThread:
    """Whether anything may start in the thread by itself."""

    key: str
    by: str | None
    """Who stopped it; None: it may again."""
    type: Literal["hold_thread"] = "hold_thread"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetThread:
    """Delete what was said and done in the thread; who asked when, and what came of it, stays."""

    key: str
    type: Literal["forget_thread"] = "forget_thread"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkHead:
    """A fork that the App is installed on: where a pull request from it may be pushed to."""

    id: int
    """The repository's: tokens are narrowed to it."""
    full_name: str
    installation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoTurn:
    """One new commit that takes back what a turn has pushed, only if nobody pushes meanwhile."""

    key: str
    turn_id: str
    """The turn that is taken back."""
    number: int
    branch: str
    sha: str
    """The turn's commit."""
    parent: str
    """The commit before it."""
    message: str
    """Whole commit message, trailers included."""
    requester: str
    """Login of whoever hears what came of it."""
    review_thread: int | None = None
    fork: ForkHead | None = None
    """As of `PushResult`."""
    type: Literal["undo_turn"] = "undo_turn"


@dataclass(frozen=True, slots=True, kw_only=True)
class PushResult:
    """Commit the allowed files of the turn on `parent` and push, only if the branch is at `expected`."""

    key: str
    turn_id: str
    branch: str
    parent: str
    expected: str | None
    """The SHA the branch must have now; None: the branch must not exist."""
    paths: tuple[str, ...]
    """The files to deliver; the rest of the turn's changes is held back."""
    message: str
    """Whole commit message, trailers included."""
    replays: bool = False
    """`parent` is not what the turn worked on: only if none of the files has changed between the two."""
    fork: ForkHead | None = None
    """Whose branch it is; None: the repository's own."""
    type: Literal["push_result"] = "push_result"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPull:
    key: str
    turn_id: str
    head: str
    base: str
    title: str
    body: str
    type: Literal["open_pull"] = "open_pull"


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A remark of a check run on lines of the head. Plain text, not Markdown."""

    path: str
    start_line: int
    end_line: int
    level: Literal["notice", "warning", "failure"]
    title: str
    message: str


@dataclass(frozen=True, slots=True)
class CheckAction:
    """A button of a check run. https://docs.github.com/en/rest/checks/runs#create-a-check-run"""

    identifier: str
    """At most 20 characters: the command that a click stands for."""
    label: str
    """At most 20 characters."""
    description: str
    """At most 40 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteCheckRun:
    """Create or update the check run that `external_id` names on `head_sha`."""

    key: str
    external_id: str
    head_sha: str
    status: Literal["queued", "completed"]
    conclusion: Literal["success", "neutral", "cancelled", "failure"] | None
    title: str
    summary: str
    actions: tuple[CheckAction, ...] = ()
    """Its buttons, at most three; those that it had before are gone."""
    name: Literal["Darner", "Darner review", "Darner repair"] = "Darner"
    annotations: tuple[Annotation, ...] = ()
    """Added to those that it has; any number."""
    type: Literal["write_check_run"] = "write_check_run"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineComment:
    """A finding's comment on lines of the diff, in a review that is to be posted."""

    finding: str
    """The finding's id."""
    path: str
    side: Literal["LEFT", "RIGHT"]
    line: int
    start_line: int | None
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PostReview:
    """One review of event COMMENT with all of its comments; what the forge refuses is degraded, not lost."""

    key: str
    turn_id: str
    number: int
    head_sha: str
    body: str
    comments: tuple[LineComment, ...]
    """None: there is nothing to post, and that is an event all the same."""
    is_whole: bool = False
    """All of its comments or none: they are the parts of one change (`SuggestionsPosted` tells)."""
    type: Literal["post_review"] = "post_review"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleThread:
    """Resolve the thread that begins with a comment of ours, or open it again."""

    key: str
    number: int
    comment: int
    is_resolved: bool
    type: Literal["settle_thread"] = "settle_thread"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordReview:
    """Keep what is known of the pull request after a review, or after people had their say."""

    key: str
    last: LastReview | None
    """None: no review has ended, only findings are as they are told here."""
    findings: tuple[Remembered, ...]
    """Those that are new or other than they were."""
    type: Literal["record_review"] = "record_review"


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAtChecks:
    """Look at the checks of a head when nothing more has been heard of them for a while; of many, once."""

    key: str
    number: int
    """The pull request; 0: the branch has none."""
    branch: str
    """Empty with a `number`."""
    sha: str
    after: float
    """Seconds."""
    round: int = 0
    """Which look it is, from 0."""
    asked: CiAsked | None = None
    """Who wants the repair; None: nobody, it is looked at by itself."""
    type: Literal["look_at_checks"] = "look_at_checks"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteChecks:
    """What was found out about a head whose checks have settled, for the next time."""

    key: str
    repository_id: int
    sha: str
    fingerprint: str
    """Of all that failed; empty: nothing does any more."""
    tests: tuple[str, ...] = ()
    """Of the failed ones, by `handlers.ci.classes.ledger_key`."""
    flaked: tuple[str, ...] = ()
    """Tests that failed on this very head before, and pass now."""
    has_rerun: bool = False
    """Whether failed jobs are run again by this decision."""
    attempt: str = ""
    """The turn that this decision starts for it."""
    left_of: str = ""
    """The turn whose commit this head is: the fingerprint is what it has left."""
    calls_person: bool = False
    type: Literal["note_checks"] = "note_checks"


@dataclass(frozen=True, slots=True, kw_only=True)
class RerunJobs:
    """Run the failed jobs of a workflow run again, unless that has happened since."""

    key: str
    run: int
    attempt: int
    """The one that failed, from 1."""
    type: Literal["rerun_jobs"] = "rerun_jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignore:
    """Nothing is done; `reason` (one of `handlers.reasons`) is what `darner why` tells."""

    key: str
    reason: str
    type: Literal["ignore"] = "ignore"


Effect = (
    React
    | PostComment
    | EditComment
    | StartTurn
    | SteerTurn
    | StopTurn
    | AskApproval
    | Decide
    | CompactThread
    | SetBudget
    | LiftBudget
    | PauseTurn
    | ResumeTurn
    | HoldThread
    | ForgetThread
    | UndoTurn
    | PushResult
    | OpenPull
    | WriteCheckRun
    | PostReview
    | SettleThread
    | RecordReview
    | LookAtChecks
    | NoteChecks
    | RerunJobs
    | Ignore
)
EffectAdapter: Final[TypeAdapter[Effect]] = TypeAdapter(Annotated[Effect, Field(discriminator="type")])
