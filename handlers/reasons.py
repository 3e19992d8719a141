"""Why something was not done: a sentence for a whole event, a clause for one file. For people to read."""

from typing import Final

PINGED: Final = "GitHub only tried the webhook; there was nothing to do."
UNHANDLED: Final = "No handler acts on this kind of event."
OWN_EVENT: Final = "Darner did this itself, and it never answers itself."
BOT_NOT_LISTED: Final = "A bot did this, and its numeric id is not on the operator's list."
NO_MENTION: Final = (
    "The bot is not addressed: a mention counts only at the start of a plain-text paragraph or list item."
)
MENTION_NOT_NEW: Final = "The text was edited, but the mention was already there before the edit."
DISABLED: Final = "The repository's `.github/darner.yml` says `enabled: false`."
DUPLICATE: Final = "Another delivery told of the same act; it was handled there."
NO_TURN_WAITS: Final = "No turn is at work or waits there: it changes nothing."
SUPERSEDED: Final = "A newer one of its kind came before it was quiet; that one was handled."
NOT_SAID: Final = "The forge did not take the answer, and there is no other place to say it."
NEEDS_WRITE: Final = "Starting a turn needs write access, and the actor has none by GitHub's permission API."
RIGHT_LOST: Final = "the requester has no write access any more"
TURN_OVER: Final = "The turn that asked for this has ended meanwhile."
APPROVER_LOST_RIGHT: Final = "whoever approved it has no write access any more"
OTHER_PATCH: Final = "it is not what was approved any more"
READ_ONLY: Final = "the turn was read-only"
SETTINGS_CHANGED: Final = "`.github/darner.yml` no longer allows it"
BUDGET_SPENT: Final = "A budget is spent: no turn was started."
STOPPED_HERE: Final = "Somebody said `stop` here, and nothing starts by itself until somebody says `resume`."
ARCHIVED: Final = "The operator has set this conversation aside; nothing starts here by itself."
NOT_OUR_CHECK: Final = "The check run is none of a turn of ours."
UNKNOWN_BUTTON: Final = "No command belongs to this button."
REVIEWS_NOT_UNASKED: Final = "The operator does not let reviews begin by themselves here."
REVIEWED_ALREADY: Final = "This head was reviewed already."
REVIEW_AT_WORK: Final = "A review of this head is at work already."
SUPERSEDED_REVIEW: Final = "A newer head came while it was reviewed: that one is reviewed instead."
BECAME_DRAFT: Final = "The pull request became a draft: no review begins by itself."
NOT_A_FINDING: Final = "The reply is in no thread of a finding, and the bot is not addressed."
FINDING_SETTLED: Final = (
    "People have decided on this finding, or the bot has had its second and last word on it."
)
FINDING_DISMISSED: Final = "The finding was dismissed; no review tells it again."
ONLY_OPENED_AGAIN: Final = "The thread was opened again: the finding counts as open."
NO_FINDING_THERE: Final = "The thread belongs to no finding."
NOTHING_TO_REVIEW: Final = "There is no pull request to review any more."
NOT_JUDGED: Final = "The agent looked again and had nothing to say."
NO_DISAGREEMENT: Final = "The reply agrees with the finding, or says nothing that could be judged."
NOT_THEIRS_TO_DISPUTE: Final = (
    "Findings are judged again for the pull request's author and for people with triage or write access."
)
