"""From a webhook's raw bytes to an event: verify, parse, name, sort out what cannot matter. Acts on nothing.

Payload models take only what is used and tolerate the rest: deleted accounts, deleted forks, new members.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, assert_never

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from handlers import reasons
from handlers.effects import Ignore
from handlers.events import (
    Actor,
    ButtonPressed,
    CheckReported,
    Comment,
    CommentDeleted,
    Event,
    ExternalEvent,
    IssueCommented,
    Leaving,
    Pinged,
    PullAction,
    PullChanged,
    Repository,
    ReviewCommented,
    Subject,
    SubjectClosed,
    SubjectOpened,
    ThreadSettled,
    Unhandled,
)
from handlers.mention import find_request
from handlers.review.settings import ReviewMode
from handlers.view import Bot


class BadPayload(Exception):
    """The body is not a payload of its event; the message says what is wrong with it."""


def verify_signature(body: bytes, header: str | None, secrets: Sequence[str]) -> bool:
    """Whether `header` (`X-Hub-Signature-256`) signs the raw `body` with one of `secrets`.

    https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    """
    if header is None or not header.startswith("sha256="):
        return False
    given = header.removeprefix("sha256=").encode("ascii", "replace")
    is_valid = False
    # Every secret is tried, so that the time taken does not tell which one fits.
    for secret in secrets:
        if not secret:
            continue
        expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()
        is_valid |= hmac.compare_digest(expected, given)
    return is_valid


def parse(event_name: str, body: bytes) -> ExternalEvent:
    """The event that a verified delivery tells of. Raises `BadPayload`."""
    try:
        # Unlike the standard library's, it refuses lone surrogates: text that nothing could store or send.
        raw = from_json(body)
    except (ValueError, RecursionError) as error:
        raise BadPayload(f"the body is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise BadPayload(f"the body is a JSON {type(raw).__name__}, not an object")
    try:
        return _event_from(event_name, raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the payload"
        raise BadPayload(f"{event_name}: {where}: {first['msg']}") from error


def semantic_key(event: ExternalEvent) -> str | None:
    """Names the act itself: two deliveries of one act (of two hooks, say) have the same key.

    The installation is left out on purpose: a repository's id is unique on a forge, and the same act told by
    an App's hook and by a repository's hook differs in just that member.
    """
    match event:
        case IssueCommented():
            return _key_of(event, "issue_comment", event.comment.id, event.comment.updated_at)
        case ReviewCommented():
            return _key_of(event, "review_comment", event.comment.id, event.comment.updated_at)
        case SubjectOpened():
            return _key_of(event, "subject", event.subject.number, event.updated_at)
        case SubjectClosed():
            return f"{event.repository.id}/{event.subject.number}/{event.way}/{event.at}"
        case CommentDeleted():
            kind = "review_comment" if event.is_in_review else "issue_comment"
            return f"{event.repository.id}/{event.subject.number}/{kind}/{event.comment.id}/deleted"
        case PullChanged():
            return f"{event.repository.id}/{event.subject.number}/{event.action}/{event.head_sha}/{event.at}"
        case ThreadSettled():
            way = "resolved" if event.is_resolved else "unresolved"
            return f"{event.repository.id}/{event.subject.number}/{event.thread_root}/{way}/{event.at}"
        case CheckReported():
            return f"{event.repository.id}/ci/{event.sha}/{event.source}/{event.id}/{event.at}"
        case ButtonPressed() | Pinged() | Unhandled():
            return None
        case _:
            assert_never(event)


def thread_of(event: ExternalEvent) -> tuple[int, int] | None:
    """Repository id and number of the conversation that the event belongs to."""
    match event:
        case (
            IssueCommented()
            | ReviewCommented()
            | SubjectOpened()
            | PullChanged()
            | ThreadSettled()
            | SubjectClosed()
            | CommentDeleted()
        ):
            return event.repository.id, event.subject.number
        case Unhandled():
            if event.repository is None or event.number is None:
                return None
            return event.repository.id, event.number
        case CheckReported(number=number):
            return event.repository.id, number or 0
        case ButtonPressed() | Pinged():
            # A check run names a turn; the store knows its conversation.
            return None
        case _:
            assert_never(event)


def thread_name_of(event: ExternalEvent) -> str | None:
    """The thread's id: of a branch that has no pull request, one of its own."""
    place = thread_of(event)
    if place is None:
        return None
    if isinstance(event, CheckReported) and event.number is None:
        return branch_thread(place[0], event.branch or event.sha)
    return f"{place[0]}-{place[1]}"


def branch_thread(repository: int, branch: str) -> str:
    """The thread of a branch: no issue and no pull request has the number 0."""
    return f"{repository}-0-{hashlib.sha256(branch.encode()).hexdigest()[:12]}"


def triage(event: ExternalEvent, bot: Bot) -> Ignore | None:
    """Why the event can be set aside by itself; None when it may matter and deserves a look at the forge."""
    reason = reason_to_ignore(event, bot)
    return None if reason is None else ignored(event, reason)


def set_aside(event: Event, bot: Bot) -> Ignore | None:
    """`triage` again, for a worker that knows more of the bot than the intake did."""
    return triage(event, bot) if isinstance(event, ExternalEvent) else None


def ignored(event: ExternalEvent, reason: str) -> Ignore:
    return Ignore(key=f"{act_of(event)}:ignore", reason=reason)


def act_of(event: ExternalEvent) -> str:
    """Begins the keys of all effects of `event`: the same act always gives the same."""
    return semantic_key(event) or _fingerprint(event)


def text_of(event: ExternalEvent) -> str:
    """The text that the event is about: where a mention may stand."""
    match event:
        case IssueCommented() | ReviewCommented():
            return event.comment.body
        case SubjectOpened():
            return event.subject.body
        case (
            ButtonPressed()
            | CheckReported()
            | Pinged()
            | Unhandled()
            | PullChanged()
            | ThreadSettled()
            | SubjectClosed()
            | CommentDeleted()
        ):
            return ""
        case _:
            assert_never(event)


def action_of(event: ExternalEvent) -> str | None:
    """GitHub's word for what was done, as the delivery had it."""
    match event:
        case IssueCommented() | ReviewCommented():
            return "created" if event.edited_from is None else "edited"
        case SubjectOpened():
            return "opened" if event.edited_from is None else "edited"
        case SubjectClosed():
            return "closed" if event.way == "merged" else event.way
        case CommentDeleted():
            return "deleted"
        case PullChanged(action=action):
            return next(name for name, each in _CHANGED.items() if each == action)
        case ThreadSettled(is_resolved=is_resolved):
            return "resolved" if is_resolved else "unresolved"
        case Unhandled():
            return event.action
        case ButtonPressed(button=button):
            return "rerequested" if button == "rerequested" else "requested_action"
        case CheckReported():
            return None if event.source == "status" else "completed"
        case Pinged():
            return None
        case _:
            assert_never(event)


def request_of(event: ExternalEvent, bot: Bot) -> str | None:
    """The words after the mention, perhaps empty; None when the bot is not addressed."""
    return find_request(text_of(event), bot.mention)


def reason_to_ignore(event: ExternalEvent, bot: Bot) -> str | None:
    """The sentence of `triage` alone, for whoever needs no effect of it: its key hashes the whole event."""
    match event:
        case Pinged():
            return reasons.PINGED
        case Unhandled():
            return reasons.UNHANDLED
        case SubjectClosed() | CommentDeleted():
            return reasons.OWN_EVENT if _is_self(event.actor, bot) else None
        case ButtonPressed():
            if f"{event.app_slug}[bot]" != bot.login:
                return reasons.NOT_OUR_CHECK
            return reasons.BOT_NOT_LISTED if _is_unlisted(event.actor, bot) else None
        case CheckReported():
            return reasons.OWN_CHECK if f"{event.app_slug}[bot]" == bot.login else None
        case PullChanged():
            return _why_no_review(event.repository, bot)
        case ThreadSettled():
            # Whether it is a finding's, the store knows.
            return reasons.OWN_EVENT if _is_self(event.actor, bot) else None
        case IssueCommented() | ReviewCommented() | SubjectOpened():
            return _why_text_is_set_aside(event, bot)
        case _:
            assert_never(event)


def _why_text_is_set_aside(event: IssueCommented | ReviewCommented | SubjectOpened, bot: Bot) -> str | None:
    reason = why_no_request(event, bot)
    if reason is None or reason == reasons.OWN_EVENT:
        return reason
    if isinstance(event, SubjectOpened) and event.subject.is_pull and event.edited_from is None:
        # A new pull request may be reviewed, whatever its text says.
        return None if _why_no_review(event.repository, bot) is None else reason
    return None if reason == reasons.NO_MENTION and is_plain_reply(event) else reason


def why_no_request(event: IssueCommented | ReviewCommented | SubjectOpened, bot: Bot) -> str | None:
    """Why a text asks nothing of the bot; None when it does."""
    if _is_self(event.actor, bot):
        return reasons.OWN_EVENT
    if event.actor.kind == "Bot" and event.actor.id not in bot.allowed_bots:
        return reasons.BOT_NOT_LISTED
    if request_of(event, bot) is None:
        return reasons.NO_MENTION
    if event.edited_from is not None and find_request(event.edited_from, bot.mention) is not None:
        return reasons.MENTION_NOT_NEW
    return None


def is_plain_reply(event: IssueCommented | ReviewCommented | SubjectOpened) -> bool:
    """A reply on lines of a pull request: in a finding's thread it is for us without a mention."""
    return (
        isinstance(event, ReviewCommented)
        and event.edited_from is None
        and event.thread_root != event.comment.id
    )


def _why_no_review(repository: Repository, bot: Bot) -> str | None:
    """What needs no look at the forge: whether the operator lets reviews begin by themselves here."""
    mode = bot.ceiling.review_of(repository.full_name)
    return None if mode is ReviewMode.AUTO else reasons.REVIEWS_NOT_UNASKED


def _is_unlisted(actor: Actor, bot: Bot) -> bool:
    return actor.kind == "Bot" and actor.id not in bot.allowed_bots


def _is_self(actor: Actor, bot: Bot) -> bool:
    if bot.id is not None:
        return actor.id == bot.id
    # The id is not known yet: better deaf to a namesake than talking to oneself.
    return actor.login.casefold() == bot.login.casefold()


def _key_of(
    event: IssueCommented | ReviewCommented | SubjectOpened, kind: str, number: int, /, at: str
) -> str:
    # GitHub's clock has whole seconds; the text tells two edits within one of them apart.
    text = hashlib.sha256(text_of(event).encode("utf-8", "replace")).hexdigest()[:8]
    act = "created" if event.edited_from is None else f"edited-{text}"
    return f"{event.repository.id}/{event.subject.number}/{kind}/{number}/{act}/{at}"


def _fingerprint(event: ExternalEvent) -> str:
    return hashlib.sha256(repr(event).encode()).hexdigest()[:24]


# What GitHub puts where an account was deleted.
_GHOST: Final = Actor(10137, "ghost", "User")


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


def _text_of_null(value: object) -> object:
    return "" if value is None else value


_Text = Annotated[str, BeforeValidator(_text_of_null)]


class _Account(_Lenient):
    id: int
    login: str
    type: str = "User"

    def actor(self) -> Actor:
        kinds: Final[dict[str, Literal["User", "Bot", "Organization", "Mannequin"]]] = {
            "Bot": "Bot",
            "Organization": "Organization",
            "Mannequin": "Mannequin",
        }
        return Actor(self.id, self.login, kinds.get(self.type, "User"))


class _Repository(_Lenient):
    id: int
    full_name: str
    default_branch: str = ""
    private: bool = False

    def fact(self) -> Repository:
        return Repository(self.id, self.full_name, self.default_branch, self.private)


class _Installation(_Lenient):
    id: int


class _Envelope(_Lenient):
    """What any payload may have."""

    action: str | None = None
    sender: _Account | None = None
    repository: _Repository | None = None
    installation: _Installation | None = None

    @property
    def installation_id(self) -> int | None:
        return None if self.installation is None else self.installation.id

    @property
    def actor(self) -> Actor:
        return _GHOST if self.sender is None else self.sender.actor()


class _ConversationEnvelope(_Envelope):
    """A payload about an issue or pull request: the repository is always there."""

    action: str
    repository: _Repository


class _From(_Lenient):
    from_: _Text = Field(default="", alias="from")


class _Changes(_Lenient):
    body: _From | None = None
    base: dict[str, Any] | None = None
    """Set when the pull request is meant for another branch now."""
    old_issue: dict[str, Any] | None = None
    """Set when an issue came in by a transfer: nobody wrote its text just now."""


class _Subject(_Lenient):
    number: int
    title: _Text = ""
    body: _Text = ""
    user: _Account | None = None
    html_url: str = ""
    state: str = "open"
    updated_at: _Text = ""
    closed_at: _Text = ""
    merged: bool | None = None
    pull_request: dict[str, Any] | None = None

    def fact(self, *, is_pull: bool) -> Subject:
        author = None if self.user is None else self.user.actor()
        is_open = self.state == "open"
        return Subject(self.number, is_pull, self.title, self.body, author, self.html_url, is_open)


class _Comment(_Lenient):
    id: int
    body: _Text = ""
    user: _Account | None = None
    html_url: str = ""
    created_at: str
    updated_at: str

    def fact(self) -> Comment:
        author = None if self.user is None else self.user.actor()
        return Comment(self.id, self.body, author, self.html_url, self.created_at, self.updated_at)


class _ReviewComment(_Comment):
    path: str
    line: int | None = None
    original_line: int | None = None
    diff_hunk: _Text = ""
    in_reply_to_id: int | None = None


class _IssueCommentPayload(_ConversationEnvelope):
    issue: _Subject
    comment: _Comment
    changes: _Changes = _Changes()


class _IssuesPayload(_ConversationEnvelope):
    issue: _Subject
    changes: _Changes = _Changes()


class _Head(_Lenient):
    sha: str = ""


class _PullSubject(_Subject):
    head: _Head = _Head()


class _PullRequestPayload(_ConversationEnvelope):
    pull_request: _PullSubject
    changes: _Changes = _Changes()


class _ReviewCommentPayload(_ConversationEnvelope):
    pull_request: _Subject
    comment: _ReviewComment
    changes: _Changes = _Changes()


class _ThreadComment(_Lenient):
    id: int


class _Thread(_Lenient):
    comments: tuple[_ThreadComment, ...] = Field(min_length=1)


class _ThreadPayload(_ConversationEnvelope):
    pull_request: _Subject
    thread: _Thread


class _App(_Lenient):
    slug: _Text = ""


class _CheckRun(_Lenient):
    id: int
    head_sha: str
    external_id: _Text = ""
    app: _App | None = None


class _RequestedAction(_Lenient):
    identifier: str


class _CheckRunPayload(_ConversationEnvelope):
    check_run: _CheckRun
    requested_action: _RequestedAction | None = None


class _Identified(_Lenient):
    id: int


class _OfRepository(_Lenient):
    repo: _Identified


class _PullAtHead(_Lenient):
    number: int
    base: _OfRepository | None = None


class _SuiteHead(_Lenient):
    head_branch: _Text = ""


class _Reported(_Lenient):
    """A check run, check suite or workflow run that has ended."""

    id: int
    name: _Text = ""
    head_sha: str
    head_branch: _Text = ""
    conclusion: _Text = ""
    completed_at: _Text = ""
    updated_at: _Text = ""
    run_attempt: int = 1
    app: _App | None = None
    check_suite: _SuiteHead | None = None
    pull_requests: tuple[_PullAtHead, ...] = ()


class _CheckPayload(_Envelope):
    repository: _Repository


class _StatusBranch(_Lenient):
    name: str


class _StatusPayload(_Envelope):
    repository: _Repository
    id: int
    sha: str
    context: _Text = ""
    state: str
    branches: tuple[_StatusBranch, ...] = ()
    updated_at: _Text = ""


class _Ping(_Lenient):
    zen: _Text = ""


class _Numbered(_Lenient):
    number: int


class _OtherPayload(_Envelope):
    """Any other payload: enough to say afterwards what it was about."""

    number: int | None = None
    issue: _Numbered | None = None
    pull_request: _Numbered | None = None


_WRITTEN: Final = ("created", "edited")
_OPENED: Final = ("opened", "edited")
_LEFT: Final[Mapping[str, Leaving]] = MappingProxyType(
    {"closed": "closed", "deleted": "deleted", "transferred": "transferred"}
)
_CHECKS: Final[Mapping[str, Literal["check_run", "check_suite", "workflow_run"]]] = MappingProxyType(
    {"check_run": "check_run", "check_suite": "check_suite", "workflow_run": "workflow_run"}
)
_PRESSED: Final = ("requested_action", "rerequested")
_CHANGED: Final[Mapping[str, PullAction]] = MappingProxyType(
    {
        "reopened": "reopened",
        "ready_for_review": "ready",
        "synchronize": "pushed",
        "converted_to_draft": "drafted",
        "labeled": "labelled",
        "edited": "rebased",
        "opened": "opened",
    }
)
_SETTLED: Final = ("resolved", "unresolved")


def _event_from(event_name: str, raw: dict[str, Any]) -> ExternalEvent:
    action = raw.get("action")
    if event_name == "ping":
        return Pinged(zen=_Ping.model_validate(raw).zen)
    if event_name == "issue_comment" and action in _WRITTEN:
        return _issue_commented(_IssueCommentPayload.model_validate(raw))
    if event_name == "pull_request_review_comment" and action in _WRITTEN:
        return _review_commented(_ReviewCommentPayload.model_validate(raw))
    if event_name == "issues" and action in _OPENED:
        issues = _IssuesPayload.model_validate(raw)
        if issues.changes.old_issue is None:
            return _subject_opened(issues, issues.issue, issues.changes, is_pull=False)
    if (about_pull := _pull_event_from(event_name, raw, action)) is not None:
        return about_pull
    if event_name == "pull_request" and action in _OPENED:
        pull = _PullRequestPayload.model_validate(raw)
        return _subject_opened(pull, pull.pull_request, pull.changes, is_pull=True)
    if event_name in {"issues", "pull_request"} and (way := _LEFT.get(str(action))):
        return _subject_closed(event_name, raw, way)
    if event_name == "issue_comment" and action == "deleted":
        gone = _IssueCommentPayload.model_validate(raw)
        is_pull = gone.issue.pull_request is not None
        return _comment_deleted(gone, gone.issue.fact(is_pull=is_pull), gone.comment, is_in_review=False)
    if event_name == "pull_request_review_comment" and action == "deleted":
        lost = _ReviewCommentPayload.model_validate(raw)
        return _comment_deleted(lost, lost.pull_request.fact(is_pull=True), lost.comment, is_in_review=True)
    if event_name == "check_run" and action in _PRESSED:
        return _button_pressed(_CheckRunPayload.model_validate(raw))
    return _checked(event_name, raw) or _unhandled(event_name, _OtherPayload.model_validate(raw))


def _checked(event_name: str, raw: dict[str, Any]) -> CheckReported | None:
    if raw.get("action") == "completed" and event_name in _CHECKS:
        return _check_reported(_CHECKS[event_name], raw)
    if event_name == "status" and raw.get("state") != "pending":
        return _status_reported(_StatusPayload.model_validate(raw))
    return None


def _check_reported(
    source: Literal["check_run", "check_suite", "workflow_run"], raw: dict[str, Any]
) -> CheckReported:
    payload = _CheckPayload.model_validate(raw)
    told = _Reported.model_validate(raw.get(source))
    suite = told.check_suite or told
    repository = payload.repository.fact()
    numbers = [
        pull.number
        for pull in told.pull_requests
        # GitHub also lists those that this branch has in other repositories.
        if pull.base is None or pull.base.repo.id == repository.id
    ]
    slug = told.app.slug if told.app else ""
    return CheckReported(
        repository=repository,
        actor=payload.actor,
        installation_id=payload.installation_id,
        source=source,
        id=told.id,
        name=told.name or slug,
        app_slug=slug,
        sha=told.head_sha,
        branch=suite.head_branch,
        conclusion=told.conclusion,
        number=min(numbers, default=None),
        at=told.completed_at or f"{told.updated_at}/{told.run_attempt}",
    )


def _status_reported(payload: "_StatusPayload") -> CheckReported:
    return CheckReported(
        repository=payload.repository.fact(),
        actor=payload.actor,
        installation_id=payload.installation_id,
        source="status",
        id=payload.id,
        name=payload.context,
        app_slug="",
        sha=payload.sha,
        branch=payload.branches[0].name if payload.branches else "",
        conclusion=payload.state,
        number=None,
        at=payload.updated_at,
    )


def _subject_closed(event_name: str, raw: dict[str, Any], way: Leaving) -> SubjectClosed:
    payload: _IssuesPayload | _PullRequestPayload
    if event_name == "issues":
        payload = _IssuesPayload.model_validate(raw)
        subject = payload.issue
    else:
        payload = _PullRequestPayload.model_validate(raw)
        subject = payload.pull_request
    return SubjectClosed(
        repository=payload.repository.fact(),
        actor=payload.actor,
        installation_id=payload.installation_id,
        subject=subject.fact(is_pull=event_name == "pull_request"),
        way="merged" if subject.merged else way,
        # What was closed long ago may be deleted now.
        at=subject.closed_at if way == "closed" else "",
    )


def _comment_deleted(
    payload: _ConversationEnvelope, subject: Subject, comment: _Comment, *, is_in_review: bool
) -> CommentDeleted:
    return CommentDeleted(
        repository=payload.repository.fact(),
        actor=payload.actor,
        installation_id=payload.installation_id,
        subject=subject,
        comment=comment.fact(),
        is_in_review=is_in_review,
    )


def _pull_event_from(event_name: str, raw: dict[str, Any], action: object) -> ExternalEvent | None:
    """What a review may follow; None for all else."""
    if event_name == "pull_request_review_thread" and action in _SETTLED:
        return _thread_settled(_ThreadPayload.model_validate(raw))
    if event_name != "pull_request" or str(action) not in _CHANGED or action == "opened":
        return None
    changed = _PullRequestPayload.model_validate(raw)
    is_of_text = action == "edited" and (changed.changes.base is None or changed.changes.body is not None)
    return None if is_of_text else _pull_changed(changed, _CHANGED[str(action)])


def _pull_changed(payload: _PullRequestPayload, action: PullAction) -> PullChanged:
    return PullChanged(
        repository=payload.repository.fact(),
        actor=payload.actor,
        installation_id=payload.installation_id,
        subject=payload.pull_request.fact(is_pull=True),
        action=action,
        head_sha=payload.pull_request.head.sha,
        at=payload.pull_request.updated_at,
    )


def _thread_settled(payload: _ThreadPayload) -> ThreadSettled:
    return ThreadSettled(
        repository=payload.repository.fact(),
        actor=payload.actor,
        installation_id=payload.installation_id,
        subject=payload.pull_request.fact(is_pull=True),
        thread_root=payload.thread.comments[0].id,
        is_resolved=payload.action == "resolved",
        at=payload.pull_request.updated_at,
    )


def _button_pressed(payload: _CheckRunPayload) -> ButtonPressed:
    run, pressed = payload.check_run, payload.requested_action
    return ButtonPressed(
        repository=payload.repository.fact(),
        actor=payload.actor,
        installation_id=payload.installation_id,
        app_slug=run.app.slug if run.app else "",
        check_run=run.id,
        external_id=run.external_id,
        head_sha=run.head_sha,
        button=pressed.identifier if pressed else "rerequested",
    )


def _issue_commented(payload: _IssueCommentPayload) -> IssueCommented:
    return IssueCommented(
        repository=payload.repository.fact(),
        actor=payload.actor,
        installation_id=payload.installation_id,
        subject=payload.issue.fact(is_pull=payload.issue.pull_request is not None),
        comment=payload.comment.fact(),
        edited_from=_former_text(payload, payload.changes, payload.comment.body),
    )


def _review_commented(payload: _ReviewCommentPayload) -> ReviewCommented:
    comment = payload.comment
    return ReviewCommented(
        repository=payload.repository.fact(),
        actor=payload.actor,
        installation_id=payload.installation_id,
        subject=payload.pull_request.fact(is_pull=True),
        comment=comment.fact(),
        path=comment.path,
        line=comment.line if comment.line is not None else comment.original_line,
        diff_hunk=comment.diff_hunk,
        thread_root=comment.in_reply_to_id if comment.in_reply_to_id is not None else comment.id,
        edited_from=_former_text(payload, payload.changes, comment.body),
    )


def _subject_opened(
    payload: _ConversationEnvelope, subject: _Subject, changes: _Changes, *, is_pull: bool
) -> SubjectOpened:
    return SubjectOpened(
        repository=payload.repository.fact(),
        actor=payload.actor,
        installation_id=payload.installation_id,
        subject=subject.fact(is_pull=is_pull),
        updated_at=subject.updated_at,
        edited_from=_former_text(payload, changes, subject.body),
    )


def _former_text(payload: _ConversationEnvelope, changes: _Changes, body: str) -> str | None:
    """The text before an edit; an edit of something else (the title, the base) left the text as it is."""
    if payload.action != "edited":
        return None
    return body if changes.body is None else changes.body.from_


def _unhandled(event_name: str, payload: _OtherPayload) -> Unhandled:
    subject = payload.issue or payload.pull_request
    return Unhandled(
        event=event_name,
        action=payload.action,
        repository=None if payload.repository is None else payload.repository.fact(),
        actor=None if payload.sender is None else payload.sender.actor(),
        number=subject.number if subject is not None else payload.number,
        installation_id=payload.installation_id,
    )
